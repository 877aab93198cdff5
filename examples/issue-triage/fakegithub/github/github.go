// Package github is a small GitHub: issues with their labels and comments, the REST calls
// with which a bot reads and writes them, and people whose doing is told by webhooks.
package github

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/writ-run/writ/examples/loopback"
)

// maxBody is what GitHub takes for a comment, 65,536 characters of four bytes.
const maxBody = 256 << 10

// patience is how long GitHub waits for a webhook to be answered.
const patience = 10 * time.Second

// State is what GET /_state shows. Requests are those that passed the token
// check; effects are those that changed something.
type State struct {
	Requests   int                 `json:"requests"`
	Refused    int                 `json:"refused"` // without the right token
	Effects    int                 `json:"effects"`
	Keys       map[string]int      `json:"keys"` // requests that write, by Idempotency-Key ("" for none)
	Issues     map[string]*Issue   `json:"issues"`
	Deliveries []loopback.Delivery `json:"deliveries,omitempty"` // of webhooks
}

// Issue is what there is of one issue, by OWNER/REPO#NUMBER in State.
type Issue struct {
	Title    string    `json:"title,omitempty"`
	Body     string    `json:"body,omitempty"`
	Author   string    `json:"author,omitempty"` // empty: the repository's owner
	Labels   []string  `json:"labels"`
	Comments []Comment `json:"comments"`

	created time.Time
}

// Comment of an issue. Edits are how often its text was replaced.
type Comment struct {
	ID     int64  `json:"id"`
	Author string `json:"author"`
	Body   string `json:"body"`
	Edits  int    `json:"edits,omitempty"`
}

// Options of a GitHub.
type Options struct {
	Token   string // that requests must carry
	Secret  string // that webhooks are signed with
	Webhook string // URL to which they are sent; empty: none are, until SetWebhook
}

// GitHub has every repository and every issue that it is asked for. Unlike the real one it
// honours Idempotency-Key: a repeated key gets the first answer again and has no second
// effect.
type GitHub struct {
	token [sha256.Size]byte
	mux   http.ServeMux
	hook  loopback.Hook
	told  sync.WaitGroup // webhooks of what a bot did

	mu      sync.Mutex
	webhook bool
	state   State
	last    int64             // id of a comment
	answers map[string]answer // by Idempotency-Key
}

type answer struct {
	request [sha256.Size]byte // path and body
	status  int
	body    any
}

// New makes one without any issue.
func New(o Options) *GitHub {
	g := &GitHub{
		token: sha256.Sum256([]byte("Bearer " + o.Token)), answers: map[string]answer{},
		state: State{Keys: map[string]int{}, Issues: map[string]*Issue{}},
		hook:  loopback.Hook{Patience: patience, Sign: signer(o.Secret)},
	}
	g.SetWebhook(o.Webhook)
	const repository = "/repos/{owner}/{repo}/issues"
	const issue = repository + "/{number}"
	g.mux.HandleFunc("GET /_state", g.show)
	g.mux.HandleFunc("GET "+issue, g.guarded(numbered(g.read)))
	g.mux.HandleFunc("GET "+issue+"/comments", g.guarded(numbered(g.list)))
	g.mux.HandleFunc("POST "+issue+"/labels", g.guarded(numbered(g.writing(g.addLabels))))
	g.mux.HandleFunc("POST "+issue+"/comments", g.guarded(numbered(g.writing(g.addComment))))
	g.mux.HandleFunc("PATCH "+repository+"/comments/{id}", g.guarded(g.writing(g.editComment)))
	g.mux.HandleFunc("POST /_people/issues", loopback.Act(g.actOpen))
	g.mux.HandleFunc("POST /_people/comments", loopback.Act(g.actComment))
	g.mux.HandleFunc("POST /_people/redeliver", loopback.Act(g.actRedeliver))
	return g
}

// ServeHTTP implements http.Handler.
func (g *GitHub) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.mux.ServeHTTP(w, r) }

// Close waits for the webhooks that are under way.
func (g *GitHub) Close() error {
	g.told.Wait()
	return nil
}

// State is a copy of what was done.
func (g *GitHub) State() State {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := g.state
	out.Keys, out.Issues, out.Deliveries = maps.Clone(out.Keys), map[string]*Issue{}, g.hook.Deliveries()
	for name, issue := range g.state.Issues {
		have := *issue
		have.Labels, have.Comments = slices.Clone(issue.Labels), slices.Clone(issue.Comments)
		out.Issues[name] = &have
	}
	return out
}

// show needs no token: it is for the person at the demo.
func (g *GitHub) show(w http.ResponseWriter, _ *http.Request) {
	loopback.Respond(w, http.StatusOK, g.State())
}

// guarded checks the token in constant time, then holds the state's lock.
func (g *GitHub) guarded(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		given := sha256.Sum256([]byte(r.Header.Get("Authorization")))
		if subtle.ConstantTimeCompare(given[:], g.token[:]) != 1 {
			g.state.Refused++
			loopback.Respond(w, http.StatusUnauthorized, message("Bad credentials"))
			return
		}
		g.state.Requests++
		next(w, r)
	}
}

