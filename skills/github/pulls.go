package main

import (
	"regexp"
	"strings"

	"github.com/writ-run/writ/sdk"
)

// maxDiff of a step's output: a larger change is read file by file.
const maxDiff = 512 << 10

// rawPull is a pull request as GitHub writes it.
type rawPull struct {
	rawIssue
	Draft  bool   `json:"draft"`
	Merged bool   `json:"merged"`
	Able   *bool  `json:"mergeable"`
	How    string `json:"mergeable_state"`
	Head   branch `json:"head"`
	Base   branch `json:"base"`
	Plus   int    `json:"additions"`
	Minus  int    `json:"deletions"`
	Files  int    `json:"changed_files"`
}

type branch struct {
	Ref string `json:"ref"`
	SHA string `json:"sha"`
}

// PullOut is a pull request.
type PullOut struct {
	Number     int      `json:"number"`
	Title      string   `json:"title"`
	Body       string   `json:"body"`
	State      string   `json:"state" enum:"open,closed"`
	Draft      bool     `json:"draft"`
	Merged     bool     `json:"merged"`
	Mergeable  string   `json:"mergeable" enum:"yes,no,unknown" doc:"unknown while GitHub is finding out"`
	MergeState string   `json:"mergeState" doc:"GitHub's word for it, such as clean, blocked, dirty or behind"`
	Author     string   `json:"author"`
	Labels     []string `json:"labels"`
	Head       string   `json:"head" doc:"Branch that the change is on"`
	HeadSHA    string   `json:"headSha" doc:"Its last commit, which merge_pull asks for"`
	Base       string   `json:"base" doc:"Branch that the change goes to"`
	Additions  int      `json:"additions"`
	Deletions  int      `json:"deletions"`
	Files      int      `json:"files" doc:"Number of files that it changes"`
	URL        string   `json:"url"`
}

func (p *rawPull) read() PullOut {
	able := "unknown"
	if p.Able != nil {
		able = map[bool]string{true: "yes", false: "no"}[*p.Able]
	}
	return PullOut{
		Number: p.Number, Title: p.Title, Body: p.Body, State: p.State, Draft: p.Draft, Merged: p.Merged,
		Mergeable: able, MergeState: p.How, Author: p.User.Login, Labels: names(p.Labels),
		Head: p.Head.Ref, HeadSHA: p.Head.SHA, Base: p.Base.Ref, Additions: p.Plus, Deletions: p.Minus, Files: p.Files, URL: p.HTMLURL,
	}
}

func readPull(c *sdk.Context, in Issue) (PullOut, error) {
	var pull rawPull
	if err := in.at("pulls", "").send(c, "GET", nil, &pull); err != nil {
		return PullOut{}, err
	}
	return pull.read(), nil
}

// ListedPull is a pull request in a list.
type ListedPull struct {
	Number  int    `json:"number"`
	Title   string `json:"title"`
	State   string `json:"state"`
	Draft   bool   `json:"draft"`
	Author  string `json:"author"`
	Head    string `json:"head"`
	HeadSHA string `json:"headSha"`
	Base    string `json:"base"`
	URL     string `json:"url"`
}

// PullsIn is the input of list_pulls.
type PullsIn struct {
	Repository
	State string `json:"state,omitempty" enum:"open,closed,all"`
	Base  string `json:"base,omitempty" doc:"Only those to this branch"`
	Limit int    `json:"limit,omitempty" doc:"At most this many, 1 to 500; 100 if absent"`
}

// PullsOut is the output of list_pulls.
type PullsOut struct {
	Pulls []ListedPull `json:"pulls"`
	More  bool         `json:"more" doc:"Whether there are more than these"`
}

func listPulls(c *sdk.Context, in PullsIn) (PullsOut, error) {
	to := in.at("/pulls")
	to.query = given(map[string]string{"state": in.State, "base": in.Base})
	got, more, err := list[rawPull](c, to, in.Limit)
	out := PullsOut{Pulls: make([]ListedPull, len(got)), More: more}
	for i := range got {
		p := &got[i]
		out.Pulls[i] = ListedPull{
			Number: p.Number, Title: p.Title, State: p.State, Draft: p.Draft, Author: p.User.Login,
			Head: p.Head.Ref, HeadSHA: p.Head.SHA, Base: p.Base.Ref, URL: p.HTMLURL,
		}
	}
	return out, err
}

// DiffOut is the output of pull_diff.
type DiffOut struct {
	Diff string `json:"diff"`
	Cut  bool   `json:"cut" doc:"Whether it was longer than 512 KiB"`
}

func pullDiff(c *sdk.Context, in Issue) (DiffOut, error) {
	to := in.at("pulls", "")
	to.accept = asDiff
	diff, err := to.raw(c, "GET", nil)
	if err != nil || len(diff) <= maxDiff {
		return DiffOut{Diff: diff}, err
	}
	return DiffOut{Diff: strings.ToValidUTF8(diff[:maxDiff], ""), Cut: true}, nil
}

// File is a file that a pull request changes.
type File struct {
	Path      string `json:"path"`
	Status    string `json:"status" doc:"added, removed, modified, renamed, ..."`
	Additions int    `json:"additions"`
	Deletions int    `json:"deletions"`
	From      string `json:"from,omitempty" doc:"Its path before it was renamed"`
}

// FilesOut is the output of pull_files.
type FilesOut struct {
	Files []File `json:"files"`
	More  bool   `json:"more" doc:"Whether there are more than these"`
}

