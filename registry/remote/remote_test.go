package remote

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/registry"
)

// registries are those of the field, with the referrers API and without.
func registries(t *testing.T) map[string]http.Handler {
	return map[string]http.Handler{
		"referrers API":        ggcrHandler(ggcr.WithReferrersSupport(true)),
		"without referrers":    ggcrHandler(),
		"reference (fallback)": distributionHandler(t),
	}
}

// What is pushed comes back byte for byte, signatures included.
func TestRoundTrip(t *testing.T) {
	for name, handler := range registries(t) {
		t.Run(name, func(t *testing.T) {
			seen := &spy{next: handler}
			host := serve(t, seen)
			c := newClient(t)
			file := bundle(t, "1.0.0")
			about, err := registry.Inspect(file)
			if err != nil {
				t.Fatal(err)
			}
			out := mustPush(t, c, file, Reference{Host: host, Repository: "acme/mailer"})
			if out.Reference.Tag != "1.0.0" || out.Reference.Digest != about.Ref.Digest || out.Signatures != 2 || out.Sent < 300_000 {
				t.Errorf("%+v", out)
			}
			back := mustPull(t, c, at(host))
			if !bytes.Equal(back.File, file) {
				t.Error("the file differs")
			}
			if back.Reference != out.Reference || back.From != host || back.Key != "acme/mailer" || back.Version != "1.0.0" || back.Signatures != 2 {
				t.Errorf("%+v", back)
			}
			pinned, reference, err := c.Fetch(t.Context(), "oci://"+host+"/acme/mailer@"+string(about.Ref.Digest))
			if err != nil || !bytes.Equal(pinned, file) || reference != "oci://"+host+"/acme/mailer@"+string(about.Ref.Digest) {
				t.Errorf("%s %v", reference, err)
			}
			found, err := c.Resolve(t.Context(), at(host))
			if err != nil || found.Reference != out.Reference || found.Key != "acme/mailer" || found.Version != "1.0.0" {
				t.Errorf("%+v %v", found, err)
			}

			// Once more sends manifests alone, and a third signature adds to what is there.
			if again := mustPush(t, c, file, at(host)); again.Sent > 10_000 {
				t.Errorf("%d bytes were sent again", again.Sent)
			}
			more := sign(t, file, key(t))
			mustPush(t, c, more, at(host))
			if got := mustPull(t, c, at(host)); got.Signatures != 4 || len(got.File) != len(more) {
				t.Errorf("%d signatures", got.Signatures)
			}
			if n := seen.count("DELETE"); n != 0 {
				t.Errorf("%d deletions: registries often allow none", n)
			}
		})
	}
}

// A version is one bundle for ever; other tags move.
func TestAVersionIsNotMoved(t *testing.T) {
	host := serve(t, ggcrHandler())
	c := newClient(t)
	first := sign(t, unsigned(t, "1.0.0", 1000), key(t))
	other := sign(t, unsigned(t, "1.0.0", 2000), key(t))
	mustPush(t, c, first, at(host))
	_, err := c.Push(t.Context(), other, at(host))
	refused(t, err, writ.CodeConflict, "there already", "new version number")
	if got := mustPull(t, c, at(host)); !bytes.Equal(got.File, first) {
		t.Error("the tag has moved")
	}
	latest := Reference{Host: host, Repository: "acme/mailer", Tag: "latest"}
	mustPush(t, c, first, latest)
	mustPush(t, c, other, latest)
	if got := mustPull(t, c, latest); !bytes.Equal(got.File, other) {
		t.Error("latest is not the last one pushed")
	}
}

func TestWhatIsNotPushed(t *testing.T) {
	host := serve(t, ggcrHandler())
	c := newClient(t)
	_, err := c.Push(t.Context(), unsigned(t, "1.0.0", 10), at(host))
	refused(t, err, writ.CodeInvalid, "not signed", "writ skill sign")
	_, err = c.Push(t.Context(), []byte("no tar"), at(host))
	refused(t, err, writ.CodeSkillRefused, "tar")
	ref := at(host)
	ref.Digest = writ.Digest("sha256:" + strings.Repeat("0", 64))
	_, err = c.Push(t.Context(), bundle(t, "1.0.0"), ref)
	refused(t, err, writ.CodeInvalid, "the bundle is sha256:")
	_, err = c.Pull(t.Context(), at(host))
	refused(t, err, writ.CodeNotFound)
}

