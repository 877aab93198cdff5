// Command github is the skill writ/github: issues and pull requests of a
// repository, over the REST API at api.github.com. The host adds the token; this
// code never sees it.
package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strconv"

	"github.com/writ-run/writ/sdk"
)

const (
	api     = "https://api.github.com"
	asJSON  = "application/vnd.github+json"
	asDiff  = "application/vnd.github.diff"
	perPage = 100 // the most that GitHub gives
	// maxItems of a list is five pages: what a step puts out is read by people and
	// by policies.
	maxItems, defaultItems = 500, 100
)

// Repository names a repository.
type Repository struct {
	Owner string `json:"owner" doc:"User or organisation"`
	Repo  string `json:"repo" doc:"Repository name without its owner"`
}

// Issue names an issue or pull request.
type Issue struct {
	Owner  string `json:"owner" doc:"User or organisation"`
	Repo   string `json:"repo" doc:"Repository name without its owner"`
	Number int    `json:"number" doc:"Number of the issue or pull request"`
}

// GitHub's own rules for names. They also keep an input from reaching another
// path than the one that the step was granted.
var (
	ownerPattern = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})$`)
	repoPattern  = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)
)

func (r Repository) check() error {
	switch {
	case !ownerPattern.MatchString(r.Owner):
		return sdk.Fail("bad_name", fmt.Sprintf("owner %q is not a GitHub account", r.Owner))
	case !repoPattern.MatchString(r.Repo) || r.Repo == "." || r.Repo == "..":
		return sdk.Fail("bad_name", fmt.Sprintf("repo %q is not a repository name", r.Repo))
	}
	return nil
}

// at is a path within the repository.
func (r Repository) at(path string) *target {
	return &target{path: "/repos/" + r.Owner + "/" + r.Repo + path, about: r.Owner + "/" + r.Repo, fault: r.check()}
}

// at is a path of the issue, or with pulls of the pull request.
func (i Issue) at(kind, suffix string) *target {
	to := Repository{i.Owner, i.Repo}.at("/" + kind + "/" + strconv.Itoa(i.Number) + suffix)
	if to.about += "#" + strconv.Itoa(i.Number); to.fault == nil && i.Number < 1 {
		to.fault = sdk.Fail("bad_name", fmt.Sprintf("number %d is not an issue", i.Number))
	}
	return to
}

// target is where a request goes. One with a fault is never sent.
type target struct {
	path, about string
	query       url.Values
	accept      string // asJSON where empty
	fault       error
}

// raw sends a request and gives the body of an answer that is not a refusal.
func (t *target) raw(c *sdk.Context, method string, body any) (string, error) {
	if t.fault != nil {
		return "", t.fault
	}
	request := sdk.HTTPRequest{Method: method, URL: api + t.path, Headers: map[string]string{
		"accept": asJSON, "x-github-api-version": "2022-11-28", "user-agent": "writ",
	}}
	if t.accept != "" {
		request.Headers["accept"] = t.accept
	}
	if len(t.query) > 0 {
		request.URL += "?" + t.query.Encode()
	}
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return "", err
		}
		request.Body, request.Headers["content-type"] = string(raw), "application/json"
	}
	response, err := sdk.HTTP(c, request)
	if err != nil {
		return "", err
	}
	if response.Status < 200 || response.Status > 299 {
		return "", refusal(t.about, response)
	}
	return response.Body, nil
}

// send is raw for an answer in JSON.
func (t *target) send(c *sdk.Context, method string, body, into any) error {
	answer, err := t.raw(c, method, body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(answer), into); err != nil {
		return sdk.Fail("bad_answer", "GitHub's answer could not be read: "+err.Error())
	}
	return nil
}

// list follows pages until there are limit items or no more. One item more than is
// asked for says that there are more.
func list[T any](c *sdk.Context, t *target, limit int) (items []T, more bool, err error) {
	if limit, err = limitOf(limit, maxItems); err != nil {
		return nil, false, err
	}
	if t.query == nil {
		t.query = url.Values{}
	}
	t.query.Set("per_page", strconv.Itoa(perPage))
	for page := 1; ; page++ {
		t.query.Set("page", strconv.Itoa(page))
		var got []T
		if err := t.send(c, "GET", nil, &got); err != nil {
			return nil, false, err
		}
		items = append(items, got...)
		switch {
		case len(items) > limit:
			return items[:limit], true, nil
		case len(got) < perPage:
			return items, false, nil
		}
	}
}

func limitOf(limit, most int) (int, error) {
	if limit < 0 || limit > most {
		return 0, sdk.Fail("bad_limit", fmt.Sprintf("limit is %d: want 1 to %d", limit, most))
	}
	if limit == 0 {
		return min(defaultItems, most), nil
	}
	return limit, nil
}

// refusal turns a status into a code. GitHub's own message is passed on: it says
// what is wrong and holds nothing of the request.
func refusal(about string, response *sdk.HTTPResponse) error {
	var said struct {
		Message string `json:"message"`
	}
	if json.Unmarshal([]byte(response.Body), &said) != nil || said.Message == "" {
		said.Message = "no reason was given"
	}
	f := &sdk.Failure{Message: fmt.Sprintf("GitHub answered %d for %s: %s", response.Status, about, said.Message)}
	switch response.Status {
	case 401:
		f.Code, f.Fix = "unauthorised", "set the secret github-token to a valid token"
	case 403, 429:
		f.Code, f.Fix = "forbidden", "give the token the permission that the action needs, or wait where its rate limit is used up"
	case 404:
		f.Code, f.Fix = "not_found", "check owner, repo and number, and that the token may see the repository"
	case 405, 409:
		f.Code, f.Fix = "conflict", "read the pull request again: it is not mergeable, or its head is another commit now"
	case 410:
		f.Code = "gone"
	case 422:
		f.Code = "refused"
	default:
		f.Code = "github_status"
	}
	return f
}

func empty(what string) error { return sdk.Fail("empty", what) }

func main() {} // a skill is entered through its actions