func pullFiles(c *sdk.Context, in CommentsIn) (FilesOut, error) {
	got, more, err := list[struct {
		Filename  string `json:"filename"`
		Status    string `json:"status"`
		Additions int    `json:"additions"`
		Deletions int    `json:"deletions"`
		Previous  string `json:"previous_filename"`
	}](c, in.at("pulls", "/files"), in.Limit)
	out := FilesOut{Files: make([]File, len(got)), More: more}
	for i, f := range got {
		out.Files[i] = File{Path: f.Filename, Status: f.Status, Additions: f.Additions, Deletions: f.Deletions, From: f.Previous}
	}
	return out, err
}

// Review is a review of a pull request.
type Review struct {
	ID     int64  `json:"id"`
	Author string `json:"author"`
	State  string `json:"state" doc:"APPROVED, CHANGES_REQUESTED, COMMENTED, DISMISSED or PENDING"`
	Body   string `json:"body"`
	SHA    string `json:"sha" doc:"The commit that was reviewed"`
}

// ReviewsOut is the output of list_reviews.
type ReviewsOut struct {
	Reviews []Review `json:"reviews" doc:"Oldest first"`
	More    bool     `json:"more" doc:"Whether there are more than these"`
}

type rawReview struct {
	ID      int64  `json:"id"`
	User    person `json:"user"`
	State   string `json:"state"`
	Body    string `json:"body"`
	Commit  string `json:"commit_id"`
	HTMLURL string `json:"html_url"`
}

func listReviews(c *sdk.Context, in CommentsIn) (ReviewsOut, error) {
	got, more, err := list[rawReview](c, in.at("pulls", "/reviews"), in.Limit)
	out := ReviewsOut{Reviews: make([]Review, len(got)), More: more}
	for i, r := range got {
		out.Reviews[i] = Review{ID: r.ID, Author: r.User.Login, State: r.State, Body: r.Body, SHA: r.Commit}
	}
	return out, err
}

// ReviewIn is the input of review_pull.
type ReviewIn struct {
	Issue
	Event string `json:"event" enum:"APPROVE,REQUEST_CHANGES,COMMENT"`
	Body  string `json:"body,omitempty" doc:"Markdown; needed for all but APPROVE"`
	SHA   string `json:"sha" doc:"The commit that was looked at, headSha of read_pull"`
}

func reviewPull(c *sdk.Context, in ReviewIn) (CommentOut, error) {
	if in.Event != "APPROVE" && in.Body == "" {
		return CommentOut{}, empty("such a review needs a body")
	}
	if err := checkSHA(in.SHA); err != nil {
		return CommentOut{}, err
	}
	body := map[string]any{"event": in.Event, "commit_id": in.SHA}
	if in.Body != "" {
		body["body"] = in.Body
	}
	var made rawReview
	err := in.at("pulls", "/reviews").send(c, "POST", body, &made)
	return CommentOut{ID: made.ID, URL: made.HTMLURL}, err
}

// CreatePullIn is the input of create_pull.
type CreatePullIn struct {
	Repository
	Title string `json:"title"`
	Body  string `json:"body,omitempty" doc:"Markdown"`
	Head  string `json:"head" doc:"Branch with the change; OWNER:BRANCH for one of a fork"`
	Base  string `json:"base" doc:"Branch that it goes to"`
	Draft bool   `json:"draft,omitempty"`
}

func createPull(c *sdk.Context, in CreatePullIn) (MadeOut, error) {
	if strings.TrimSpace(in.Title) == "" || in.Head == "" || in.Base == "" {
		return MadeOut{}, empty("a pull request needs title, head and base")
	}
	var made rawIssue
	err := in.at("/pulls").send(c, "POST", map[string]any{
		"title": in.Title, "body": in.Body, "head": in.Head, "base": in.Base, "draft": in.Draft,
	}, &made)
	return MadeOut{Number: made.Number, URL: made.HTMLURL}, err
}

// MergeIn is the input of merge_pull.
type MergeIn struct {
	Issue
	SHA    string `json:"sha" doc:"The head commit that was looked at: with another one nothing is merged"`
	Method string `json:"method,omitempty" enum:"merge,squash,rebase"`
	Title  string `json:"title,omitempty" doc:"Of the commit"`
}

// MergeOut is the output of merge_pull.
type MergeOut struct {
	Merged bool   `json:"merged"`
	SHA    string `json:"sha" doc:"The commit that came of it"`
}

var shaPattern = regexp.MustCompile(`^(?:[0-9a-f]{40}|[0-9a-f]{64})$`)

func checkSHA(sha string) error {
	if !shaPattern.MatchString(sha) {
		return sdk.Fail("bad_sha", "sha is not the full hash of a commit")
	}
	return nil
}

func mergePull(c *sdk.Context, in MergeIn) (MergeOut, error) {
	if err := checkSHA(in.SHA); err != nil {
		return MergeOut{}, err
	}
	body := map[string]any{"sha": in.SHA}
	for name, value := range map[string]string{"merge_method": in.Method, "commit_title": in.Title} {
		if value != "" {
			body[name] = value
		}
	}
	var out MergeOut
	err := in.at("pulls", "/merge").send(c, "PUT", body, &out)
	return out, err
}

var (
	_ = sdk.Action("read_pull", readPull)
	_ = sdk.Action("list_pulls", listPulls)
	_ = sdk.Action("pull_diff", pullDiff)
	_ = sdk.Action("pull_files", pullFiles)
	_ = sdk.Action("list_reviews", listReviews)
	_ = sdk.Action("list_review_comments", comments("pulls"))
	_ = sdk.Action("review_pull", reviewPull)
	_ = sdk.Action("create_pull", createPull)
	_ = sdk.Action("merge_pull", mergePull)
)