func TestWhatIsNoSkill(t *testing.T) {
	host := serve(t, ggcrHandler())
	c := newClient(t)
	_, err := c.Pull(t.Context(), Reference{Host: host, Repository: "acme/mailer"})
	refused(t, err, writ.CodeInvalid, "which version", ":TAG")
	image := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:` +
		strings.Repeat("a", 64) + `","size":2},"layers":[]}`
	manifestLiteral(t, host, "image", "application/vnd.oci.image.manifest.v1+json", []byte(image))
	_, err = c.Pull(t.Context(), Reference{Host: host, Repository: "acme/mailer", Tag: "image"})
	refused(t, err, writ.CodeSkillRefused, "no skill")
	manifestLiteral(t, host, "index", "application/vnd.oci.image.index.v1+json", []byte(`{"schemaVersion":2,"manifests":[]}`))
	_, err = c.Pull(t.Context(), Reference{Host: host, Repository: "acme/mailer", Tag: "index"})
	refused(t, err, writ.CodeSkillRefused, "want an image manifest")
	manifestLiteral(t, host, "text", "application/vnd.oci.image.manifest.v1+json", []byte(`[]`))
	_, err = c.Pull(t.Context(), Reference{Host: host, Repository: "acme/mailer", Tag: "text"})
	refused(t, err, writ.CodeSkillRefused, "manifest")
}

// The limits are kept before anything is asked for: at the limit it passes, one byte
// more is refused.
func TestLimits(t *testing.T) {
	seen := &spy{next: ggcrHandler()}
	host := serve(t, seen)
	const size = 5000
	file := sign(t, unsigned(t, "1.0.0", size), key(t))
	mustPush(t, newClient(t), file, at(host))
	limited := func(edit func(*registry.Limits)) *Client {
		return newClient(t, func(o *Options) {
			edit(&o.Limits)
		})
	}
	module := "GET /v2/acme/mailer/blobs/" + string(moduleDigest(t, file))
	mustPull(t, limited(func(l *registry.Limits) { l.Module = size }), at(host))
	seen.set(nil)
	_, err := limited(func(l *registry.Limits) { l.Module = size - 1 }).Pull(t.Context(), at(host))
	refused(t, err, writ.CodeSkillRefused, "ARTIFACT_TOO_LARGE", "5000")
	_, err = limited(func(l *registry.Limits) { l.Bundle = size }).Pull(t.Context(), at(host))
	refused(t, err, writ.CodeSkillRefused, "ARTIFACT_TOO_LARGE")
	_, err = limited(func(l *registry.Limits) { l.Document = 300 }).Pull(t.Context(), at(host))
	refused(t, err, writ.CodeSkillRefused, "ARTIFACT_TOO_LARGE")
	if n := seen.count(module); n != 0 {
		t.Errorf("the module was asked for %d times", n)
	}
	mustPull(t, limited(func(l *registry.Limits) { l.Referrers = 2 }), at(host))
	_, err = limited(func(l *registry.Limits) { l.Referrers = 1 }).Pull(t.Context(), at(host))
	refused(t, err, writ.CodeSkillRefused, "more than 1 signatures")
}

