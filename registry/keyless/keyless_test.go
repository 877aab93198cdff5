package keyless

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/registry/keyless/keylesstest"
)

var (
	moment = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	digest = sha256.Sum256([]byte("a bundle"))
	about  = []byte(fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"a/b@1.0.0","digest":{"sha256":"%x"}}],"predicateType":"t","predicate":{}}`, digest))
)

const (
	issuer   = "https://issuer.test"
	workflow = "https://github.com/acme/skills/.github/workflows/release.yml@refs/tags/v1.0.0"
)

func release() keylesstest.Subject {
	return keylesstest.Subject{
		SAN: workflow, Issuer: issuer, Repository: "https://github.com/acme/skills", Ref: "refs/tags/v1.0.0",
		Digest: strings.Repeat("a", 40), Runner: "github-hosted", Signer: workflow,
	}
}

func parse(t testing.TB, raw []byte) *Root {
	t.Helper()
	r, err := ParseRoot(raw)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func verifyJSON(t testing.TB, raw []byte, roots ...*Root) (*Claims, error) {
	t.Helper()
	var b bundle.Bundle
	if err := b.UnmarshalJSON(raw); err != nil {
		t.Fatal(err)
	}
	claims, _, err := Verify(&b, digest[:], roots)
	return claims, err
}

func TestSignedTimeDecides(t *testing.T) {
	s := keylesstest.New(t, moment)
	stamps, log := parse(t, s.Root(keylesstest.Trusted{})), parse(t, s.Root(keylesstest.Trusted{Log: true}))
	logAlone := parse(t, s.Root(keylesstest.Trusted{Log: true, NoTimestamps: true}))
	certificateLog := parse(t, s.Root(keylesstest.Trusted{CertificateLog: true}))
	other := parse(t, keylesstest.New(t, moment).Root(keylesstest.Trusted{}))
	for _, c := range []struct {
		name string
		how  keylesstest.Signing
		root *Root
		ok   bool
	}{
		{"a timestamp", keylesstest.Signing{}, stamps, true},
		{"a timestamp and a log entry", keylesstest.Signing{Log: true}, log, true},
		{"a log's time alone", keylesstest.Signing{Log: true, Unstamped: true}, logAlone, true},
		{"a log that gives no time, alone", keylesstest.Signing{Log: true, Unstamped: true, Timeless: true}, logAlone, false},
		{"a log that gives no time, and a timestamp", keylesstest.Signing{Log: true, Timeless: true}, log, true},
		{"neither", keylesstest.Signing{Unstamped: true}, stamps, false},
		{"the log entry is left out", keylesstest.Signing{}, log, false},
		{"a log that the root does not name", keylesstest.Signing{Log: true, Unstamped: true}, stamps, false},
		{"stamped in the certificate's last second", keylesstest.Signing{StampedAt: moment.Add(10 * time.Minute)}, stamps, true},
		{"stamped a second after", keylesstest.Signing{StampedAt: moment.Add(10*time.Minute + time.Second)}, stamps, false},
		{"stamped before it was valid", keylesstest.Signing{StampedAt: moment.Add(-time.Second)}, stamps, false},
		{"in time for the stamp, late for the log", keylesstest.Signing{Log: true, LoggedAt: moment.Add(11 * time.Minute)}, log, false},
		{"stamped outside of the authority's window", keylesstest.Signing{CertifiedAt: moment.Add(25 * time.Hour)}, stamps, false},
		{"no timestamp of a certificate log", keylesstest.Signing{}, certificateLog, false},
		{"another Sigstore", keylesstest.Signing{}, other, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			claims, err := verifyJSON(t, s.Sign(about, release(), c.how), c.root)
			if (err == nil) != c.ok || (claims == nil) == c.ok {
				t.Fatalf("%v %+v", err, claims)
			}
			if c.ok && (claims.SAN != workflow || claims.Issuer != issuer || claims.SourceRepository != "https://github.com/acme/skills" ||
				claims.SourceDigest != strings.Repeat("a", 40) || claims.Root != c.root.Digest || claims.SignedAt == 0) {
				t.Errorf("%+v", claims)
			}
		})
	}
	if _, err := verifyJSON(t, s.Sign(about, release(), keylesstest.Signing{})); !errors.Is(err, ErrNoRoot) {
		t.Errorf("no root: %v", err)
	}
	// The certificate of one deployment and the timestamp of another never add up,
	// and a root that accepts is found among others.
	claims, err := verifyJSON(t, s.Sign(about, release(), keylesstest.Signing{StampedAt: moment.Add(2 * time.Minute)}), other, stamps)
	if err != nil || claims.SignedAt != canon.TimeOf(moment.Add(2*time.Minute)) {
		t.Error(err, claims)
	}
}

func TestAnotherDigestIsRefused(t *testing.T) {
	s := keylesstest.New(t, moment)
	var b bundle.Bundle
	if err := b.UnmarshalJSON(s.Sign(about, release(), keylesstest.Signing{})); err != nil {
		t.Fatal(err)
	}
	wrong := sha256.Sum256([]byte("another bundle"))
	if _, _, err := Verify(&b, wrong[:], []*Root{parse(t, s.Root(keylesstest.Trusted{}))}); err == nil {
		t.Error("accepted")
	}
}

func TestIdentityIsTheWholeName(t *testing.T) {
	s := keylesstest.New(t, moment)
	root := parse(t, s.Root(keylesstest.Trusted{}))
	claims := func(who keylesstest.Subject) *Claims {
		c, err := verifyJSON(t, s.Sign(about, who, keylesstest.Signing{}), root)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	const repository = "https://github.com/acme/skills"
	good := release()
	with := func(edit func(*keylesstest.Subject)) keylesstest.Subject {
		who := release()
		edit(&who)
		return who
	}
	tags := Identity{Issuer: issuer, SANPattern: `https://github\.com/acme/skills/\.github/workflows/release\.yml@refs/tags/v[0-9.]+`, SourceRepository: repository}
	for _, c := range []struct {
		name string
		id   Identity
		who  keylesstest.Subject
		ok   bool
	}{
		{"exact", Identity{Issuer: issuer, SAN: workflow, SourceRepository: repository}, good, true},
		{"pattern", tags, good, true},
		{"everything is compared", Identity{Issuer: issuer, SAN: workflow, SourceRepository: repository, SourceRef: "refs/tags/v1.0.0", RunnerEnvironment: "github-hosted"}, good, true},
		{"a longer name", tags, with(func(w *keylesstest.Subject) { w.SAN += "/evil" }), false},
		{"a name before it", tags, with(func(w *keylesstest.Subject) {
			w.SAN = "https://evil.test/https://github.com/acme/skills/.github/workflows/release.yml@refs/tags/v1"
		}), false},
		{
			"an alternative stays inside of the anchors",
			Identity{Issuer: issuer, SANPattern: "https://x|" + tags.SANPattern, SourceRepository: repository},
			with(func(w *keylesstest.Subject) { w.SAN = "https://x.evil.test/a" }), false,
		},
		{"lines of their own", Identity{Issuer: issuer, SANPattern: "(?m)^" + tags.SANPattern + "$", SourceRepository: repository}, good, true},
		{"another workflow", Identity{Issuer: issuer, SAN: workflow, SourceRepository: repository}, with(func(w *keylesstest.Subject) { w.SAN = strings.Replace(w.SAN, "release", "test", 1) }), false},
		{"letters of other case", Identity{Issuer: issuer, SAN: workflow, SourceRepository: repository}, with(func(w *keylesstest.Subject) { w.SAN = strings.ToUpper(w.SAN) }), false},
		{"another issuer", Identity{Issuer: "https://issuer.test.evil", SAN: workflow, SourceRepository: repository}, good, false},
		{"an issuer's prefix", Identity{Issuer: "https://issuer.tes", SAN: workflow, SourceRepository: repository}, good, false},
		{"called from another repository", Identity{Issuer: issuer, SAN: workflow, SourceRepository: repository}, with(func(w *keylesstest.Subject) { w.Repository = "https://github.com/evil/skills" }), false},
		{"the certificate names no repository", Identity{Issuer: issuer, SAN: workflow, SourceRepository: repository}, with(func(w *keylesstest.Subject) { w.Repository = "" }), false},
		{"another ref", Identity{Issuer: issuer, SAN: workflow, SourceRepository: repository, SourceRef: "refs/heads/main"}, good, false},
		{
			"a runner of one's own",
			Identity{Issuer: issuer, SAN: workflow, SourceRepository: repository, RunnerEnvironment: "github-hosted"},
			with(func(w *keylesstest.Subject) { w.Runner = "self-hosted" }), false,
		},
		{"a person", Identity{Issuer: issuer, SAN: "ada@example.com"}, keylesstest.Subject{SAN: "ada@example.com", Issuer: issuer}, true},
		{"a person who is not meant", Identity{Issuer: issuer, SAN: "ada@example.com"}, keylesstest.Subject{SAN: "xada@example.com", Issuer: issuer}, false},
		{"the zero identity", Identity{}, good, false},
		{"an identity without an issuer", Identity{SAN: workflow, SourceRepository: repository}, good, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.id.Matches(claims(c.who)); got != c.ok {
				t.Errorf("%v", got)
			}
		})
	}
	if (&Identity{Issuer: issuer, SAN: workflow, SourceRepository: repository}).Matches(nil) {
		t.Error("nobody matches")
	}
}

