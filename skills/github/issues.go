package main

import (
	"net/url"
	"strings"

	"github.com/writ-run/writ/sdk"
)

// person is an account as GitHub writes it.
type person struct {
	Login string `json:"login"`
}

type label struct {
	Name string `json:"name"`
}

func names(labels []label) []string {
	all := make([]string, len(labels))
	for i, l := range labels {
		all[i] = l.Name
	}
	return all
}

func logins(people []person) []string {
	all := make([]string, len(people))
	for i, p := range people {
		all[i] = p.Login
	}
	return all
}

// rawIssue is an issue as GitHub writes it.
type rawIssue struct {
	Number    int       `json:"number"`
	Title     string    `json:"title"`
	Body      string    `json:"body"`
	State     string    `json:"state"`
	HTMLURL   string    `json:"html_url"`
	Labels    []label   `json:"labels"`
	User      person    `json:"user"`
	Assignees []person  `json:"assignees"`
	UpdatedAt string    `json:"updated_at"`
	Pull      *struct{} `json:"pull_request"`
}

// ReadOut is an issue.
type ReadOut struct {
	Number int      `json:"number"`
	Title  string   `json:"title"`
	Body   string   `json:"body"`
	State  string   `json:"state" enum:"open,closed"`
	Author string   `json:"author"`
	Labels []string `json:"labels"`
	URL    string   `json:"url"`
}

func (i *rawIssue) read() ReadOut {
	return ReadOut{
		Number: i.Number, Title: i.Title, Body: i.Body, State: i.State,
		Author: i.User.Login, Labels: names(i.Labels), URL: i.HTMLURL,
	}
}

func readIssue(c *sdk.Context, in Issue) (ReadOut, error) {
	var issue rawIssue
	err := in.at("issues", "").send(c, "GET", nil, &issue)
	return issue.read(), err
}

// Listed is an issue in a list, without its body.
type Listed struct {
	Number    int      `json:"number"`
	Title     string   `json:"title"`
	State     string   `json:"state"`
	Author    string   `json:"author"`
	Labels    []string `json:"labels"`
	Assignees []string `json:"assignees"`
	UpdatedAt string   `json:"updatedAt"`
	Pull      bool     `json:"pull" doc:"Whether it is a pull request"`
	URL       string   `json:"url"`
}

func listed(issues []rawIssue) []Listed {
	out := make([]Listed, len(issues))
	for i := range issues {
		r := &issues[i]
		out[i] = Listed{
			Number: r.Number, Title: r.Title, State: r.State, Author: r.User.Login, Labels: names(r.Labels),
			Assignees: logins(r.Assignees), UpdatedAt: r.UpdatedAt, Pull: r.Pull != nil, URL: r.HTMLURL,
		}
	}
	return out
}

// ListIn is the input of list_issues.
type ListIn struct {
	Repository
	State    string   `json:"state,omitempty" enum:"open,closed,all"`
	Labels   []string `json:"labels,omitempty" doc:"Only those with all of these labels"`
	Assignee string   `json:"assignee,omitempty" doc:"A login, none or *"`
	Since    string   `json:"since,omitempty" doc:"Only those updated at this time (RFC 3339) or later"`
	Limit    int      `json:"limit,omitempty" doc:"At most this many, 1 to 500; 100 if absent"`
}

// ListOut is the output of list_issues and search_issues.
type ListOut struct {
	Issues []Listed `json:"issues"`
	More   bool     `json:"more" doc:"Whether there are more than these"`
}

func listIssues(c *sdk.Context, in ListIn) (ListOut, error) {
	to := in.at("/issues")
	to.query = given(map[string]string{"state": in.State, "labels": strings.Join(in.Labels, ","), "assignee": in.Assignee, "since": in.Since})
	issues, more, err := list[rawIssue](c, to, in.Limit)
	return ListOut{Issues: listed(issues), More: more}, err
}

// given leaves out what is empty.
func given(values map[string]string) url.Values {
	query := url.Values{}
	for name, value := range values {
		if value != "" {
			query.Set(name, value)
		}
	}
	return query
}

// SearchIn is the input of search_issues.
type SearchIn struct {
	Repository
	Query string `json:"query" doc:"Words and qualifiers such as is:open label:bug; the repository is added"`
	Limit int    `json:"limit,omitempty" doc:"At most this many, 1 to 100; 100 if absent"`
}

