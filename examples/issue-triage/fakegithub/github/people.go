package github

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/writ-run/writ/examples/loopback"
)

// Person is an account. The number never changes; the login can.
type Person struct {
	ID    int64  `json:"id"`
	Login string `json:"login"`
}

// Bot is whoever has the token.
var Bot = Person{ID: 41_000_001, Login: "triage-bot[bot]"}

func (p Person) object() map[string]any {
	kind := "User"
	if p == Bot {
		kind = "Bot"
	}
	return map[string]any{"id": p.ID, "login": p.Login, "type": kind}
}

// SetWebhook says where webhooks are sent to; empty: none are.
func (g *GitHub) SetWebhook(url string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.webhook = url != ""
	g.hook.SetURL(url)
}

// signer signs as GitHub does: the body alone.
func signer(secret string) func([]byte) http.Header {
	return func(body []byte) http.Header {
		return http.Header{"X-Hub-Signature-256": {"sha256=" + loopback.MAC(secret, body)}}
	}
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9-]+/[A-Za-z0-9._-]+(#[1-9][0-9]*)?$`)

// Open has a person open an issue, and tells the webhook.
func (g *GitHub) Open(ctx context.Context, by Person, repository, title, body string) (name string, err error) {
	if !nameForm.MatchString(repository) || strings.Contains(repository, "#") || by.ID < 1 || by.Login == "" || title == "" {
		return "", errors.New("an issue has a repository (OWNER/NAME), a title, and somebody with an id and a login who opens it")
	}
	g.mu.Lock()
	for n := 1; ; n++ {
		name = fmt.Sprintf("%s#%d", repository, n)
		if _, taken := g.state.Issues[name]; !taken {
			break
		}
	}
	issue := g.issue(name)
	issue.Title, issue.Body, issue.Author = title, body, by.Login
	said, sent := g.event(by, "issues", "opened", name)
	sent.Body, _ = json.Marshal(said) // of texts and numbers
	g.mu.Unlock()
	_, err = g.hook.Send(ctx, sent)
	return name, err
}

// Comment has a person write in an issue, OWNER/NAME#NUMBER, and tells the webhook.
func (g *GitHub) Comment(ctx context.Context, by Person, name, text string) error {
	if !nameForm.MatchString(name) || !strings.Contains(name, "#") || by.ID < 1 || by.Login == "" || text == "" {
		return errors.New("a comment has an issue (OWNER/NAME#NUMBER), a text, and somebody with an id and a login who writes it")
	}
	g.mu.Lock()
	_, sent := g.comment(by, name, text)
	g.mu.Unlock()
	_, err := g.hook.Send(ctx, sent)
	return err
}

// comment adds one, and is what a webhook says of it.
func (g *GitHub) comment(by Person, name, text string) (*Comment, *loopback.Sent) {
	issue := g.issue(name)
	g.last++
	issue.Comments = append(issue.Comments, Comment{ID: g.last, Author: by.Login, Body: text})
	c := &issue.Comments[len(issue.Comments)-1]
	comment := commentObject(name, c)
	comment["user"] = by.object()
	said, sent := g.event(by, "issue_comment", "created", name)
	said["comment"] = comment
	sent.Body, _ = json.Marshal(said) // of texts and numbers
	return c, sent
}

// event is what a webhook says of an issue, with the members that plans read.
func (g *GitHub) event(by Person, event, action, name string) (map[string]any, *loopback.Sent) {
	repository := repositoryOf(name)
	owner, short, _ := strings.Cut(repository, "/")
	body := map[string]any{
		"action": action, "issue": g.issueObject(name), "sender": by.object(),
		"repository": map[string]any{
			"name": short, "full_name": repository, "private": false, "html_url": "https://github.com/" + repository,
			"owner": map[string]any{"login": owner, "type": "Organization"},
		},
	}
	return body, &loopback.Sent{Event: event + "." + action, Header: http.Header{
		"Content-Type": {"application/json"}, "X-Github-Event": {event}, "User-Agent": {"GitHub-Hookshot/demo"},
	}}
}

func (g *GitHub) issueObject(name string) map[string]any {
	issue := g.issue(name)
	_, after, _ := strings.Cut(name, "#")
	number, _ := strconv.Atoi(after)
	return map[string]any{
		"number": number, "title": issue.Title, "body": issue.Body, "state": "open", "html_url": pageOf(name),
		"user": map[string]any{"login": issue.Author}, "labels": labelObjects(issue.Labels), "created_at": issue.created.Format(time.RFC3339Nano),
	}
}

// What whoever is at the demo does as somebody.

type opening struct {
	Person
	Repository string `json:"repository"`
	Title      string `json:"title"`
	Body       string `json:"body"`
}

func (g *GitHub) actOpen(ctx context.Context, in *opening) (map[string]string, error) {
	name, err := g.Open(ctx, in.Person, in.Repository, in.Title, in.Body)
	return map[string]string{"issue": name}, err
}

type commenting struct {
	Person
	Issue string `json:"issue"`
	Body  string `json:"body"`
}

func (g *GitHub) actComment(ctx context.Context, in *commenting) (map[string]string, error) {
	return map[string]string{"issue": in.Issue}, g.Comment(ctx, in.Person, in.Issue, in.Body)
}

type redelivering struct {
	Number int `json:"number"`
}

func (g *GitHub) actRedeliver(ctx context.Context, in *redelivering) (*loopback.Delivery, error) {
	return g.hook.Again(ctx, in.Number)
}

func repositoryOf(name string) string {
	repository, _, _ := strings.Cut(name, "#")
	return repository
}

func pageOf(name string) string {
	return "https://github.com/" + strings.Replace(name, "#", "/issues/", 1)
}

func commentObject(name string, c *Comment) map[string]any {
	return map[string]any{"id": c.ID, "html_url": fmt.Sprintf("%s#issuecomment-%d", pageOf(name), c.ID), "body": c.Body}
}

func labelObjects(names []string) []map[string]any {
	objects := make([]map[string]any, len(names))
	for i, name := range names {
		objects[i] = map[string]any{"name": name}
	}
	return objects
}
