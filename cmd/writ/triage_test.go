package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	demo "github.com/writ-run/writ/examples/stage"
	"github.com/writ-run/writ/examples/triage-bot/story"
)

// triage is one home of the triage bot for all tests: its skills take some seconds to
// compile. This binary is its `writ`.
var triage struct {
	once  sync.Once
	story *story.Story
	err   error
}

// triageEnds are the tests, after which the home goes.
type triageEnds struct{ *testing.M }

// Run implements testscript.TestingM.
func (m triageEnds) Run() int {
	code := m.M.Run()
	if triage.story != nil {
		if err := triage.story.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "the triage bot:", err)
			code = max(code, 1)
		}
	}
	return code
}

// triageBot is set up, and shows in the test what it does.
func triageBot(t *testing.T) *story.Story {
	t.Helper()
	triage.once.Do(func() {
		binary, err := os.Executable()
		if err == nil {
			triage.story, err = story.New(context.Background(), &story.Options{
				Options:  demo.Options{Binary: binary, Source: filepath.Join("..", ".."), Out: t.Output()},
				Patience: time.Minute, // other tests keep this machine busy
			})
		}
		if err == nil {
			err = triage.story.Tell(t.Context(), triage.story.Opening())
		}
		triage.err = err
	})
	if triage.err != nil {
		t.Fatal(triage.err)
	}
	triage.story.Out = t.Output()
	return triage.story
}

// TestSlackApprovalRoundTrip is the story of the demo: asked in Slack and in the issue,
// pressed and pressed again, commented, rejected with a reason, replayed.
func TestSlackApprovalRoundTrip(t *testing.T) {
	s := triageBot(t)
	if err := s.Tell(t.Context(), s.Acts()); err != nil {
		t.Fatal(err)
	}
}

// TestGitHubApproveRoundTrip decides in the issue alone, with /approve.
func TestGitHubApproveRoundTrip(t *testing.T) {
	s := triageBot(t)
	if err := s.Tell(t.Context(), s.ByComment()); err != nil {
		t.Fatal(err)
	}
}