func TestMirrors(t *testing.T) {
	origin, mirror, down := &spy{next: ggcrHandler()}, &spy{next: ggcrHandler()}, &spy{next: ggcrHandler()}
	originHost, mirrorHost, downHost := serve(t, origin), serve(t, mirror), serve(t, down)
	down.set(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		http.Error(w, "no", http.StatusBadGateway)
	})
	file := bundle(t, "1.0.0")
	c := newClient(t, func(o *Options) {
		o.Hosts = map[string]Host{originHost: {Mirrors: []string{downHost, mirrorHost + "/copies/of"}}}
	})
	mustPush(t, c, file, at(originHost))
	if mirror.count("") > 0 {
		t.Error("a push went to a mirror")
	}

	// What the mirror does not have comes from the registry.
	if got := mustPull(t, c, at(originHost)); got.From != originHost || mirror.count("/v2/copies/of/acme/mailer/") == 0 {
		t.Errorf("from %s", got.From)
	}
	mustPush(t, c, file, Reference{Host: mirrorHost, Repository: "copies/of/acme/mailer", Tag: "1.0.0"})
	origin.set(nil)
	got := mustPull(t, c, at(originHost))
	if got.From != mirrorHost || got.Reference.Host != originHost || !bytes.Equal(got.File, file) || origin.count("") > 0 {
		t.Errorf("from %s, %d requests to the registry", got.From, origin.count(""))
	}

	// A mirror without the signatures, or with other bytes, does not count.
	mirror.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.Contains(r.URL.Path, "sha256-") {
			http.NotFound(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
	if got := mustPull(t, c, at(originHost)); got.From != originHost || got.Signatures != 2 {
		t.Errorf("from %s, %d signatures", got.From, got.Signatures)
	}
	mirror.set(edited(func(_ http.Header, body []byte) []byte { return bytes.ReplaceAll(body, []byte("wasm"), []byte("masw")) }))
	if got := mustPull(t, c, at(originHost)); got.From != originHost || !bytes.Equal(got.File, file) {
		t.Errorf("from %s", got.From)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for name, h := range map[string]Host{
		"https://a": {}, "": {}, "a/b": {}, "user@host": {}, "a": {Mirrors: []string{"https://b"}}, "b": {Mirrors: []string{"b/UPPER"}},
		"c": {Mirrors: []string{"b:tag/x:1"}}, "d": {CA: []byte("nothing")},
	} {
		_, err := New(Options{Hosts: map[string]Host{name: h}})
		refused(t, err, writ.CodeInvalid)
	}
	// Plain HTTP is for loopback, unless the configuration says otherwise.
	_, err := newClient(t).Pull(t.Context(), at("registry.example"))
	refused(t, err, writ.CodeInvalid, "loopback", "plainHttp: true")
}

// Progress never goes beyond its total and ends there.
func TestProgress(t *testing.T) {
	host := serve(t, ggcrHandler())
	var last Progress
	c := newClient(t, func(o *Options) {
		o.Progress = func(p Progress) {
			if p.Done > p.Total || p.Total < last.Total {
				t.Errorf("%+v after %+v", p, last)
			}
			last = p
		}
	})
	mustPush(t, c, bundle(t, "1.0.0"), at(host))
	if last.Done != last.Total || last.Total < 300_000 {
		t.Errorf("push: %+v", last)
	}
	last = Progress{}
	mustPull(t, c, at(host))
	if last.Done != last.Total || last.Total < 300_000 {
		t.Errorf("pull: %+v", last)
	}
}

// More transfers than there are slots wait for one, and not for ever.
func TestTransfersWait(t *testing.T) {
	s := &spy{next: ggcrHandler()}
	host := serve(t, s)
	file := bundle(t, "1.0.0")
	c := newClient(t, func(o *Options) { o.Transfers = 1 })
	mustPush(t, c, file, at(host))
	under, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		once.Do(func() { close(under); <-release })
		next.ServeHTTP(w, r)
	})
	done := make(chan error)
	go func() {
		_, err := c.Pull(t.Context(), at(host))
		done <- err
	}()
	<-under
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.Pull(ctx, at(host))
	refused(t, err, writ.CodeLimited, "other transfers")
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
	mustPull(t, c, at(host))
}

func BenchmarkPull(b *testing.B) {
	host := serve(b, ggcrHandler())
	file := sign(b, unsigned(b, "1.0.0", 4<<20), key(b))
	c := newClient(b)
	if _, err := c.Push(b.Context(), file, at(host)); err != nil {
		b.Fatal(err)
	}
	for name, dir := range map[string]string{"fetched": "", "cached": b.TempDir()} {
		b.Run(name, func(b *testing.B) {
			c := newClient(b, cached(dir))
			b.SetBytes(int64(len(file)))
			for b.Loop() {
				mustPull(b, c, at(host))
			}
		})
	}
}

func BenchmarkPush(b *testing.B) {
	file := sign(b, unsigned(b, "1.0.0", 4<<20), key(b))
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		host := serve(b, ggcrHandler())
		mustPush(b, newClient(b), file, at(host))
	}
}
