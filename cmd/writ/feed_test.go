package main

import (
	"net/http/httptest"
	"os"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/writ-run/writ/registry/feed/feedtest"
)

// publisher serves a script's feed of revocations, and what an attacker kept of it.
type publisher struct {
	*feedtest.Repository
	kept map[string][]byte
}

type publisherKey struct{}

// newFeed gives a script a feed, as $FEED, with its root in root.json.
func newFeed(e *testscript.Env) error {
	repository, err := feedtest.New(time.Now, 1)
	if err != nil {
		return err
	}
	server := httptest.NewServer(repository)
	e.Defer(server.Close)
	e.Values[publisherKey{}] = &publisher{Repository: repository}
	e.Setenv("FEED", server.URL)
	return os.WriteFile(e.WorkDir+"/root.json", repository.Root(), 0o600)
}

// scriptFeed is `feed publish LIST [LIFE]`, `feed keep` or `feed restore`: the next
// edition from a file, a copy of what is served, and that copy served again.
func scriptFeed(ts *testscript.TestScript, neg bool, args []string) {
	p, _ := ts.Value(publisherKey{}).(*publisher)
	switch {
	case neg || len(args) == 0:
		ts.Fatalf("usage: feed publish LIST [LIFE] | keep | restore")
	case args[0] == "keep":
		p.kept = p.Files()
	case args[0] == "restore":
		p.Serve(p.kept)
	case args[0] == "publish" && len(args) > 1:
		edition := feedtest.Edition{List: ts.ReadFile(args[1])}
		if len(args) > 2 {
			var err error
			edition.Life, err = time.ParseDuration(args[2])
			ts.Check(err)
		}
		ts.Check(p.Publish(edition))
	default:
		ts.Fatalf("usage: feed publish LIST [LIFE] | keep | restore")
	}
}