func TestIdentitiesThatAreRefused(t *testing.T) {
	ok := Identity{Issuer: issuer, SAN: "ada@example.com"}
	if err := ok.Check(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		id    Identity
		place string
	}{
		"no issuer":                         {Identity{SAN: "ada@example.com"}, "issuer"},
		"an issuer that is no URL":          {Identity{Issuer: "github", SAN: "ada@example.com"}, "issuer"},
		"no name":                           {Identity{Issuer: issuer}, "san"},
		"a name and a pattern":              {Identity{Issuer: issuer, SAN: "a", SANPattern: "a", SourceRepository: "https://a.test/b"}, "san"},
		"a pattern without repository":      {Identity{Issuer: issuer, SANPattern: ".*@example.com"}, "sourceRepository"},
		"a workflow without repository":     {Identity{Issuer: issuer, SAN: workflow}, "sourceRepository"},
		"a repository that is no URL":       {Identity{Issuer: issuer, SAN: workflow, SourceRepository: "acme/skills"}, "sourceRepository"},
		"a pattern that breaks out":         {Identity{Issuer: issuer, SANPattern: `a)|(?:b`, SourceRepository: "https://a.test/b"}, "sanPattern"},
		"a pattern that quotes the anchors": {Identity{Issuer: issuer, SANPattern: `a\Q`, SourceRepository: "https://a.test/b"}, "sanPattern"},
		"no pattern":                        {Identity{Issuer: issuer, SANPattern: `[`, SourceRepository: "https://a.test/b"}, "sanPattern"},
		"a control character":               {Identity{Issuer: issuer, SAN: "ada@example.com\n"}, "san"},
		"one byte too long":                 {Identity{Issuer: issuer, SAN: strings.Repeat("a", maxMember+1)}, "san"},
	} {
		t.Run(name, func(t *testing.T) {
			var e *writ.Error
			if err := c.id.Check(); !errors.As(err, &e) || e.Code != writ.CodeInvalid || e.Place != c.place {
				t.Errorf("%v", err)
			}
		})
	}
	ok.SAN = strings.Repeat("a", maxMember)
	if err := ok.Check(); err != nil {
		t.Errorf("at the limit: %v", err)
	}
}

