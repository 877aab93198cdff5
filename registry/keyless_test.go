package registry

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/registry/keyless"
	"github.com/writ-run/writ/registry/keyless/keylesstest"
)

const (
	testIssuer     = "https://issuer.test"
	testRepository = "https://github.com/acme/mailer"
	testWorkflow   = testRepository + "/.github/workflows/release.yml@refs/tags/v1.0.0"
)

// ci is what the certificate of acme's release workflow says.
func ci(edit ...func(*keylesstest.Subject)) keylesstest.Subject {
	who := keylesstest.Subject{
		SAN: testWorkflow, Issuer: testIssuer, Repository: testRepository, Ref: "refs/tags/v1.0.0",
		Digest: strings.Repeat("a", 40), Runner: "github-hosted", Signer: testWorkflow,
	}
	for _, e := range edit {
		e(&who)
	}
	return who
}

func ciIdentity(publisher string) TrustedIdentity {
	return TrustedIdentity{Publisher: publisher, Identity: keyless.Identity{Issuer: testIssuer, SAN: testWorkflow, SourceRepository: testRepository}}
}

// keylessHome trusts nobody's key, one Sigstore, and acme's release workflow.
type keylessHome struct {
	*home
	sigstore *keylesstest.Sigstore
}

func newKeylessHome(t testing.TB) *keylessHome {
	t.Helper()
	h := &keylessHome{bareHome(t), keylesstest.New(t, epoch)}
	h.now = epoch.Add(2 * time.Minute)
	h.importRoot(h.sigstore.Root(keylesstest.Trusted{}))
	h.trustIdentity(ciIdentity("acme"))
	return h
}

