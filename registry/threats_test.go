package registry

import (
	"bytes"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

func TestSignedBundlePasses(t *testing.T) {
	for _, kind := range []KeyKind{KeyECDSA, KeyEd25519} {
		t.Run(string(kind), func(t *testing.T) {
			h := bareHome(t)
			h.key = mustKey(t, kind)
			h.trustKey("acme", h.key)
			report, err := h.Examine(h.ctx, h.by.Tenant, h.bundle())
			if err != nil || !report.OK() {
				t.Fatal(err, report)
			}
			if !report.Signature || !report.Publisher || !report.Built || !report.Compatible || report.Signer != h.key.Public().ID {
				t.Errorf("%+v", report)
			}
			want := Provenance{BuilderID: LocalBuilder, BuildType: BuildType, Repository: "https://github.com/acme/mailer", Revision: strings.Repeat("a", 40), KeyID: h.key.Public().ID}
			if *report.Provenance != want {
				t.Errorf("provenance %+v", report.Provenance)
			}
		})
	}
}

func TestEmptyTrustStoreRefuses(t *testing.T) {
	h := bareHome(t)
	h.refused(h.bundle(), writ.IssueKeyUntrusted)
}

func TestSignatureThreats(t *testing.T) {
	h := newHome(t)
	other := mustKey(t, KeyECDSA)
	for name, c := range map[string]struct {
		file []byte
		want []writ.IssueCode
	}{
		"unsigned":                       {h.pack(mailer(), guest()), []writ.IssueCode{writ.IssueSignatureMissing}},
		"untrusted key":                  {h.sign(h.pack(mailer(), guest()), func(r *SignRequest) { r.Key = other }), []writ.IssueCode{writ.IssueKeyUntrusted}},
		"forged hint":                    {h.forgedHint(other), []writ.IssueCode{writ.IssueSignatureInvalid}},
		"edited payload":                 {h.editedPayload(), []writ.IssueCode{writ.IssueSignatureInvalid}},
		"unknown member in the bundle":   {h.editedSignature(func(b []byte) []byte { return append([]byte(`{"x":1,`), b[1:]...) }), []writ.IssueCode{writ.IssueSignatureInvalid}},
		"newer bundle version":           {h.editedSignature(func(b []byte) []byte { return bytes.Replace(b, []byte("v0.3+json"), []byte("v0.4+json"), 1) }), []writ.IssueCode{writ.IssueSignatureInvalid}},
		"signature of another bundle":    {h.transplanted(), []writ.IssueCode{writ.IssueSignatureInvalid}},
		"other predicate type alone":     {h.statement(func(s *statement) { s.PredicateType = "https://example.com/other" }), []writ.IssueCode{writ.IssueSignatureMissing}},
		"two subjects":                   {h.statement(func(s *statement) { s.Subject = append(s.Subject, s.Subject[0]) }), []writ.IssueCode{writ.IssueSignatureInvalid}},
		"subject with a second digest":   {h.statement(func(s *statement) { s.Subject[0].Digest["sha512"] = strings.Repeat("0", 128) }), []writ.IssueCode{writ.IssueSignatureInvalid}},
		"subject without a name":         {h.statement(func(s *statement) { s.Subject[0].Name = "" }), []writ.IssueCode{writ.IssueSignatureInvalid}},
		"subject and predicate disagree": {h.statement(func(s *statement) { s.Subject[0].Name = "acme/other@1.0.0" }), []writ.IssueCode{writ.IssueSignatureInvalid}},
	} {
		t.Run(name, func(t *testing.T) {
			h.t = t
			h.refused(c.file, c.want...)
		})
	}
}

// forgedHint is signed by key and names the trusted one.
func (h *home) forgedHint(key *Key) []byte {
	file := h.sign(h.pack(mailer(), guest()), func(r *SignRequest) { r.Key = key })
	return h.rebuild(file, func(l *layout) {
		h.editBundles(l, func(raw []byte) []byte {
			return bytes.Replace(raw, []byte(key.Public().ID), []byte(h.key.Public().ID), 1)
		})
	})
}

func (h *home) editedPayload() []byte {
	return h.editedSignature(func(raw []byte) []byte {
		// Editing the expiry must not revive a signature.
		return editPayload(h.t, raw, `"expires":null`, `"expires":"2099-01-01T00:00:00.000000000Z"`)
	})
}

// editedSignature changes the first Sigstore bundle, the skill's signature.
func (h *home) editedSignature(edit func([]byte) []byte) []byte {
	return h.rebuild(h.bundle(), func(l *layout) {
		first := true
		h.editBundles(l, func(raw []byte) []byte {
			if !first {
				return raw
			}
			first = false
			return edit(raw)
		})
	})
}

// editBundles replaces what is attached, with digests that fit.
func (h *home) editBundles(l *layout, edit func([]byte) []byte) {
	old := l.referrers
	l.referrers = nil
	for _, r := range old {
		delete(l.blobs, writ.Digest(r.descriptor.Digest))
		delete(l.blobs, writ.Digest(r.manifest.Layers[0].Digest))
		r.bundle = edit(r.bundle)
		r.manifest.Layers = []ocispec.Descriptor{l.add(mediaSigstore, r.bundle)}
		d, err := l.addManifest(&r.manifest)
		if err != nil {
			h.t.Fatal(err)
		}
		r.descriptor = d
		l.referrers = append(l.referrers, r)
	}
}

// transplanted carries the signatures of version 1.0.0 on version 1.0.1.
func (h *home) transplanted() []byte {
	donor, issue := open(h.bundle(), Limits{}.orDefaults())
	if issue != nil {
		h.t.Fatal(issue)
	}
	return h.rebuild(h.pack(mailer(version("1.0.1")), guest()), func(l *layout) {
		for _, r := range donor.referrers {
			m := r.manifest
			m.Subject = &ocispec.Descriptor{MediaType: l.image.MediaType, Digest: l.image.Digest, Size: l.image.Size}
			m.Config, m.Layers = l.add(ocispec.MediaTypeEmptyJSON, []byte("{}")), []ocispec.Descriptor{l.add(mediaSigstore, r.bundle)}
			d, err := l.addManifest(&m)
			if err != nil {
				h.t.Fatal(err)
			}
			l.referrers = append(l.referrers, referrer{d, m, r.bundle})
		}
	})
}

// statement is a bundle with one edited statement of the trusted key in place of
// the signature.
func (h *home) statement(edit func(*statement)) []byte {
	return h.rebuild(h.pack(mailer(), guest()), func(l *layout) {
		s := &statement{
			PredicateType: PredicateSkill,
			Subject:       []subject{{"acme/mailer@1.0.0", map[string]string{"sha256": l.digest().Hex()}}},
			Predicate:     skillPredicate{"writ/v1", "acme/mailer", "1.0.0", h.clock().Now(), 0},
		}
		edit(s)
		h.forge(l, h.key, s)
	})
}

func TestKeyWindowsRevocationAndExpiry(t *testing.T) {
	t.Run("window at its ends and one past", func(t *testing.T) {
		h := bareHome(t)
		from, until := writ.Clock(h.clock()).Now(), writ.Clock(h.clock()).Now().Add(time.Hour)
		if _, err := h.Trust(h.ctx, h.by, TrustedKey{Publisher: "acme", PEM: string(h.key.Public().PEM), ValidFrom: from, ValidUntil: until}); err != nil {
			t.Fatal(err)
		}
		file := h.bundle()
		for _, c := range []struct {
			at writ.Time
			ok bool
		}{{from, true}, {until, true}, {from - 1, false}, {until + 1, false}} {
			h.now = c.at.Std()
			report, err := h.Examine(h.ctx, h.by.Tenant, file)
			if err != nil || report.OK() != c.ok {
				t.Errorf("at %s: %v %v", c.at, err, report.Issues)
			}
		}
		h.now = (until + 1).Std()
		h.refused(file, writ.IssueKeyUntrusted)
	})
	t.Run("revoked", func(t *testing.T) {
		h := newHome(t)
		if err := h.RevokeKey(h.ctx, h.by, h.key.Public().ID, "leaked"); err != nil {
			t.Fatal(err)
		}
		h.refused(h.bundle(), writ.IssueKeyRevoked)
	})
	t.Run("another valid signature carries it", func(t *testing.T) {
		h := newHome(t)
		second := mustKey(t, KeyEd25519)
		h.trustKey("acme", second)
		file := h.sign(h.bundle(), func(r *SignRequest) { r.Key = second })
		if err := h.RevokeKey(h.ctx, h.by, h.key.Public().ID, "rotated"); err != nil {
			t.Fatal(err)
		}
		if report := h.install(file); report.Signer != second.Public().ID {
			t.Errorf("signer %s", report.Signer)
		}
	})
	t.Run("denied digest", func(t *testing.T) {
		h := newHome(t)
		file := h.bundle()
		about, err := Inspect(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range []writ.Digest{about.Ref.Digest, about.Ref.Module} {
			h := newHome(t)
			h.trustKey("acme", h.key)
			if err := h.DenyDigest(h.ctx, h.by, d, "harmful"); err != nil {
				t.Fatal(err)
			}
			h.refused(h.bundle(), writ.IssueReleaseRevoked)
		}
	})
	t.Run("signature expired", func(t *testing.T) {
		h := newHome(t)
		last := h.clock().Now().Add(time.Hour)
		file := h.sign(h.pack(mailer(), guest()), func(r *SignRequest) { r.Expires = last })
		h.now = (last + 1).Std()
		h.refused(file, writ.IssueSignatureExpired)
		h.now = last.Std()
		ref := h.install(file).Ref
		h.now = last.Add(time.Hour).Std()
		if _, err := h.load(ref); err != nil {
			t.Errorf("what was installed in time still runs: %v", err)
		}
	})
}

func TestPublisherThreats(t *testing.T) {
	h := newHome(t)
	evil := mustKey(t, KeyECDSA)
	h.trustKey("evil", evil)
	// evil's key is trusted, for evil: the bundle says acme everywhere.
	h.refused(h.sign(h.pack(mailer(), guest()), func(r *SignRequest) { r.Key = evil }),
		writ.IssuePublisherUntrusted, writ.IssueProvenanceUntrusted)
	// The signed words say evil, the manifest under them acme.
	file := h.rebuild(h.pack(mailer(), guest()), func(l *layout) {
		about := []subject{{"evil/mailer@1.0.0", map[string]string{"sha256": l.digest().Hex()}}}
		h.forge(l, evil, &statement{PredicateType: PredicateSkill, Subject: about, Predicate: skillPredicate{"writ/v1", "evil/mailer", "1.0.0", 1, 0}})
		i := &Inspection{Ref: writ.SkillRef{Key: "evil/mailer", Version: "1.0.0", Digest: l.digest()}}
		h.forge(l, evil, &statement{PredicateType: PredicateProvenance, Subject: about, Predicate: provenancePredicate(i, &ProvenanceInput{}, 1)})
	})
	if report := h.refused(file, writ.IssuePublisherUntrusted); report.Publisher {
		t.Error("the report calls the publisher trusted")
	}
	// The manifest is of another version than the signature says.
	file = h.rebuild(h.pack(mailer(version("1.0.9")), guest()), func(l *layout) {
		about := []subject{{"acme/mailer@1.0.0", map[string]string{"sha256": l.digest().Hex()}}}
		h.forge(l, h.key, &statement{PredicateType: PredicateSkill, Subject: about, Predicate: skillPredicate{"writ/v1", "acme/mailer", "1.0.0", 1, 0}})
		i := &Inspection{Ref: writ.SkillRef{Key: "acme/mailer", Version: "1.0.0", Digest: l.digest()}}
		h.forge(l, h.key, &statement{PredicateType: PredicateProvenance, Subject: about, Predicate: provenancePredicate(i, &ProvenanceInput{}, 1)})
	})
	h.refused(file, writ.IssueManifestInvalid)
	// A key for provenance alone does not sign.
	builder := mustKey(t, KeyECDSA)
	h.trustKey("acme", builder, contract.TrustProvenance)
	h.refused(h.sign(h.pack(mailer(), guest()), func(r *SignRequest) { r.Key = builder }), writ.IssueKeyUntrusted)
	// And it is good for what it is for.
	h.install(h.sign(h.pack(mailer(), guest()), func(r *SignRequest) { r.ProvenanceKey = builder }))
}

func TestProvenanceThreats(t *testing.T) {
	h := newHome(t)
	signer := mustKey(t, KeyECDSA)
	h.trustKey("acme", signer, contract.TrustSignature)
	stranger := mustKey(t, KeyECDSA)
	// with signs by signer and attaches a provenance statement as edited.
	with := func(edit func(*statement, map[string]any)) []byte {
		return h.rebuild(h.pack(mailer(), guest()), func(l *layout) {
			i := &Inspection{Ref: writ.SkillRef{Key: "acme/mailer", Version: "1.0.0", Digest: l.digest()}}
			h.forge(l, signer, &statement{PredicateType: PredicateSkill, Subject: i.subject(), Predicate: skillPredicate{"writ/v1", "acme/mailer", "1.0.0", 1, 0}})
			if edit == nil {
				return
			}
			p := provenancePredicate(i, &ProvenanceInput{}, h.clock().Now())
			s := &statement{PredicateType: PredicateProvenance, Subject: i.subject(), Predicate: p}
			edit(s, p)
			h.forge(l, h.key, s)
		})
	}
	definition := func(p map[string]any) map[string]any { return p["buildDefinition"].(map[string]any) }
	run := func(p map[string]any) map[string]any { return p["runDetails"].(map[string]any) }
	for name, c := range map[string]struct {
		file []byte
		want writ.IssueCode
	}{
		"missing":                {with(nil), writ.IssueProvenanceMissing},
		"other predicate type":   {with(func(s *statement, _ map[string]any) { s.PredicateType = "https://slsa.dev/provenance/v0.2" }), writ.IssueProvenanceMissing},
		"unknown builder":        {with(func(_ *statement, p map[string]any) { run(p)["builder"] = map[string]any{"id": "https://evil.example"} }), writ.IssueProvenanceUntrusted},
		"builder id with a tail": {with(func(_ *statement, p map[string]any) { run(p)["builder"] = map[string]any{"id": LocalBuilder + "x"} }), writ.IssueProvenanceUntrusted},
		"no builder":             {with(func(_ *statement, p map[string]any) { delete(run(p), "builder") }), writ.IssueProvenanceUntrusted},
		"unknown build type":     {with(func(_ *statement, p map[string]any) { definition(p)["buildType"] = "https://evil.example" }), writ.IssueProvenanceUntrusted},
		"no build type":          {with(func(_ *statement, p map[string]any) { delete(definition(p), "buildType") }), writ.IssueProvenanceUntrusted},
		"another skill's build": {with(func(_ *statement, p map[string]any) {
			definition(p)["externalParameters"] = map[string]any{"skill": "acme/x", "version": "1.0.0"}
		}), writ.IssueProvenanceUntrusted},
		"another bundle":          {with(func(s *statement, _ map[string]any) { s.Subject[0].Digest["sha256"] = strings.Repeat("0", 64) }), writ.IssueProvenanceUntrusted},
		"another subject name":    {with(func(s *statement, _ map[string]any) { s.Subject[0].Name = "acme/mailer@9.9.9" }), writ.IssueProvenanceUntrusted},
		"key trusted to sign":     {h.sign(h.pack(mailer(), guest()), func(r *SignRequest) { r.ProvenanceKey = signer }), writ.IssueProvenanceUntrusted},
		"key of nobody":           {h.sign(h.pack(mailer(), guest()), func(r *SignRequest) { r.ProvenanceKey = stranger }), writ.IssueProvenanceUntrusted},
		"predicate is not a SLSA": {with(func(s *statement, _ map[string]any) { s.Predicate = map[string]any{"buildDefinition": 7} }), writ.IssueProvenanceUntrusted},
	} {
		t.Run(name, func(t *testing.T) {
			h.t = t
			if report := h.refused(c.file, c.want); report.Built || report.Provenance != nil {
				t.Errorf("%+v", report)
			}
		})
	}
	h.t = t
	if report := h.install(with(func(*statement, map[string]any) {})); !report.Built {
		t.Error("honest provenance is refused")
	}
}

func TestVersionThreats(t *testing.T) {
	h := newHome(t)
	h.install(h.bundle(version("1.2.0")))
	h.refused(h.bundle(version("1.1.9")), writ.IssueRollback)
	h.refused(h.bundle(version("1.2.0-rc.1")), writ.IssueRollback)
	h.refused(h.bundle(version("1.2.0"), func(m *abi.Manifest) { m.Description = "Other bytes." }), writ.IssueVersionExists)
	h.install(h.bundle(version("1.10.0"))) // greater as a version, smaller as text
	if _, err := h.Uninstall(h.ctx, &contract.SkillUninstallInput{SkillKey: "acme/mailer"}); err != nil {
		t.Fatal(err)
	}
	h.refused(h.bundle(version("1.2.0")), writ.IssueRollback)
	h.refused(h.bundle(version("1.10.0"), func(m *abi.Manifest) { m.Description = "Other bytes." }), writ.IssueVersionExists)
	h.install(h.bundle(version("1.10.0")))
	// Another tenant has floors of its own.
	h.by.Tenant = "other"
	h.trustKey("acme", h.key)
	h.install(h.bundle(version("1.0.0")))
}

func TestCompatibilityEachWay(t *testing.T) {
	requires := func(host, guest, contracts string) func(*abi.Manifest) {
		return func(m *abi.Manifest) { m.Requires = abi.Requires{Host: host, ABI: guest, Contracts: contracts} }
	}
	h := newHome(t, func(o *Options) { o.Versions = Versions{Host: "1.5.0", ABI: "1.5.0", Contracts: "1.5.0"} })
	for _, c := range []struct {
		edit func(*abi.Manifest)
		want []writ.IssueCode
	}{
		{requires("^1.6", "", ""), []writ.IssueCode{writ.IssueHostTooOld}},
		{requires("<1.5.0", "", ""), []writ.IssueCode{writ.IssueHostTooNew}},
		{requires("", ">=2", ""), []writ.IssueCode{writ.IssueABITooOld}},
		{requires("", "~1.4.0", ""), []writ.IssueCode{writ.IssueABITooNew}},
		{requires("", "", "1.6.x"), []writ.IssueCode{writ.IssueContractsTooOld}},
		{requires("", "", "0.x"), []writ.IssueCode{writ.IssueContractsTooNew}},
		{requires("2", "<1", "3"), []writ.IssueCode{writ.IssueABITooNew, writ.IssueHostTooOld, writ.IssueContractsTooOld}},
		{func(m *abi.Manifest) { m.ABI, m.Requires = "writ/v2", abi.Requires{} }, []writ.IssueCode{writ.IssueABITooOld}},
		{func(m *abi.Manifest) { m.ABI, m.Requires = "writ/v0", abi.Requires{} }, []writ.IssueCode{writ.IssueABITooNew}},
	} {
		if report := h.refused(h.bundle(c.edit), c.want...); report.Compatible {
			t.Errorf("%v: called compatible", c.want)
		}
	}
	h.install(h.bundle(requires(">=1.5.0 <1.5.1", "^1", "*")))
}