// searchIssues holds a search to the one repository that the step names: GitHub
// would join another repo: to it with or.
func searchIssues(c *sdk.Context, in SearchIn) (ListOut, error) {
	limit, err := limitOf(in.Limit, perPage)
	if err != nil {
		return ListOut{}, err
	}
	lower := strings.ToLower(in.Query)
	for _, wider := range []string{"repo:", "org:", "user:"} {
		if strings.Contains(lower, wider) {
			return ListOut{}, sdk.Fail("bad_query", "query has "+wider+": the search stays in owner and repo")
		}
	}
	to := in.at("") // its rules hold, its path does not
	to.path = "/search/issues"
	to.query = given(map[string]string{"q": strings.TrimSpace(in.Query + " repo:" + in.Owner + "/" + in.Repo), "per_page": "100"})
	var found struct {
		Total int        `json:"total_count"`
		Items []rawIssue `json:"items"`
	}
	if err := to.send(c, "GET", nil, &found); err != nil {
		return ListOut{}, err
	}
	items := found.Items[:min(limit, len(found.Items))]
	return ListOut{Issues: listed(items), More: found.Total > len(items)}, nil
}

// CreateIn is the input of create_issue.
type CreateIn struct {
	Repository
	Title     string   `json:"title"`
	Body      string   `json:"body,omitempty" doc:"Markdown"`
	Labels    []string `json:"labels,omitempty"`
	Assignees []string `json:"assignees,omitempty" doc:"Logins"`
}

// MadeOut names what was made.
type MadeOut struct {
	Number int    `json:"number"`
	URL    string `json:"url"`
}

func createIssue(c *sdk.Context, in CreateIn) (MadeOut, error) {
	if strings.TrimSpace(in.Title) == "" {
		return MadeOut{}, empty("an issue needs a title")
	}
	body := map[string]any{"title": in.Title}
	if in.Body != "" {
		body["body"] = in.Body
	}
	if len(in.Labels) > 0 {
		body["labels"] = in.Labels
	}
	if len(in.Assignees) > 0 {
		body["assignees"] = in.Assignees
	}
	var made rawIssue
	err := in.at("/issues").send(c, "POST", body, &made)
	return MadeOut{Number: made.Number, URL: made.HTMLURL}, err
}

// UpdateIn is the input of update_issue.
type UpdateIn struct {
	Issue
	Title *string `json:"title,omitempty"`
	Body  *string `json:"body,omitempty" doc:"Markdown; replaces the whole body"`
}

func updateIssue(c *sdk.Context, in UpdateIn) (ReadOut, error) {
	body := map[string]any{}
	if in.Title != nil {
		body["title"] = *in.Title
	}
	if in.Body != nil {
		body["body"] = *in.Body
	}
	if len(body) == 0 {
		return ReadOut{}, empty("give a title or a body")
	}
	return patchIssue(c, in.Issue, body)
}

func patchIssue(c *sdk.Context, issue Issue, body any) (ReadOut, error) {
	var now rawIssue
	err := issue.at("issues", "").send(c, "PATCH", body, &now)
	return now.read(), err
}

// CloseIn is the input of close_issue.
type CloseIn struct {
	Issue
	Reason string `json:"reason,omitempty" enum:"completed,not_planned"`
}

func closeIssue(c *sdk.Context, in CloseIn) (ReadOut, error) {
	body := map[string]any{"state": "closed"}
	if in.Reason != "" {
		body["state_reason"] = in.Reason
	}
	return patchIssue(c, in.Issue, body)
}

func reopenIssue(c *sdk.Context, in Issue) (ReadOut, error) {
	return patchIssue(c, in, map[string]any{"state": "open"})
}

// AssignIn is the input of assign.
type AssignIn struct {
	Issue
	Assignees []string `json:"assignees" doc:"Logins to add"`
}

// AssignOut is the output of assign.
type AssignOut struct {
	Assignees []string `json:"assignees" doc:"Everyone to whom the issue is assigned now"`
}

func assign(c *sdk.Context, in AssignIn) (AssignOut, error) {
	if len(in.Assignees) == 0 {
		return AssignOut{}, empty("name at least one login")
	}
	var now rawIssue
	err := in.at("issues", "/assignees").send(c, "POST", map[string]any{"assignees": in.Assignees}, &now)
	return AssignOut{Assignees: logins(now.Assignees)}, err
}