func (h *home) importRoot(raw []byte) *TrustedRoot {
	h.t.Helper()
	r, err := h.ImportRoot(h.ctx, h.by, TrustedRoot{Root: string(raw)})
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

func (h *home) trustIdentity(i TrustedIdentity) *TrustedIdentity {
	h.t.Helper()
	out, err := h.TrustIdentity(h.ctx, h.by, i)
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

// certified is a mailer that certificates sign: who signs the skill, who the
// provenance; edit changes both statements before they are signed.
type certified struct {
	signer, builder keylesstest.Subject
	how             keylesstest.Signing
	edit            func(s *statement)
}

func (h *keylessHome) certified(c certified) []byte {
	h.t.Helper()
	if c.signer.SAN == "" {
		c.signer = ci()
	}
	if c.builder.SAN == "" {
		c.builder = c.signer
	}
	return h.alsoCertified(h.pack(mailer(), guest()), c)
}

func (h *keylessHome) alsoCertified(file []byte, c certified) []byte {
	h.t.Helper()
	about, err := Inspect(file)
	if err != nil {
		h.t.Fatal(err)
	}
	req := &SignRequest{Provenance: ProvenanceInput{Repository: testRepository, Ref: "refs/tags/v1.0.0", Revision: strings.Repeat("a", 40), Builder: testWorkflow}}
	statements := about.statements(req, h.clock().Now())
	return h.rebuild(file, func(l *layout) {
		for predicateType, who := range map[string]keylesstest.Subject{PredicateSkill: c.signer, PredicateProvenance: c.builder} {
			s := statements[predicateType]
			if c.edit != nil {
				c.edit(s)
			}
			by := func(text []byte) ([]byte, error) { return h.sigstore.Sign(text, who, c.how), nil }
			if err := l.attach(by, h.clock().Now(), s); err != nil {
				h.t.Fatal(err)
			}
		}
	})
}

func TestKeylessBundlePasses(t *testing.T) {
	h := newKeylessHome(t)
	report := h.install(h.certified(certified{}))
	name := testWorkflow + " (" + testIssuer + ")"
	if report.Signer != "" || !slices.Equal(report.Signers, []string{name}) || !report.Signature || !report.Publisher || !report.Built {
		t.Errorf("%+v", report)
	}
	want := Provenance{
		BuilderID: testWorkflow, BuildType: BuildType, Repository: testRepository, Revision: strings.Repeat("a", 40), Ref: "refs/tags/v1.0.0", Identity: name,
	}
	if *report.Provenance != want {
		t.Errorf("%+v", report.Provenance)
	}
	if _, err := h.load(report.Ref); err != nil {
		t.Error(err)
	}
}

func TestKeylessThreats(t *testing.T) {
	h := newKeylessHome(t)
	stranger := &keylessHome{h.home, keylesstest.New(t, epoch)}
	untrusted := []writ.IssueCode{writ.IssueKeyUntrusted}
	invalid := []writ.IssueCode{writ.IssueSignatureInvalid}
	as := func(edit func(*keylesstest.Subject)) []byte { return h.certified(certified{signer: ci(edit)}) }
	for name, c := range map[string]struct {
		file []byte
		want []writ.IssueCode
	}{
		"another workflow":          {as(func(w *keylesstest.Subject) { w.SAN = strings.Replace(w.SAN, "release", "ci", 1) }), untrusted},
		"a longer name":             {as(func(w *keylesstest.Subject) { w.SAN += ".evil" }), untrusted},
		"another issuer":            {as(func(w *keylesstest.Subject) { w.Issuer = "https://evil.test" }), untrusted},
		"another source repository": {as(func(w *keylesstest.Subject) { w.Repository = "https://github.com/evil/mailer" }), untrusted},
		"no source repository":      {as(func(w *keylesstest.Subject) { w.Repository = "" }), untrusted},
		"another Sigstore":          {stranger.certified(certified{}), invalid},
		"no timestamp":              {h.certified(certified{how: keylesstest.Signing{Unstamped: true}}), invalid},
		"expired certificate":       {h.certified(certified{how: keylesstest.Signing{CertifiedAt: epoch.Add(-time.Hour), StampedAt: epoch}}), invalid},
		"stamped in the future":     {h.certified(certified{how: keylesstest.Signing{CertifiedAt: epoch.Add(6 * time.Minute), StampedAt: epoch.Add(7*time.Minute + time.Second)}}), invalid},
		"edited payload": {h.rebuild(h.certified(certified{}), func(l *layout) {
			h.editBundles(l, func(raw []byte) []byte {
				return editPayload(t, raw, `"expires":null`, `"expires":"2099-01-01T00:00:00.000000000Z"`)
			})
		}), invalid},
		"another subject": {h.certified(certified{edit: func(s *statement) { s.Subject[0].Name = "acme/other@1.0.0" }}), invalid},
		"too many timestamps": {h.rebuild(h.certified(certified{}), func(l *layout) {
			h.editBundles(l, func(raw []byte) []byte { return repeatTimestamps(t, raw, maxWitnesses+1) })
		}), invalid},
	} {
		t.Run(name, func(t *testing.T) {
			h.t = t
			h.refused(c.file, c.want...)
		})
	}
	h.t = t
	// A clock that is ahead within reason, and as many timestamps as are read.
	h.install(h.certified(certified{how: keylesstest.Signing{CertifiedAt: epoch.Add(6 * time.Minute), StampedAt: epoch.Add(7 * time.Minute)}}))
	report, err := h.Examine(h.ctx, h.by.Tenant, h.rebuild(h.certified(certified{}), func(l *layout) {
		h.editBundles(l, func(raw []byte) []byte { return repeatTimestamps(t, raw, maxWitnesses) })
	}))
	if err != nil || slices.Contains(codes(report.Issues), writ.IssueSignatureInvalid) {
		t.Error(err, report.Issues)
	}
}

func editPayload(t testing.TB, raw []byte, old, with string) []byte {
	t.Helper()
	return editJSON(t, raw, func(b map[string]any) {
		envelope := b["dsseEnvelope"].(map[string]any)
		payload := decode64(t, envelope["payload"].(string))
		envelope["payload"] = []byte(strings.Replace(string(payload), old, with, 1))
	})
}

func repeatTimestamps(t testing.TB, raw []byte, n int) []byte {
	t.Helper()
	return editJSON(t, raw, func(b map[string]any) {
		stamps := b["verificationMaterial"].(map[string]any)["timestampVerificationData"].(map[string]any)
		one := stamps["rfc3161Timestamps"].([]any)[0]
		stamps["rfc3161Timestamps"] = slices.Repeat([]any{one}, n)
	})
}

func editJSON(t testing.TB, raw []byte, edit func(map[string]any)) []byte {
	t.Helper()
	var b map[string]any
	if err := json.Unmarshal(raw, &b); err != nil {
		t.Fatal(err)
	}
	edit(b)
	out, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func decode64(t testing.TB, text string) []byte {
	t.Helper()
	var out []byte
	if err := json.Unmarshal([]byte(`"`+text+`"`), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestNoRootRefuses(t *testing.T) {
	h := &keylessHome{bareHome(t), keylesstest.New(t, epoch)}
	h.trustIdentity(ciIdentity("acme"))
	report := h.refused(h.certified(certified{}), writ.IssueKeyUntrusted)
	if !strings.Contains(report.Issues[0].Message, "no Sigstore root") {
		t.Error(report.Issues)
	}
}

func TestNoIdentityRefuses(t *testing.T) {
	h := &keylessHome{bareHome(t), keylesstest.New(t, epoch)}
	h.importRoot(h.sigstore.Root(keylesstest.Trusted{}))
	h.refused(h.certified(certified{}), writ.IssueKeyUntrusted)
}

func TestKeylessIdentityOfAnotherPublisher(t *testing.T) {
	h := &keylessHome{bareHome(t), keylesstest.New(t, epoch)}
	h.importRoot(h.sigstore.Root(keylesstest.Trusted{}))
	h.trustIdentity(ciIdentity("evil"))
	h.refused(h.certified(certified{}), writ.IssuePublisherUntrusted, writ.IssueProvenanceUntrusted)
	// One workflow may sign for two publishers, each trusted by itself.
	h.trustIdentity(ciIdentity("acme"))
	h.install(h.certified(certified{}))
}

// A predicate is its author's word, the certificate its authority's.
func TestLyingProvenance(t *testing.T) {
	h := newKeylessHome(t)
	lie := func(edit func(definition, run map[string]any)) []byte {
		return h.certified(certified{edit: func(s *statement) {
			if p, ok := s.Predicate.(map[string]any); ok {
				edit(p["buildDefinition"].(map[string]any), p["runDetails"].(map[string]any))
			}
		}})
	}
	source := func(uri, commit string) func(map[string]any, map[string]any) {
		return func(d, _ map[string]any) {
			d["resolvedDependencies"] = []map[string]any{{"uri": uri, "digest": map[string]any{"gitCommit": commit}}}
		}
	}
	commit := strings.Repeat("a", 40)
	for name, file := range map[string][]byte{
		"another repository":    lie(source("git+https://github.com/acme/other@refs/tags/v1.0.0", commit)),
		"a repository's prefix": lie(source("git+https://github.com/acme/mail@refs/tags/v1.0.0", commit)),
		"another ref":           lie(source("git+"+testRepository+"@refs/heads/main", commit)),
		"no ref":                lie(source("git+"+testRepository, commit)),
		"another commit":        lie(source("git+"+testRepository+"@refs/tags/v1.0.0", strings.Repeat("b", 40))),
		"no source":             lie(func(d, _ map[string]any) { delete(d, "resolvedDependencies") }),
		"the truth after a lie": lie(func(d, _ map[string]any) {
			d["resolvedDependencies"] = []map[string]any{{"uri": "git+https://github.com/acme/other@refs/tags/v1.0.0"}, {"uri": "git+" + testRepository + "@refs/tags/v1.0.0", "digest": map[string]any{"gitCommit": commit}}}
		}),
		"another builder":   lie(func(_, r map[string]any) { r["builder"] = map[string]any{"id": "https://evil.example"} }),
		"the local builder": lie(func(_, r map[string]any) { r["builder"] = map[string]any{"id": LocalBuilder} }),
		"another runner":    lie(func(_, r map[string]any) { r["builder"] = map[string]any{"id": githubRunner + "self-hosted"} }),
		"another workflow parameter": lie(func(d, _ map[string]any) {
			d["externalParameters"].(map[string]any)["workflow"] = map[string]any{"repository": "https://github.com/acme/other"}
		}),
		"another build type":              lie(func(d, _ map[string]any) { d["buildType"] = "https://evil.example" }),
		"an identity that is not trusted": h.certified(certified{signer: ci(), builder: ci(func(w *keylesstest.Subject) { w.SAN += ".evil" })}),
	} {
		t.Run(name, func(t *testing.T) {
			h.t = t
			if report := h.refused(file, writ.IssueProvenanceUntrusted); report.Built || !report.Signature {
				t.Errorf("%+v", report)
			}
		})
	}
}

func TestBuildersOfAnIdentity(t *testing.T) {
	h := newKeylessHome(t)
	const github = "https://actions.github.io/buildtypes/workflow/v1"
	built := func(builder string) []byte {
		return h.certified(certified{edit: func(s *statement) {
			if p, ok := s.Predicate.(map[string]any); ok {
				d := p["buildDefinition"].(map[string]any)
				d["buildType"] = github
				d["externalParameters"] = map[string]any{"workflow": map[string]any{"repository": testRepository, "ref": "refs/tags/v1.0.0"}}
				p["runDetails"].(map[string]any)["builder"] = map[string]any{"id": builder}
			}
		}})
	}
	h.refused(built(testWorkflow), writ.IssueProvenanceUntrusted) // the build type is not allowed
	i := ciIdentity("acme")
	i.BuildTypes, i.Builders = []string{github}, []string{strings.TrimSuffix(testWorkflow, "refs/tags/v1.0.0"), githubRunner + "github-hosted"}
	h.trustIdentity(i)
	for _, builder := range []string{testWorkflow, githubRunner + "github-hosted"} {
		report, err := h.Examine(h.ctx, h.by.Tenant, built(builder))
		if err != nil || !report.Built {
			t.Errorf("%s: %v %v", builder, err, report.Issues)
		}
	}
	h.refused(built(strings.Replace(testWorkflow, "release.yml@", "release.yml.evil@", 1)), writ.IssueProvenanceUntrusted)
	// A key of a builder stands beside a keyless signature.
	builder := mustKey(t, KeyECDSA)
	h.trustKey("acme", builder, contract.TrustProvenance)
	file := h.rebuild(h.certified(certified{}), func(l *layout) {
		l.drop(ciName(), PredicateProvenance)
		about := &Inspection{Ref: writ.SkillRef{Key: "acme/mailer", Version: "1.0.0", Digest: l.digest()}}
		s := about.statements(&SignRequest{}, h.clock().Now())[PredicateProvenance]
		if err := l.attach(builder.bundle, h.clock().Now(), s); err != nil {
			t.Fatal(err)
		}
	})
	if report := h.install(file); report.Provenance.KeyID != builder.Public().ID || report.Provenance.Identity != "" {
		t.Errorf("%+v", report.Provenance)
	}
}

func ciName() string { return testWorkflow + " (" + testIssuer + ")" }

func TestIdentityWindowRevocationAndRoots(t *testing.T) {
	t.Run("window at its ends and one past", func(t *testing.T) {
		h := &keylessHome{bareHome(t), keylesstest.New(t, epoch)}
		h.now = epoch.Add(2 * time.Minute)
		h.importRoot(h.sigstore.Root(keylesstest.Trusted{}))
		i := ciIdentity("acme")
		i.ValidFrom = canon.TimeOf(epoch.Add(3 * time.Minute))
		i.ValidUntil = i.ValidFrom.Add(time.Hour)
		h.trustIdentity(i)
		file := h.certified(certified{})
		for _, c := range []struct {
			at writ.Time
			ok bool
		}{{i.ValidFrom, true}, {i.ValidUntil, true}, {i.ValidFrom - 1, false}, {i.ValidUntil + 1, false}} {
			h.now = c.at.Std()
			report, err := h.Examine(h.ctx, h.by.Tenant, file)
			if err != nil || report.OK() != c.ok {
				t.Errorf("at %s: %v %v", c.at, err, report.Issues)
			}
		}
	})
	t.Run("revoked identity, at install and at load", func(t *testing.T) {
		h := newKeylessHome(t)
		ref := h.install(h.certified(certified{})).Ref
		// Another identity that covers the same certificate does not let it back in.
		wide := ciIdentity("acme")
		wide.SAN, wide.SANPattern = "", `https://github\.com/acme/.*`
		h.trustIdentity(wide)
		if _, err := h.TrustRevoke(h.ctx, &contract.TrustRevokeInput{Publisher: "acme", IdentityID: ciID("acme"), Reason: "workflow taken over"}); err != nil {
			t.Fatal(err)
		}
		if _, err := h.load(ref); !writ.IsCode(err, writ.CodeSkillRefused) {
			t.Errorf("loads after the revocation: %v", err)
		}
		if _, err := h.Load(h.ctx, writ.LoadRequest{Tenant: h.by.Tenant, Ref: ref, Replaying: true}); err != nil {
			t.Errorf("replay: %v", err)
		}
		h.refused(h.certified(certified{}), writ.IssueKeyRevoked)
		if _, err := h.TrustIdentity(h.ctx, h.by, ciIdentity("acme")); !writ.IsCode(err, writ.CodeConflict) {
			t.Errorf("trusted again: %v", err)
		}
	})
	t.Run("a root that was replaced still judges what it let in", func(t *testing.T) {
		h := newKeylessHome(t)
		file := h.certified(certified{})
		ref := h.install(file).Ref
		h.now = h.now.Add(time.Hour)
		next := keylesstest.New(t, epoch)
		h.importRoot(next.Root(keylesstest.Trusted{}))
		h.now = h.now.Add(time.Nanosecond)
		if _, err := h.load(ref); err != nil {
			t.Errorf("installed under the old root: %v", err)
		}
		h.refused(file, writ.IssueSignatureInvalid)
		// And the old one again, from now on.
		h.importRoot(h.sigstore.Root(keylesstest.Trusted{}))
		if _, err := h.load(ref); err != nil {
			t.Error(err)
		}
		h.install(file)
	})
	t.Run("a revoked root takes down what it let in", func(t *testing.T) {
		h := newKeylessHome(t)
		file := h.certified(certified{})
		ref := h.install(file).Ref
		if err := h.RevokeRoot(h.ctx, h.by, "", "x"); !writ.IsCode(err, writ.CodeNotFound) {
			t.Error(err)
		}
		if err := h.RevokeRoot(h.ctx, h.by, DefaultRoot, "authority compromised"); err != nil {
			t.Fatal(err)
		}
		if _, err := h.load(ref); !writ.IsCode(err, writ.CodeSkillRefused) {
			t.Errorf("loads after the revocation: %v", err)
		}
		if _, err := h.Load(h.ctx, writ.LoadRequest{Tenant: h.by.Tenant, Ref: ref, Replaying: true}); err != nil {
			t.Errorf("replay: %v", err)
		}
		h.refused(file, writ.IssueKeyRevoked)
		if _, err := h.ImportRoot(h.ctx, h.by, TrustedRoot{Root: string(h.sigstore.Root(keylesstest.Trusted{}))}); !writ.IsCode(err, writ.CodeConflict) {
			t.Errorf("imported again: %v", err)
		}
	})
}

func ciID(publisher string) string {
	i := ciIdentity(publisher)
	return i.Identity.ID(publisher)
}

func TestRootNames(t *testing.T) {
	h := bareHome(t)
	root := func() string { return string(keylesstest.New(t, epoch).Root(keylesstest.Trusted{})) }
	same := root()
	for i := range maxRoots {
		raw := root()
		if i == 0 {
			raw = same
		}
		if _, err := h.ImportRoot(h.ctx, h.by, TrustedRoot{Name: fmt.Sprintf("r%d", i), Root: raw}); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		in   TrustedRoot
		code writ.Code
	}{
		"one too many":         {TrustedRoot{Name: "more", Root: root()}, writ.CodeConflict},
		"the same, other name": {TrustedRoot{Name: "r1", Root: same}, writ.CodeConflict},
		"not a name":           {TrustedRoot{Name: "R 1", Root: same}, writ.CodeInvalid},
		"not a root":           {TrustedRoot{Name: "r1", Root: "{}"}, writ.CodeInvalid},
	} {
		if _, err := h.ImportRoot(h.ctx, h.by, c.in); !writ.IsCode(err, c.code) {
			t.Errorf("%s: %v", name, err)
		}
	}
	records := len(h.memory.records)
	if _, err := h.ImportRoot(h.ctx, h.by, TrustedRoot{Name: "r0", Root: same}); err != nil || len(h.memory.records) != records {
		t.Errorf("the same again: %v", err)
	}
	if _, err := h.ImportRoot(h.ctx, h.by, TrustedRoot{Name: "r1", Root: root()}); err != nil {
		t.Errorf("a name's next root: %v", err)
	}
	// One that is revoked makes room, and is revoked once.
	if err := h.RevokeRoot(h.ctx, h.by, "r0", "authority compromised"); err != nil {
		t.Fatal(err)
	}
	if records = len(h.memory.records); h.RevokeRoot(h.ctx, h.by, "r0", "again") != nil || len(h.memory.records) != records {
		t.Error("revoked again is another record")
	}
	if _, err := h.ImportRoot(h.ctx, h.by, TrustedRoot{Name: "more", Root: root()}); err != nil {
		t.Errorf("in place of one that is revoked: %v", err)
	}
}

func TestADeniedPublisherGetsNoIdentity(t *testing.T) {
	h := newHome(t)
	h.deny(contract.DenialSubject{Publisher: "acme"})
	if _, err := h.TrustIdentity(h.ctx, h.by, ciIdentity("acme")); !writ.IsCode(err, writ.CodeConflict) {
		t.Errorf("trusted: %v", err)
	}
}

// What the store holds is checked when it is read.
func TestTamperedTrustDocuments(t *testing.T) {
	h := newKeylessHome(t)
	for key, value := range h.memory.docs[h.by.Tenant] {
		if !strings.HasPrefix(key, trustPrefix) {
			continue
		}
		edited := strings.NewReplacer(`"publisher":"acme"`, `"publisher":"evil"`, `\"mediaType\":`, `\"mediaType\" :`).Replace(string(value))
		if edited == string(value) {
			t.Fatalf("%s: nothing to edit", key)
		}
		tampered := bareHome(t)
		tampered.memory.docs = map[writ.TenantID]map[string][]byte{h.by.Tenant: {key: []byte(edited)}}
		if _, err := tampered.trust(tampered.ctx, h.by.Tenant); !writ.IsCode(err, writ.CodeTampered) {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func TestSignKeyless(t *testing.T) {
	h := newKeylessHome(t)
	server := h.sigstore.Serve()
	defer server.Close()
	signer := func(who keylesstest.Subject) *keyless.Signer {
		s, err := keyless.NewSigner(h.ctx, keyless.Services{
			Fulcio: server.URL, Timestamp: server.URL + keylesstest.TimestampPath, Token: keyless.Token(keylesstest.Token(who)),
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	plain := h.pack(mailer(), guest())
	sign := func(file []byte, who keylesstest.Subject, edit ...func(*SignRequest)) []byte {
		req := SignRequest{Clock: h.clock()}
		for _, e := range edit {
			e(&req)
		}
		signed, err := SignKeyless(h.ctx, file, signer(who), req)
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	// What is not given is what the certificate says.
	report := h.install(sign(plain, ci()))
	if p := report.Provenance; p.Repository != testRepository || p.Ref != "refs/tags/v1.0.0" || p.Revision != strings.Repeat("a", 40) || p.BuilderID != testWorkflow {
		t.Errorf("%+v", p)
	}
	// Signing again replaces; another identity adds to what is there.
	again := sign(sign(plain, ci()), ci())
	about, err := Inspect(sign(again, keylesstest.Subject{SAN: "ada@example.com", Issuer: testIssuer}))
	if err != nil || len(about.Attached) != 4 || !slices.Equal(about.Identities, []string{ciName(), "ada@example.com (" + testIssuer + ")"}) {
		t.Errorf("%v %d %v", err, len(about.Attached), about.Identities)
	}
	// Somebody who says something else than the certificate is caught.
	h.refused(sign(plain, ci(), func(r *SignRequest) { r.Provenance.Repository = "https://github.com/acme/other" }), writ.IssueProvenanceUntrusted)
	// A builder's key in place of the certificate.
	builder := mustKey(t, KeyECDSA)
	h.trustKey("acme", builder, contract.TrustProvenance)
	file := sign(plain, ci(), func(r *SignRequest) { r.ProvenanceKey, r.Provenance.Builder = builder, LocalBuilder })
	if report := h.install(file); report.Provenance.KeyID != builder.Public().ID {
		t.Errorf("%+v", report.Provenance)
	}
	if _, err := SignKeyless(h.ctx, plain, nil, SignRequest{Clock: h.clock()}); !writ.IsCode(err, writ.CodeInvalid) {
		t.Error(err)
	}
}

// What another tool signs comes in by Attach, and is judged like anything else.
func TestAttach(t *testing.T) {
	h := newHome(t)
	plain := h.pack(mailer(), guest())
	statements, err := Statements(plain, SignRequest{Clock: h.clock()})
	if err != nil {
		t.Fatal(err)
	}
	attach := func(file []byte, raw []byte) ([]byte, error) { return Attach(file, raw, h.clock()) }
	file := plain
	for _, kind := range []string{PredicateSkill, PredicateProvenance, PredicateSkill} { // the second one replaces
		raw, err := h.key.bundle(statements[kind])
		if err != nil {
			t.Fatal(err)
		}
		if file, err = attach(file, raw); err != nil {
			t.Fatal(err)
		}
	}
	about, err := Inspect(file)
	if err != nil || len(about.Attached) != 2 {
		t.Errorf("%v %d", err, len(about.Attached))
	}
	h.install(file)
	good := about.Attached[1].Bundle
	for name, c := range map[string]struct {
		file, bundle []byte
		code         writ.Code
	}{
		"not a bundle":        {plain, []byte("{}"), writ.CodeInvalid},
		"about another skill": {h.pack(mailer(version("1.0.1")), guest()), good, writ.CodeInvalid},
		"another version":     {plain, []byte(strings.Replace(string(good), "v0.3+json", "v0.2+json", 1)), writ.CodeInvalid},
		"no skill":            {[]byte("x"), good, writ.CodeSkillRefused},
		"one byte too large":  {plain, append(slices.Clone(good), make([]byte, 1<<20+1-len(good))...), writ.CodeTooLarge},
	} {
		if _, err := attach(c.file, c.bundle); !writ.IsCode(err, c.code) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Attaching judges nobody: an edited statement comes in and is refused then.
	if file, err = attach(plain, editPayload(t, good, `"expires":null`, `"expires":"2099-01-01T00:00:00.000000000Z"`)); err != nil {
		t.Fatal(err)
	}
	h.refused(file, writ.IssueSignatureInvalid)
	for i := range 32 {
		key := mustKey(t, KeyEd25519)
		raw, err := key.bundle(statements[PredicateSkill])
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			file = plain
		}
		if file, err = attach(file, raw); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
	if _, err = attach(file, good); !writ.IsCode(err, writ.CodeTooLarge) {
		t.Errorf("one too many: %v", err)
	}
}

// FuzzAttach: what is attached leaves a bundle that opens and is still about the same.
func FuzzAttach(f *testing.F) {
	h := newHome(f)
	plain := h.pack(mailer(), guest())
	about, err := Inspect(h.bundle())
	if err != nil {
		f.Fatal(err)
	}
	for _, one := range about.Attached {
		f.Add(one.Bundle)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		file, err := Attach(plain, raw, h.clock())
		if err != nil {
			return
		}
		again, err := Inspect(file)
		if err != nil || again.Ref != about.Ref || len(again.Attached) != 1 {
			t.Fatalf("%v %+v", err, again)
		}
	})
}

func TestRevokingAPublisherTakesKeysAndIdentities(t *testing.T) {
	h := newKeylessHome(t)
	h.trustKey("acme", h.key)
	if _, err := h.TrustRevoke(h.ctx, &contract.TrustRevokeInput{Publisher: "acme", Reason: "gone"}); err != nil {
		t.Fatal(err)
	}
	h.refused(h.bundle(), writ.IssueKeyRevoked)
	h.refused(h.certified(certified{}), writ.IssueKeyRevoked)
	list, err := h.TrustList(h.ctx, &contract.TrustListInput{Publisher: "acme"})
	if err != nil || list.Items[0].RevokedAt == 0 || list.Identities[0].RevokedAt == 0 || list.Roots != nil {
		t.Errorf("%v %+v", err, list)
	}
}

// A denied identity signs nothing any more, what was installed included, until the
// denial is lifted.
func TestADeniedIdentityStopsInstallAndLoad(t *testing.T) {
	h := newKeylessHome(t)
	ref := h.install(h.certified(certified{})).Ref
	subject := contract.DenialSubject{Issuer: testIssuer, SAN: testRepository + "/*"}
	if _, err := h.TrustDeny(h.ctx, &contract.TrustDenyInput{DenialSubject: subject, Reason: "the workflow leaked its token"}); err != nil {
		t.Fatal(err)
	}
	_, err := h.load(ref)
	if !writ.IsCode(err, writ.CodeSkillRefused) || !strings.Contains(err.Error(), "leaked its token") {
		t.Errorf("load: %v", err)
	}
	if _, err := h.Load(h.ctx, writ.LoadRequest{Tenant: h.by.Tenant, Ref: ref, Replaying: true}); err != nil {
		t.Errorf("a replay runs what was denied since: %v", err)
	}
	h.refused(h.alsoCertified(h.pack(mailer(), guest()), certified{signer: ci(), builder: ci()}), writ.IssueIdentityRevoked)
	if _, err := h.TrustUndeny(h.ctx, &contract.TrustUndenyInput{DenialSubject: subject, Reason: "the token was replaced"}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.load(ref); err != nil {
		t.Error(err)
	}
}
