package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
)

// maxBody is what GitHub takes for a comment, 65,536 characters of four bytes.
const maxBody = 256 << 10

// State is what GET /_state shows. Requests are those that passed the token
// check; effects are those that changed something.
type State struct {
	Requests int               `json:"requests"`
	Refused  int               `json:"refused"` // without the right token
	Effects  int               `json:"effects"`
	Keys     map[string]int    `json:"keys"` // requests that write, by Idempotency-Key ("" for none)
	Issues   map[string]*Issue `json:"issues"`
}

// Issue is what there is of one issue, by OWNER/REPO#NUMBER in State.
type Issue struct {
	Labels   []string `json:"labels"`
	Comments []string `json:"comments"`
}

// github is a GitHub with every repository and every issue that it is asked for.
// Unlike the real one it honours Idempotency-Key: a repeated key gets the first
// answer again and has no second effect.
type github struct {
	token [sha256.Size]byte
	mux   http.ServeMux

	mu      sync.Mutex
	state   State
	answers map[string]answer // by Idempotency-Key
}

type answer struct {
	request [sha256.Size]byte // path and body
	status  int
	body    any
}

func newGitHub(token string) http.Handler {
	g := &github{
		token: sha256.Sum256([]byte("Bearer " + token)), answers: map[string]answer{},
		state: State{Keys: map[string]int{}, Issues: map[string]*Issue{}},
	}
	const issue = "/repos/{owner}/{repo}/issues/{number}"
	g.mux.HandleFunc("GET /_state", g.show)
	g.mux.HandleFunc("GET "+issue, g.guarded(g.read))
	g.mux.HandleFunc("POST "+issue+"/labels", g.guarded(g.writing(addLabels)))
	g.mux.HandleFunc("POST "+issue+"/comments", g.guarded(g.writing(addComment)))
	return &g.mux
}

// show needs no token: it is for the person at the demo.
func (g *github) show(w http.ResponseWriter, _ *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	respond(w, http.StatusOK, g.state)
}

// guarded checks the token in constant time, then holds the state's lock.
func (g *github) guarded(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		given := sha256.Sum256([]byte(r.Header.Get("Authorization")))
		if subtle.ConstantTimeCompare(given[:], g.token[:]) != 1 {
			g.state.Refused++
			respond(w, http.StatusUnauthorized, message("Bad credentials"))
			return
		}
		g.state.Requests++
		if n, err := strconv.Atoi(r.PathValue("number")); err != nil || n < 1 {
			respond(w, http.StatusNotFound, message("Not Found"))
			return
		}
		next(w, r)
	}
}

func (g *github) read(w http.ResponseWriter, r *http.Request) {
	number, _ := strconv.Atoi(r.PathValue("number"))
	respond(w, http.StatusOK, map[string]any{
		"number": number, "title": "An issue", "body": nil, "state": "open", "html_url": pageOf(r),
		"user": map[string]any{"login": r.PathValue("owner")}, "labels": labelObjects(g.issue(r).Labels),
	})
}

// change applies a request's body to an issue, or says why not.
type change func(issue *Issue, r *http.Request, body []byte) (status int, answer any)

func (g *github) writing(apply change) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			respond(w, http.StatusRequestEntityTooLarge, message("the body is too large"))
			return
		}
		key := r.Header.Get("Idempotency-Key")
		g.state.Keys[key]++
		request := sha256.Sum256([]byte(r.URL.Path + "\x00" + string(body)))
		if known, ok := g.answers[key]; ok {
			if known.request != request {
				respond(w, http.StatusUnprocessableEntity, message("the Idempotency-Key was used for another request"))
				return
			}
			respond(w, known.status, known.body)
			return
		}
		status, said := apply(g.issue(r), r, body)
		if status < 300 {
			g.state.Effects++
			if key != "" {
				g.answers[key] = answer{request, status, said}
			}
		}
		respond(w, status, said)
	}
}

func addLabels(issue *Issue, _ *http.Request, body []byte) (int, any) {
	var in struct {
		Labels []string `json:"labels"`
	}
	if json.Unmarshal(body, &in) != nil || len(in.Labels) == 0 {
		return http.StatusUnprocessableEntity, message("labels are missing")
	}
	for _, label := range in.Labels {
		if !slices.Contains(issue.Labels, label) {
			issue.Labels = append(issue.Labels, label)
		}
	}
	return http.StatusOK, labelObjects(issue.Labels)
}

func addComment(issue *Issue, r *http.Request, body []byte) (int, any) {
	var in struct {
		Body string `json:"body"`
	}
	if json.Unmarshal(body, &in) != nil || in.Body == "" {
		return http.StatusUnprocessableEntity, message("body is missing")
	}
	issue.Comments = append(issue.Comments, in.Body)
	id := len(issue.Comments)
	return http.StatusCreated, map[string]any{"id": id, "html_url": fmt.Sprintf("%s#issuecomment-%d", pageOf(r), id), "body": in.Body}
}

func (g *github) issue(r *http.Request) *Issue {
	name := r.PathValue("owner") + "/" + r.PathValue("repo") + "#" + r.PathValue("number")
	issue, ok := g.state.Issues[name]
	if !ok {
		issue = &Issue{Labels: []string{}, Comments: []string{}}
		g.state.Issues[name] = issue
	}
	return issue
}

func pageOf(r *http.Request) string {
	return "https://github.com/" + r.PathValue("owner") + "/" + r.PathValue("repo") + "/issues/" + r.PathValue("number")
}

func labelObjects(names []string) []map[string]any {
	objects := make([]map[string]any, len(names))
	for i, name := range names {
		objects[i] = map[string]any{"name": name}
	}
	return objects
}

func message(text string) map[string]any { return map[string]any{"message": text} }

func respond(w http.ResponseWriter, status int, body any) {
	raw, err := json.MarshalIndent(body, "", "  ")
	if err != nil {
		http.Error(w, "the answer cannot be written", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(append(raw, '\n'))
}
