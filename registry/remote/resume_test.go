package remote

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/writ-run/writ"
)

// cutting ends each answer about the module after some bytes, whether or not it is a
// range, and counts what was sent of it.
type cutting struct {
	module string
	after  int
	ranges bool
	sent   int
	cuts   int // how many more; then everything is sent
}

func (c *cutting) answer(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if !isGet(r, c.module) {
		next.ServeHTTP(w, r)
		return
	}
	if !c.ranges {
		r.Header.Del("Range")
	}
	recorded := httptest.NewRecorder()
	next.ServeHTTP(recorded, r)
	for name, values := range recorded.Header() {
		w.Header()[name] = values
	}
	body := recorded.Body.Bytes()
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(recorded.Code)
	if c.cuts > 0 && len(body) > c.after {
		c.cuts--
		body = body[:c.after]
	}
	c.sent += len(body)
	_, _ = w.Write(body)
}

// A transfer that breaks goes on where it broke, where the registry knows ranges, and
// begins again where it does not.
func TestBrokenTransfers(t *testing.T) {
	for name, test := range map[string]struct {
		handler  http.Handler
		ranges   bool
		cuts     int
		sent     int
		complete bool
	}{
		"ranges":                    {ggcrHandler(), true, 2, 300_000, true},
		"ranges, reference":         {distributionHandler(t), true, 2, 300_000, true},
		"many cuts with progress":   {ggcrHandler(), true, 1000, 300_000, true},
		"no ranges":                 {ggcrHandler(), false, 2, 500_000, true},
		"no ranges and no end":      {ggcrHandler(), false, 1000, 0, false},
		"no ranges, but in the end": {ggcrHandler(), false, 4, 700_000, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := &spy{next: test.handler}
			host := serve(t, s)
			file := bundle(t, "1.0.0")
			c := newClient(t, cached(t.TempDir()))
			mustPush(t, c, file, at(host))
			cut := &cutting{module: moduleDigest(t, file).Hex(), after: 100_000, ranges: test.ranges, cuts: test.cuts}
			s.set(cut.answer)
			got, err := c.Pull(t.Context(), at(host))
			if !test.complete {
				refused(t, err, writ.CodeUnavailable, "broke")
				return
			}
			if err != nil {
				t.Fatal(describe(err))
			}
			if !bytes.Equal(got.File, file) || cut.sent != test.sent {
				t.Errorf("%d bytes of the module were sent, want %d", cut.sent, test.sent)
			}
		})
	}
}

// What one command fetched the next does not fetch again, also after it was killed.
func TestResumeOverProcesses(t *testing.T) {
	s := &spy{next: ggcrHandler()}
	host := serve(t, s)
	file := bundle(t, "1.0.0")
	dir := t.TempDir()
	mustPush(t, newClient(t), file, at(host))
	module := moduleDigest(t, file).Hex()
	fetch := func(want int64) {
		t.Helper()
		got := mustPull(t, newClient(t, cached(dir)), at(host))
		if !bytes.Equal(got.File, file) || (want >= 0 && got.Fetched != want) {
			t.Errorf("%d bytes were fetched, want %d", got.Fetched, want)
		}
	}
	whole := mustPull(t, newClient(t), at(host)).Fetched
	s.set((&cutting{module: module, after: 100_000, cuts: 1000}).answer)
	_, err := newClient(t, cached(dir)).Pull(t.Context(), at(host))
	refused(t, err, writ.CodeUnavailable, "kept")
	if info, err := os.Stat(filepath.Join(dir, module+partialSuffix)); err != nil || info.Size() != 100_000 {
		t.Fatalf("%v %v", info, err)
	}
	s.set(nil)
	got := mustPull(t, newClient(t, cached(dir)), at(host))
	if s.count("bytes=100000-299999") != 1 || !bytes.Equal(got.File, file) || got.Fetched > whole-100_000 {
		t.Errorf("%v, %d bytes", s.requests, got.Fetched)
	}
	s.set(nil)
	fetch(446) // the manifest that the tag led to
	if s.count("/blobs/") > 0 {
		t.Errorf("%v", s.requests)
	}

	// What does not hash is removed and fetched again, whole or in part.
	if err := os.WriteFile(filepath.Join(dir, module), make([]byte, 300_000), 0o600); err != nil {
		t.Fatal(err)
	}
	fetch(300_446)
	if err := os.Rename(filepath.Join(dir, module), filepath.Join(dir, module+partialSuffix)); err != nil {
		t.Fatal(err)
	}
	fetch(446) // complete already
	for _, wrong := range []int{1, 299_999, 300_000, 300_001} {
		if err := os.Remove(filepath.Join(dir, module)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, module+partialSuffix), make([]byte, wrong), 0o600); err != nil {
			t.Fatal(err)
		}
		fetch(-1)
	}

	// A killed process leaves its claim, which is free after a while.
	claim := filepath.Join(dir, module+".123"+claimSuffix)
	data, err := os.ReadFile(filepath.Join(dir, module))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, module)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(claim, data[:200_000], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(claim, now, now); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, cached(dir), func(o *Options) { o.Clock = func() time.Time { return now.Add(abandoned) } })
	s.set(nil)
	mustPull(t, c, at(host))
	if s.count("bytes=200000-299999") != 1 {
		t.Errorf("%v", s.requests)
	}
}

