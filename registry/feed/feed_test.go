package feed_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/registry/feed"
	"github.com/writ-run/writ/registry/feed/feedtest"
)

// rig is a repository, its server and a client that has read nothing yet.
type rig struct {
	*feedtest.Repository
	t      *testing.T
	now    time.Time
	server *httptest.Server
	known  *feed.State
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newRig(t *testing.T, threshold int) *rig {
	t.Helper()
	r := &rig{t: t, now: noon}
	var err error
	if r.Repository, err = feedtest.New(r.clock, threshold); err != nil {
		t.Fatal(err)
	}
	r.server = httptest.NewServer(r)
	t.Cleanup(r.server.Close)
	r.known = &feed.State{Root: r.Root()}
	return r
}

func (r *rig) clock() time.Time { return r.now }

func (r *rig) publish(e feedtest.Edition) {
	r.t.Helper()
	if err := r.Publish(e); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) fetch() (*feed.Update, error) {
	return feed.Fetch(context.Background(), r.server.URL, r.known, r.clock)
}

// update fetches and keeps what is known.
func (r *rig) update() *feed.Update {
	r.t.Helper()
	u, err := r.fetch()
	if err != nil {
		r.t.Fatal(err)
	}
	r.known = &u.State
	return u
}

// refused fetches and demands a code, words of the message, and advice.
func (r *rig) refused(code writ.Code, words string) {
	r.t.Helper()
	before := *r.known
	u, err := r.fetch()
	if u != nil || !writ.IsCode(err, code) || !strings.Contains(err.Error(), words) {
		r.t.Errorf("got %v, %v; want %s: %s", u, err, code, words)
	}
	if e, ok := err.(*writ.Error); ok && e.Fix == "" {
		r.t.Errorf("no advice: %v", err)
	}
	if !bytes.Equal(before.Timestamp, r.known.Timestamp) || !bytes.Equal(before.Root, r.known.Root) {
		r.t.Error("what was known has changed")
	}
}

const denied = `"publishers":[{"publisher":"evil","reason":"malware","at":"2026-03-01T10:00:00Z"}]`

func TestUpdates(t *testing.T) {
	r := newRig(t, 1)
	r.publish(feedtest.Edition{})
	if u := r.update(); u.Version != 1 || u.List.Entries() != 0 || u.ExpiresAt.Std() != noon.Add(24*time.Hour) {
		t.Errorf("%+v", u)
	}
	r.publish(feedtest.Edition{List: feedtest.List(denied), Life: time.Hour})
	u := r.update()
	if u.Version != 2 || len(u.List.Publishers) != 1 || u.List.Publishers[0].Reason != "malware" || u.ExpiresAt.Std() != noon.Add(time.Hour) {
		t.Errorf("%+v", u)
	}
	// The same again is the same, byte for byte.
	again := r.update()
	if again.Digest != u.Digest || !bytes.Equal(again.Timestamp, u.Timestamp) || !bytes.Equal(again.Targets, u.Targets) {
		t.Error("nothing changed and it is another state")
	}
}

func TestThreatRollbackToAnOlderTimestamp(t *testing.T) {
	r := newRig(t, 1)
	r.publish(feedtest.Edition{})
	old := r.Files()
	r.publish(feedtest.Edition{List: feedtest.List(denied)})
	r.update()
	r.Serve(old)
	r.refused(writ.CodeTampered, "new timestamp version 1 must be >= 2")
}

// A mix of new timestamp and old list is found too.
func TestThreatRollbackOfOneDocument(t *testing.T) {
	r := newRig(t, 1)
	r.publish(feedtest.Edition{})
	old := r.Files()
	r.publish(feedtest.Edition{List: feedtest.List(denied)})
	mixed := r.Files()
	mixed["2.targets.json"] = old["1.targets.json"]
	r.Serve(mixed)
	r.refused(writ.CodeTampered, "version")
	mixed = r.Files()
	mixed["2.snapshot.json"] = old["1.snapshot.json"]
	r.Serve(mixed)
	r.refused(writ.CodeTampered, "expected 2, got 1")
}

func TestThreatFreeze(t *testing.T) {
	r := newRig(t, 1)
	r.publish(feedtest.Edition{Life: time.Hour})
	r.update()
	r.now = noon.Add(time.Hour)
	r.update() // at the limit
	r.now = noon.Add(time.Hour + time.Second)
	r.refused(writ.CodeExpired, "timestamp.json is expired")
	r.publish(feedtest.Edition{List: feedtest.List(denied)})
	r.update()
}

func TestThreatAnotherRoot(t *testing.T) {
	r, stranger := newRig(t, 1), newRig(t, 1)
	r.publish(feedtest.Edition{})
	r.known = &feed.State{Root: stranger.Root()}
	r.refused(writ.CodeTampered, "timestamp")
	// A next root that the trusted one has not signed.
	r.known = &feed.State{Root: r.Root()}
	if err := stranger.Rotate(); err != nil {
		t.Fatal(err)
	}
	files := r.Files()
	files["2.root.json"] = stranger.Root()
	r.Serve(files)
	r.refused(writ.CodeTampered, "root")
}

func TestRootsRotate(t *testing.T) {
	r := newRig(t, 1)
	r.publish(feedtest.Edition{})
	r.update()
	old := r.Files()
	if err := r.Rotate(); err != nil {
		t.Fatal(err)
	}
	r.publish(feedtest.Edition{List: feedtest.List(denied)})
	if u := r.update(); !bytes.Equal(u.Root, r.Root()) || u.List.Entries() != 1 {
		t.Error("the new root is not kept")
	}
	// The key that was taken out signs no timestamp any more.
	files := r.Files()
	files["timestamp.json"] = old["timestamp.json"]
	r.Serve(files)
	r.refused(writ.CodeTampered, "timestamp")
}

func TestThreatTooFewSignatures(t *testing.T) {
	r := newRig(t, 2)
	r.publish(feedtest.Edition{Signers: 1})
	r.refused(writ.CodeTampered, "targets")
	r.publish(feedtest.Edition{Signers: 2})
	r.update()
}

func TestThreatAnotherList(t *testing.T) {
	r := newRig(t, 1)
	r.publish(feedtest.Edition{List: feedtest.List(denied)})
	files := r.Files()
	for path, data := range files {
		if strings.HasPrefix(path, "targets/") {
			files[path] = bytes.Replace(data, []byte("evil"), []byte("good"), 1)
		}
	}
	r.Serve(files)
	r.refused(writ.CodeTampered, "hash")
}

func TestThreatOversizeTarget(t *testing.T) {
	r := newRig(t, 1)
	most := 4 << 20
	pad := func(size int) string {
		list := feedtest.List(`"keys":[]`)
		return list[:len(list)-1] + strings.Repeat(" ", size-len(list)) + "}"
	}
	r.publish(feedtest.Edition{List: pad(most)})
	r.update()
	asked := r.Asked()
	r.publish(feedtest.Edition{List: pad(most + 1)})
	r.refused(writ.CodeTooLarge, "4194305 bytes")
	if r.Asked()-asked > 4 { // next root, timestamp, snapshot, targets: not the list
		t.Error("it was downloaded before its size was looked at")
	}
}

// TestThreatEndlessBody: no server keeps a client reading, with or without a length.
func TestThreatEndlessBody(t *testing.T) {
	for name, length := range map[string]string{"no length": "", "a small length": "10", "a large length": "1000000000"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1)
			r.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				if strings.Contains(q.URL.Path, "root") {
					http.NotFound(w, q)
					return
				}
				if length != "" {
					w.Header().Set("Content-Length", length)
				}
				for block := bytes.Repeat([]byte(" "), 64<<10); ; {
					if _, err := w.Write(block); err != nil {
						return
					}
				}
			})
			code := writ.CodeTooLarge
			if length == "10" {
				code = writ.CodeUnavailable // the server cuts its own answer
			}
			if _, err := r.fetch(); !writ.IsCode(err, code) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestServersThatDoNotServe(t *testing.T) {
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		code    writ.Code
		words   string
	}{
		"nothing there": {http.NotFound, writ.CodeUnavailable, "status 404 for timestamp.json"},
		"an error":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, writ.CodeUnavailable, "status 503 for 2.root.json"},
		"a redirect": {func(w http.ResponseWriter, q *http.Request) {
			http.Redirect(w, q, "http://169.254.169.254/x", http.StatusFound)
		}, writ.CodeUnavailable, "status 302"},
		"a page": {func(w http.ResponseWriter, q *http.Request) {
			if strings.Contains(q.URL.Path, "root") {
				http.NotFound(w, q)
				return
			}
			_, _ = fmt.Fprint(w, "<html>")
		}, writ.CodeTampered, "no TUF metadata"},
		"a broken answer": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = fmt.Fprint(w, "{")
		}, writ.CodeUnavailable, "unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1)
			r.server.Config.Handler = c.handler
			r.refused(c.code, c.words)
		})
	}
	r := newRig(t, 1)
	r.server.Close()
	r.refused(writ.CodeUnavailable, "refused")
}