// numbered refuses what is no number of an issue.
func numbered(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if n, err := strconv.Atoi(r.PathValue("number")); err != nil || n < 1 {
			loopback.Respond(w, http.StatusNotFound, message("Not Found"))
			return
		}
		next(w, r)
	}
}

func (g *GitHub) read(w http.ResponseWriter, r *http.Request) {
	number, _ := strconv.Atoi(r.PathValue("number"))
	issue := g.issue(nameOf(r))
	title, author, body := "An issue", r.PathValue("owner"), any(nil)
	if issue.Author != "" {
		title, author, body = issue.Title, issue.Author, issue.Body
	}
	loopback.Respond(w, http.StatusOK, map[string]any{
		"number": number, "title": title, "body": body, "state": "open", "html_url": pageOf(nameOf(r)),
		"user": map[string]any{"login": author}, "labels": labelObjects(issue.Labels),
	})
}

func (g *GitHub) list(w http.ResponseWriter, r *http.Request) {
	issue := g.issue(nameOf(r))
	out := make([]map[string]any, len(issue.Comments))
	for i := range issue.Comments {
		out[i] = commentObject(nameOf(r), &issue.Comments[i])
	}
	loopback.Respond(w, http.StatusOK, out)
}

// change applies a request's body, or says why not.
type change func(r *http.Request, body []byte) (status int, answer any)

func (g *GitHub) writing(apply change) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			loopback.Respond(w, http.StatusRequestEntityTooLarge, message("the body is too large"))
			return
		}
		key := r.Header.Get("Idempotency-Key")
		g.state.Keys[key]++
		request := sha256.Sum256([]byte(r.URL.Path + "\x00" + string(body)))
		if known, ok := g.answers[key]; ok {
			if known.request != request {
				loopback.Respond(w, http.StatusUnprocessableEntity, message("the Idempotency-Key was used for another request"))
				return
			}
			loopback.Respond(w, known.status, known.body)
			return
		}
		status, said := apply(r, body)
		if status < 300 {
			g.state.Effects++
			if key != "" {
				g.answers[key] = answer{request, status, said}
			}
		}
		loopback.Respond(w, status, said)
	}
}

func (g *GitHub) addLabels(r *http.Request, body []byte) (int, any) {
	var in struct {
		Labels []string `json:"labels"`
	}
	if json.Unmarshal(body, &in) != nil || len(in.Labels) == 0 {
		return http.StatusUnprocessableEntity, message("labels are missing")
	}
	issue := g.issue(nameOf(r))
	for _, label := range in.Labels {
		if !slices.Contains(issue.Labels, label) {
			issue.Labels = append(issue.Labels, label)
		}
	}
	return http.StatusOK, labelObjects(issue.Labels)
}

func (g *GitHub) addComment(r *http.Request, body []byte) (int, any) {
	text := textOf(body)
	if text == "" {
		return http.StatusUnprocessableEntity, message("body is missing")
	}
	c, sent := g.comment(Bot, nameOf(r), text)
	if g.webhook { // GitHub tells of what bots do, too
		ctx := context.WithoutCancel(r.Context())
		g.told.Go(func() { _, _ = g.hook.Send(ctx, sent) }) // what came of it is in the state
	}
	return http.StatusCreated, commentObject(nameOf(r), c)
}

func (g *GitHub) editComment(r *http.Request, body []byte) (int, any) {
	text := textOf(body)
	if text == "" {
		return http.StatusUnprocessableEntity, message("body is missing")
	}
	id, _ := strconv.ParseInt(r.PathValue("id"), 10, 64)
	for name, issue := range g.state.Issues {
		for i := range issue.Comments {
			c := &issue.Comments[i]
			if c.ID != id || repositoryOf(name) != r.PathValue("owner")+"/"+r.PathValue("repo") {
				continue
			}
			if c.Author != Bot.Login {
				return http.StatusForbidden, message("the comment is somebody else's")
			}
			c.Body = text
			c.Edits++
			return http.StatusOK, commentObject(name, c)
		}
	}
	return http.StatusNotFound, message("Not Found")
}

func textOf(body []byte) string {
	var in struct {
		Body string `json:"body"`
	}
	if json.Unmarshal(body, &in) != nil {
		return ""
	}
	return in.Body
}

func (g *GitHub) issue(name string) *Issue {
	issue, ok := g.state.Issues[name]
	if !ok {
		issue = &Issue{Labels: []string{}, Comments: []Comment{}, created: time.Now().UTC()}
		g.state.Issues[name] = issue
	}
	return issue
}

func nameOf(r *http.Request) string {
	return r.PathValue("owner") + "/" + r.PathValue("repo") + "#" + r.PathValue("number")
}

func message(text string) map[string]any { return map[string]any{"message": text} }