func TestIdentityIDs(t *testing.T) {
	a := Identity{Issuer: issuer, SAN: "ada@example.com"}
	b := a
	if a.ID("acme") != b.ID("acme") || a.ID("acme") == a.ID("evil") {
		t.Error(a.ID("acme"), b.ID("acme"), a.ID("evil"))
	}
	if b.SAN = "eve@example.com"; a.ID("acme") == b.ID("acme") {
		t.Error("two identities, one name")
	}
}

func TestRootsThatAreRefused(t *testing.T) {
	s := keylesstest.New(t, moment)
	for name, c := range map[string]struct {
		raw  []byte
		code writ.Code
	}{
		"nothing":             {nil, writ.CodeInvalid},
		"empty":               {[]byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`), writ.CodeInvalid},
		"another document":    {[]byte(`{"signed":{}}`), writ.CodeInvalid},
		"nobody gives a time": {s.Root(keylesstest.Trusted{NoTimestamps: true}), writ.CodeInvalid},
		"too large":           {append(s.Root(keylesstest.Trusted{}), make([]byte, MaxRoot)...), writ.CodeTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			var e *writ.Error
			if _, err := ParseRoot(c.raw); !errors.As(err, &e) || e.Code != c.code || e.Message == "" {
				t.Errorf("%v", err)
			}
		})
	}
	padded := s.Root(keylesstest.Trusted{})
	padded = append(padded, []byte(strings.Repeat(" ", MaxRoot-len(padded)))...)
	if _, err := ParseRoot(padded); err != nil {
		t.Errorf("at the limit: %v", err)
	}
}

// What a public CI signed for a public package, judged without a network: the
// library's own data, which its module brings along.
func TestPublicGoodBundle(t *testing.T) {
	dir := moduleDir(t)
	raw, err := os.ReadFile(filepath.Join(dir, "pkg/testing/data/trusted-roots/public-good.json"))
	if err != nil {
		t.Fatal(err)
	}
	root := parse(t, raw)
	if root.CertificateLogs == 0 || root.Logs == 0 {
		t.Errorf("%+v", root)
	}
	raw, err = os.ReadFile(filepath.Join(dir, "pkg/testing/data/bundles/sigstore.js@2.0.0-provenance.sigstore.json"))
	if err != nil {
		t.Fatal(err)
	}
	var b bundle.Bundle
	if err := b.UnmarshalJSON(raw); err != nil {
		t.Fatal(err)
	}
	sum, err := hex.DecodeString("46d4e2f74c4877316640000a6fdf8a8b59f1e0847667973e9859f774dd31b8f1e0937813b777fb66a2ac67d50540fe34640966eee9fc2ccca387082b4c85cd3c")
	if err != nil {
		t.Fatal(err)
	}
	claims, statement, err := judge(&b, verify.WithArtifactDigest("sha512", sum), []*Root{root})
	if err != nil {
		t.Fatal(err)
	}
	if statement.GetPredicateType() != "https://slsa.dev/provenance/v1" {
		t.Error(statement.GetPredicateType())
	}
	repository := "https://github.com/sigstore/sigstore-js"
	id := Identity{
		Issuer: "https://token.actions.githubusercontent.com", SourceRepository: repository, SourceRef: "refs/heads/main", RunnerEnvironment: "github-hosted",
		SANPattern: `https://github\.com/sigstore/sigstore-js/\.github/workflows/release\.yml@refs/heads/main`,
	}
	if !id.Matches(claims) {
		t.Errorf("%+v", claims)
	}
	if id.SourceRepository = "https://github.com/sigstore/other"; id.Matches(claims) {
		t.Error("another repository matches")
	}
	sum[0]++
	if _, _, err := judge(&b, verify.WithArtifactDigest("sha512", sum), []*Root{root}); err == nil {
		t.Error("another package is accepted")
	}
}

func moduleDir(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/sigstore/sigstore-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// FuzzVerify: no bundle of strangers panics, and none is accepted.
func FuzzVerify(f *testing.F) {
	s, stranger := keylesstest.New(f, moment), keylesstest.New(f, moment)
	root, err := ParseRoot(s.Root(keylesstest.Trusted{Log: true}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(stranger.Sign(about, release(), keylesstest.Signing{Log: true}))
	f.Add(s.Sign(about, release(), keylesstest.Signing{}))
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"certificate":{}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var b bundle.Bundle
		if b.UnmarshalJSON(raw) != nil {
			return
		}
		Unverified(&b)
		if claims, _, err := Verify(&b, digest[:], []*Root{root}); err == nil {
			t.Errorf("accepted: %+v", claims)
		}
	})
}

// FuzzIdentity: what Check accepts matches a name as a whole or not at all.
func FuzzIdentity(f *testing.F) {
	f.Add(`a|b`, "xa")
	f.Add(`(?m)^a$`, "b\na")
	f.Add(`a)|(?:b`, "b")
	f.Add(`\Qa`, "a")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		id := Identity{Issuer: issuer, SANPattern: pattern, SourceRepository: "https://a.test/b"}
		if err := id.Check(); err != nil {
			return
		}
		c := &Claims{}
		c.summary.SubjectAlternativeName, c.summary.Extensions.Issuer, c.summary.SourceRepositoryURI = name, issuer, "https://a.test/b"
		if id.Matches(c) {
			whole, err := anchored(pattern)
			if err != nil || !strings.HasPrefix(whole, "^(?:") || !strings.HasSuffix(whole, ")$") {
				t.Errorf("%q: %v", whole, err)
			}
		}
	})
}

// FuzzRoot: what is accepted has an authority and a source of time.
func FuzzRoot(f *testing.F) {
	s := keylesstest.New(f, moment)
	f.Add(s.Root(keylesstest.Trusted{Log: true, CertificateLog: true}))
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1","certificateAuthorities":[{}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := ParseRoot(raw)
		if err == nil && (r.Authorities == 0 || r.TimestampAuthorities+r.Logs == 0 || !r.Digest.Valid()) {
			t.Errorf("%+v", r)
		}
	})
}