// TestEndlessRoots: a server cannot lead a client from root to root for ever.
func TestEndlessRoots(t *testing.T) {
	r := newRig(t, 1)
	for range 70 {
		if err := r.Rotate(); err != nil {
			t.Fatal(err)
		}
	}
	r.publish(feedtest.Edition{})
	r.refused(writ.CodeTampered, "timestamp") // 64 roots later another key still signs
	if r.Asked() > 66 {
		t.Errorf("%d requests", r.Asked())
	}
}

func TestNoSuchTarget(t *testing.T) {
	r := newRig(t, 1)
	r.publish(feedtest.Edition{Target: "other.json"})
	r.refused(writ.CodeInvalid, "no such target")
}

func TestParse(t *testing.T) {
	why := `"reason":"r","at":"2026-03-01T10:00:00Z"`
	many := func(n int) string {
		return `"digests":[` + strings.TrimSuffix(strings.Repeat(`{"digest":"sha256:`+strings.Repeat("0", 64)+`",`+why+`},`, n), ",") + "]"
	}
	for name, c := range map[string]struct {
		list string
		code writ.Code
	}{
		"all kinds": {feedtest.List(
			`"keys":[{"keyId":"k",`+why+`}]`, `"publishers":[{"publisher":"acme",`+why+`}]`, `"identities":[{"issuer":"https://a","san":"b*",`+why+`}]`,
			`"skills":[{"skill":"acme/mail","versions":"<1",`+why+`},{"skill":"acme/mail",`+why+`}]`, `"minimums":[{"skill":"acme/mail","version":"1.0.0",`+why+`}]`,
			many(1)), ""},
		"as many as may be":      {feedtest.List(many(feed.MaxEntries)), ""},
		"one more":               {feedtest.List(many(feed.MaxEntries + 1)), writ.CodeTooLarge},
		"no JSON":                {`{`, writ.CodeInvalid},
		"a list":                 {`[]`, writ.CodeInvalid},
		"another version":        {`{"apiVersion":"writ/v2","kind":"Revocations"}`, writ.CodeInvalid},
		"another kind":           {`{"apiVersion":"writ/v1","kind":"Trust"}`, writ.CodeInvalid},
		"an unknown member":      {feedtest.List(`"trusted":[]`), writ.CodeInvalid},
		"an unknown entry":       {feedtest.List(`"publishers":[{"publisher":"acme","until":"x",` + why + `}]`), writ.CodeInvalid},
		"a member twice":         {feedtest.List(`"keys":[]`, `"keys":[]`), writ.CodeInvalid},
		"a number for a key":     {feedtest.List(`"keys":[{"keyId":1,` + why + `}]`), writ.CodeInvalid},
		"no reason":              {feedtest.List(`"publishers":[{"publisher":"acme","at":"2026-03-01T10:00:00Z"}]`), writ.CodeInvalid},
		"no time":                {feedtest.List(`"publishers":[{"publisher":"acme","reason":"r"}]`), writ.CodeInvalid},
		"a publisher's path":     {feedtest.List(`"publishers":[{"publisher":"../a",` + why + `}]`), writ.CodeInvalid},
		"a skill without a name": {feedtest.List(`"skills":[{"skill":"acme",` + why + `}]`), writ.CodeInvalid},
		"no digest":              {feedtest.List(`"digests":[{"digest":"sha256:0",` + why + `}]`), writ.CodeInvalid},
		"two documents":          {feedtest.List(`"keys":[]`) + "{}", writ.CodeInvalid},
	} {
		if _, err := feed.Parse([]byte(c.list)); writ.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestURLs(t *testing.T) {
	for text, ok := range map[string]bool{
		"https://a.example/tuf": true, "http://127.0.0.1:1": true,
		"": false, "ftp://a": false, "file:///etc": false, "https://": false, "https://u:p@a": false, "https://a?x": false,
		"https://a#x": false, "https:a": false, "://": false, "https://a/" + strings.Repeat("x", 1024): false,
	} {
		if err := feed.CheckURL(text); (err == nil) != ok || err != nil && !writ.IsCode(err, writ.CodeInvalid) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := feed.CheckRoot([]byte("{}")); !writ.IsCode(err, writ.CodeInvalid) {
		t.Error(err)
	}
	if err := feed.CheckRoot(make([]byte, 128<<10+1)); !writ.IsCode(err, writ.CodeTooLarge) {
		t.Error(err)
	}
}

// FuzzParse: whatever is in a list, it is refused with a code or can be read again.
func FuzzParse(f *testing.F) {
	f.Add([]byte(feedtest.List(denied)))
	f.Add([]byte(`{"apiVersion":"writ/v1","kind":"Revocations","skills":[{"skill":"a/b","versions":"<1","reason":"r","at":"2026-03-01T10:00:00Z"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		list, err := feed.Parse(raw)
		if err != nil {
			if code := writ.CodeOf(err); code != writ.CodeInvalid && code != writ.CodeTooLarge {
				t.Errorf("%v", err)
			}
			return
		}
		if list.Entries() > feed.MaxEntries {
			t.Error("more than may be")
		}
	})
}