// LabelsIn is the input of add_labels and set_labels.
type LabelsIn struct {
	Issue
	Labels []string `json:"labels" doc:"Names of labels"`
}

// LabelsOut is the output of add_labels and set_labels.
type LabelsOut struct {
	Labels []string `json:"labels" doc:"All labels that the issue has now"`
}

func addLabels(c *sdk.Context, in LabelsIn) (LabelsOut, error) {
	if len(in.Labels) == 0 {
		return LabelsOut{}, empty("name at least one label")
	}
	return changeLabels(c, in, "POST")
}

// setLabels with none takes all labels off.
func setLabels(c *sdk.Context, in LabelsIn) (LabelsOut, error) { return changeLabels(c, in, "PUT") }

func changeLabels(c *sdk.Context, in LabelsIn, method string) (LabelsOut, error) {
	var now []label
	err := in.at("issues", "/labels").send(c, method, map[string]any{"labels": in.Labels}, &now)
	return LabelsOut{Labels: names(now)}, err
}

// CommentIn is the input of comment.
type CommentIn struct {
	Issue
	Body string `json:"body" doc:"Markdown"`
}

// CommentOut is the output of comment.
type CommentOut struct {
	ID  int64  `json:"id"`
	URL string `json:"url"`
}

func comment(c *sdk.Context, in CommentIn) (CommentOut, error) {
	if in.Body == "" {
		return CommentOut{}, empty("a comment needs a body")
	}
	var made struct {
		ID      int64  `json:"id"`
		HTMLURL string `json:"html_url"`
	}
	err := in.at("issues", "/comments").send(c, "POST", map[string]any{"body": in.Body}, &made)
	return CommentOut{ID: made.ID, URL: made.HTMLURL}, err
}

// rawComment is a comment as GitHub writes it, of an issue or of a line of code.
type rawComment struct {
	ID        int64  `json:"id"`
	User      person `json:"user"`
	Body      string `json:"body"`
	CreatedAt string `json:"created_at"`
	HTMLURL   string `json:"html_url"`
	Path      string `json:"path"`
	Line      int    `json:"line"`
}

// Comment is a comment. Path and line are those of a review's comment.
type Comment struct {
	ID        int64  `json:"id"`
	Author    string `json:"author"`
	Body      string `json:"body"`
	CreatedAt string `json:"createdAt"`
	URL       string `json:"url"`
	Path      string `json:"path,omitempty" doc:"File that a review's comment is about"`
	Line      int    `json:"line,omitempty" doc:"Line of that file"`
}

// CommentsIn is the input of list_comments and of the lists of a pull request.
type CommentsIn struct {
	Issue
	Limit int `json:"limit,omitempty" doc:"At most this many, 1 to 500; 100 if absent"`
}

// CommentsOut is the output of list_comments and list_review_comments.
type CommentsOut struct {
	Comments []Comment `json:"comments" doc:"Oldest first"`
	More     bool      `json:"more" doc:"Whether there are more than these"`
}

func comments(kind string) func(*sdk.Context, CommentsIn) (CommentsOut, error) {
	return func(c *sdk.Context, in CommentsIn) (CommentsOut, error) {
		got, more, err := list[rawComment](c, in.at(kind, "/comments"), in.Limit)
		out := CommentsOut{Comments: make([]Comment, len(got)), More: more}
		for i, r := range got {
			out.Comments[i] = Comment{
				ID: r.ID, Author: r.User.Login, Body: r.Body, CreatedAt: r.CreatedAt, URL: r.HTMLURL, Path: r.Path, Line: r.Line,
			}
		}
		return out, err
	}
}

var (
	_ = sdk.Action("read_issue", readIssue)
	_ = sdk.Action("list_issues", listIssues)
	_ = sdk.Action("search_issues", searchIssues)
	_ = sdk.Action("create_issue", createIssue)
	_ = sdk.Action("update_issue", updateIssue)
	_ = sdk.Action("close_issue", closeIssue)
	_ = sdk.Action("reopen_issue", reopenIssue)
	_ = sdk.Action("assign", assign)
	_ = sdk.Action("add_labels", addLabels)
	_ = sdk.Action("set_labels", setLabels)
	_ = sdk.Action("comment", comment)
	_ = sdk.Action("list_comments", comments("issues"))
)