// The cache keeps to its bound, and what cannot be written is no reason to fail.
func TestCacheBounds(t *testing.T) {
	host := serve(t, ggcrHandler())
	dir := t.TempDir()
	at := func(n int) Reference {
		return Reference{Host: host, Repository: "acme/mailer", Tag: fmt.Sprintf("1.0.%d", n)}
	}
	tick := now
	c := newClient(t, cached(dir), func(o *Options) {
		o.CacheBytes = 50_000
		o.Clock = func() time.Time { tick = tick.Add(time.Second); return tick }
	})
	for n := range 5 {
		mustPush(t, c, sign(t, unsigned(t, fmt.Sprintf("1.0.%d", n), 30_000+n), key(t)), at(n))
		mustPull(t, c, at(n))
	}
	c.cache.sweep()
	total := int64(0)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	if total > 50_000 || total < 20_000 {
		t.Errorf("%d bytes in %d files", total, len(entries))
	}
	occupied := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(occupied, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	mustPull(t, newClient(t, cached(occupied)), at(0))
}

// Many at once share a cache and disturb nobody.
func TestHammer(t *testing.T) {
	host := serve(t, ggcrHandler())
	dir := t.TempDir()
	file := bundle(t, "1.0.0")
	mustPush(t, newClient(t), file, at(host))
	shared := newClient(t, cached(dir))
	var group sync.WaitGroup
	for i := range 16 {
		c := shared
		if i%2 == 0 {
			c = newClient(t, cached(dir))
		}
		group.Go(func() {
			got, err := c.Pull(t.Context(), at(host))
			if err != nil || !bytes.Equal(got.File, file) {
				t.Errorf("%v", err)
			}
		})
	}
	group.Wait()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.Contains(e.Name(), ".") {
			t.Errorf("%s is left", e.Name())
		}
	}
}

// Where the list of signatures is a tag that each client reads and writes, of two
// clients one may lose: it notices and attaches again.
func TestLostAttachments(t *testing.T) {
	s := &spy{next: ggcrHandler()}
	host := serve(t, s)
	c := newClient(t)
	lost := 0
	s.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/sha256-") && lost < 2 {
			lost++ // somebody else's list comes after ours
			w.WriteHeader(http.StatusCreated)
			return
		}
		next.ServeHTTP(w, r)
	})
	mustPush(t, c, bundle(t, "1.0.0"), at(host))
	if got := mustPull(t, c, at(host)); got.Signatures != 2 || lost != 2 {
		t.Errorf("%d signatures, %d lost", got.Signatures, lost)
	}
	lost = -1000
	_, err := c.Push(t.Context(), bundle(t, "2.0.0"), Reference{Host: host, Repository: "acme/mailer"})
	refused(t, err, writ.CodeConflict, "does not list 2")
}
