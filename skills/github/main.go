// Command github is the skill writ/github: issues of a repository, over the REST
// API at api.github.com. The host adds the token; this code never sees it.
package main

import (
	"encoding/json"
	"fmt"
	"regexp"

	"github.com/writ-run/writ/sdk"
)

const api = "https://api.github.com"

// Issue names an issue or pull request.
type Issue struct {
	Owner  string `json:"owner" doc:"User or organisation"`
	Repo   string `json:"repo" doc:"Repository name without its owner"`
	Number int    `json:"number" doc:"Number of the issue or pull request"`
}

// ReadOut is the output of read_issue.
type ReadOut struct {
	Number int      `json:"number"`
	Title  string   `json:"title"`
	Body   string   `json:"body"`
	State  string   `json:"state" enum:"open,closed"`
	Author string   `json:"author"`
	Labels []string `json:"labels"`
	URL    string   `json:"url"`
}

func readIssue(c *sdk.Context, in Issue) (ReadOut, error) {
	var issue struct {
		Number  int     `json:"number"`
		Title   string  `json:"title"`
		Body    string  `json:"body"`
		State   string  `json:"state"`
		HTMLURL string  `json:"html_url"`
		Labels  []label `json:"labels"`
		User    struct {
			Login string `json:"login"`
		} `json:"user"`
	}
	if err := in.send(c, in.request("GET", ""), &issue); err != nil {
		return ReadOut{}, err
	}
	return ReadOut{
		Number: issue.Number, Title: issue.Title, Body: issue.Body, State: issue.State,
		Author: issue.User.Login, Labels: names(issue.Labels), URL: issue.HTMLURL,
	}, nil
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
		return CommentOut{}, sdk.Fail("empty", "a comment needs a body")
	}
	var made struct {
		ID      int64  `json:"id"`
		HTMLURL string `json:"html_url"`
	}
	err := in.post(c, "/comments", map[string]any{"body": in.Body}, &made)
	return CommentOut{ID: made.ID, URL: made.HTMLURL}, err
}

// LabelsIn is the input of add_labels.
type LabelsIn struct {
	Issue
	Labels []string `json:"labels" doc:"Names of labels to add"`
}

// LabelsOut is the output of add_labels.
type LabelsOut struct {
	Labels []string `json:"labels" doc:"All labels that the issue has now"`
}

func addLabels(c *sdk.Context, in LabelsIn) (LabelsOut, error) {
	if len(in.Labels) == 0 {
		return LabelsOut{}, sdk.Fail("empty", "name at least one label")
	}
	var now []label
	err := in.post(c, "/labels", map[string]any{"labels": in.Labels}, &now)
	return LabelsOut{Labels: names(now)}, err
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

// GitHub's own rules for names. They also keep an input from reaching another
// path than the one that the step was granted.
var (
	ownerPattern = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})$`)
	repoPattern  = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)
)

func (i Issue) check() error {
	switch {
	case !ownerPattern.MatchString(i.Owner):
		return sdk.Fail("bad_name", fmt.Sprintf("owner %q is not a GitHub account", i.Owner))
	case !repoPattern.MatchString(i.Repo) || i.Repo == "." || i.Repo == "..":
		return sdk.Fail("bad_name", fmt.Sprintf("repo %q is not a repository name", i.Repo))
	case i.Number < 1:
		return sdk.Fail("bad_name", fmt.Sprintf("number %d is not an issue", i.Number))
	}
	return nil
}

func (i Issue) request(method, suffix string) sdk.HTTPRequest {
	return sdk.HTTPRequest{
		Method: method,
		URL:    fmt.Sprintf("%s/repos/%s/%s/issues/%d%s", api, i.Owner, i.Repo, i.Number, suffix),
		Headers: map[string]string{
			"accept": "application/vnd.github+json", "x-github-api-version": "2022-11-28", "user-agent": "writ",
		},
	}
}

func (i Issue) post(c *sdk.Context, suffix string, body map[string]any, into any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request := i.request("POST", suffix)
	request.Body, request.Headers["content-type"] = string(raw), "application/json"
	return i.send(c, request, into)
}

func (i Issue) send(c *sdk.Context, request sdk.HTTPRequest, into any) error {
	if err := i.check(); err != nil {
		return err
	}
	response, err := sdk.HTTP(c, request)
	if err != nil {
		return err
	}
	if response.Status < 200 || response.Status > 299 {
		return refusal(i, response)
	}
	if err := json.Unmarshal([]byte(response.Body), into); err != nil {
		return sdk.Fail("bad_answer", "GitHub's answer could not be read: "+err.Error())
	}
	return nil
}

// refusal turns a status into a code. GitHub's own message is passed on: it says
// what is wrong and holds nothing of the request.
func refusal(i Issue, response *sdk.HTTPResponse) error {
	var said struct {
		Message string `json:"message"`
	}
	if json.Unmarshal([]byte(response.Body), &said) != nil || said.Message == "" {
		said.Message = "no reason was given"
	}
	f := &sdk.Failure{Message: fmt.Sprintf("GitHub answered %d for %s/%s#%d: %s", response.Status, i.Owner, i.Repo, i.Number, said.Message)}
	switch response.Status {
	case 401:
		f.Code, f.Fix = "unauthorised", "set the secret github-token to a valid token"
	case 403, 429:
		f.Code, f.Fix = "forbidden", "give the token the issues permission, or wait where its rate limit is used up"
	case 404:
		f.Code, f.Fix = "not_found", "check owner, repo and number, and that the token may see the repository"
	case 410:
		f.Code = "gone"
	case 422:
		f.Code = "refused"
	default:
		f.Code = "github_status"
	}
	return f
}

var (
	_ = sdk.Action("read_issue", readIssue)
	_ = sdk.Action("comment", comment)
	_ = sdk.Action("add_labels", addLabels)
)

func main() {} // a skill is entered through its actions
