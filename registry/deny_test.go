package registry

import (
	"context"
	"maps"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

func (h *home) deny(s contract.DenialSubject) {
	h.t.Helper()
	if _, err := h.TrustDeny(h.ctx, &contract.TrustDenyInput{DenialSubject: s, Reason: "harmful"}); err != nil {
		h.t.Fatal(err)
	}
}

func (h *home) undeny(s contract.DenialSubject) error {
	_, err := h.TrustUndeny(h.ctx, &contract.TrustUndenyInput{DenialSubject: s, Reason: "a mistake"})
	return err
}

// TestDenialsStopInstallLoadAndPlan: each kind of denial, who said it and when, at
// an install, at a load and in a new plan; a replay goes on, and undone all is
// as before.
func TestDenialsStopInstallLoadAndPlan(t *testing.T) {
	h := newHome(t)
	file := h.bundle()
	ref := h.install(file).Ref
	h.aged()
	for name, c := range map[string]struct {
		what contract.DenialSubject
		want writ.IssueCode
	}{
		"publisher": {contract.DenialSubject{Publisher: "acme"}, writ.IssuePublisherRevoked},
		"key":       {contract.DenialSubject{KeyID: string(h.key.Public().ID)}, writ.IssueKeyRevoked},
		"bundle":    {contract.DenialSubject{Digest: ref.Digest}, writ.IssueReleaseRevoked},
		"module":    {contract.DenialSubject{Digest: ref.Module}, writ.IssueReleaseRevoked},
		"versions":  {contract.DenialSubject{Skill: "acme/mailer <1.4.2"}, writ.IssueReleaseRevoked},
		"skill":     {contract.DenialSubject{Skill: "acme/mailer"}, writ.IssueReleaseRevoked},
	} {
		t.Run(name, func(t *testing.T) {
			h.t = t
			h.deny(c.what)
			_, err := h.load(ref)
			if !writ.IsCode(err, writ.CodeSkillRefused) || !strings.Contains(err.Error(), string(c.want)) ||
				!strings.Contains(err.Error(), "was denied by ada at "+h.clock().Now().String()[:16]) || !strings.Contains(err.Error(), ": harmful") {
				t.Errorf("load: %v", err)
			}
			report, err := h.Examine(h.ctx, h.by.Tenant, file)
			if err != nil || report.OK() || report.Issues[0].Code != c.want {
				t.Errorf("install: %v %v", err, report.Issues)
			}
			if cat, err := h.Catalogue(h.ctx, h.by.Tenant); err != nil {
				t.Error(err)
			} else if _, err := cat.Resolve(ref.Key, ""); !writ.IsCode(err, writ.CodeSkillRefused) {
				t.Errorf("a plan can still use it: %v", err)
			}
			if _, err := h.Load(h.ctx, writ.LoadRequest{Tenant: h.by.Tenant, Ref: ref, Replaying: true}); err != nil {
				t.Errorf("a replay must find it: %v", err)
			}
			if err := h.undeny(c.what); err != nil {
				t.Error(err)
			}
			if _, err := h.load(ref); err != nil {
				t.Errorf("undone: %v", err)
			}
			if err := h.undeny(c.what); !writ.IsCode(err, writ.CodeNotFound) {
				t.Errorf("undone twice: %v", err)
			}
		})
	}
	h.t = t
	h.deny(contract.DenialSubject{Skill: "acme/mailer >=1.0.1"})
	h.deny(contract.DenialSubject{Skill: "acme/other"})
	h.deny(contract.DenialSubject{Publisher: "zed"})
	if _, err := h.load(ref); err != nil {
		t.Errorf("what is denied of others stops it: %v", err)
	}
}

// TestARangeHoldsPrereleases: who denies what comes before a version means its
// prereleases too.
func TestARangeHoldsPrereleases(t *testing.T) {
	h := newHome(t)
	h.deny(contract.DenialSubject{Skill: "acme/mailer <1.4.2"})
	for v, denied := range map[string]bool{
		"1.4.1": true, "1.4.2-rc.1": true, "1.4.1-rc.1": true, "0.0.1": true, "1.4.2": false, "2.0.0-rc.1": false, "1.4.3": false,
	} {
		report, err := h.Examine(h.ctx, h.by.Tenant, h.bundle(version(v)))
		if err != nil || report.OK() == denied {
			t.Errorf("%s: %v %v", v, err, report.Issues)
		}
	}
}

func TestIdentities(t *testing.T) {
	h := bareHome(t)
	const github, actions = "https://token.example.com", "https://git.example.com/acme/mail/.build/release.yaml@refs/tags/v1"
	h.deny(contract.DenialSubject{Issuer: github, SAN: actions})
	h.deny(contract.DenialSubject{Issuer: github, SAN: "https://git.example.com/evil/*"})
	tr, err := h.trust(h.ctx, h.by.Tenant)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		issuer, san string
		denied      bool
	}{
		{github, actions, true},
		{github, actions + "0", false},
		{github, "https://git.example.com/evil/x@refs/heads/main", true},
		{github, "https://git.example.com/evil", false},
		{"https://other.example.com", actions, false},
		{"https://other.example.com", "https://git.example.com/evil/x", false},
		{github + "x", "https://git.example.com/evil/x", false},
		{"", "", false},
	} {
		if d := tr.certificateDenied(c.issuer, c.san); (d != nil) != c.denied {
			t.Errorf("%s %s: %v", c.issuer, c.san, d)
		}
	}
}

func TestWhatADenialMayName(t *testing.T) {
	h := newHome(t)
	long := strings.Repeat("x", maxIdentity)
	for name, c := range map[string]struct {
		s    contract.DenialSubject
		code writ.Code
	}{
		"nothing":             {contract.DenialSubject{}, writ.CodeInvalid},
		"two things":          {contract.DenialSubject{Publisher: "acme", Skill: "acme/mailer"}, writ.CodeInvalid},
		"a path":              {contract.DenialSubject{Publisher: "../x"}, writ.CodeInvalid},
		"no digest":           {contract.DenialSubject{Digest: "sha256:x"}, writ.CodeInvalid},
		"no key id":           {contract.DenialSubject{KeyID: "../x"}, writ.CodeInvalid},
		"no skill":            {contract.DenialSubject{Skill: "mailer <1"}, writ.CodeInvalid},
		"no range":            {contract.DenialSubject{Skill: "acme/mailer before noon"}, writ.CodeInvalid},
		"a range too long":    {contract.DenialSubject{Skill: "acme/mailer <1" + strings.Repeat(".0", maxConstraint)}, writ.CodeInvalid},
		"an issuer alone":     {contract.DenialSubject{Issuer: "https://a"}, writ.CodeInvalid},
		"a SAN alone":         {contract.DenialSubject{SAN: "a"}, writ.CodeInvalid},
		"a star for issuers":  {contract.DenialSubject{Issuer: "*", SAN: "a"}, writ.CodeInvalid},
		"a SAN at the limit":  {contract.DenialSubject{Issuer: "https://a", SAN: long}, ""},
		"a SAN past it":       {contract.DenialSubject{Issuer: "https://a", SAN: long + "x"}, writ.CodeInvalid},
		"a control character": {contract.DenialSubject{Issuer: "https://a", SAN: "a\nb"}, writ.CodeInvalid},
	} {
		_, err := h.TrustDeny(h.ctx, &contract.TrustDenyInput{DenialSubject: c.s, Reason: "harmful"})
		if writ.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	for reason, code := range map[string]writ.Code{"": writ.CodeInvalid, " ": writ.CodeInvalid, strings.Repeat("x", maxReason): "", strings.Repeat("x", maxReason+1): writ.CodeInvalid} {
		in := &contract.TrustDenyInput{DenialSubject: contract.DenialSubject{Publisher: "zed"}, Reason: reason}
		if _, err := h.TrustDeny(h.ctx, in); writ.CodeOf(err) != code {
			t.Errorf("a reason of %d bytes: %v", len(reason), err)
		}
	}
	if _, err := h.TrustDeny(context.Background(), &contract.TrustDenyInput{}); !writ.IsCode(err, writ.CodeUnauthenticated) {
		t.Error(err)
	}
}

// TestARevokedKeyStaysSo: trust revoke is for good, whatever is denied before or
// after it; nobody trusts a denied publisher's new key by accident.
func TestARevokedKeyStaysSo(t *testing.T) {
	h := newHome(t)
	key := contract.DenialSubject{KeyID: string(h.key.Public().ID)}
	h.deny(key)
	if _, err := h.TrustRevoke(h.ctx, &contract.TrustRevokeInput{Publisher: "acme", Reason: "leaked"}); err != nil {
		t.Fatal(err)
	}
	records := len(h.memory.records)
	h.deny(key) // weaker, so it changes nothing
	if len(h.memory.records) != records {
		t.Error("a weaker denial was recorded over the revocation")
	}
	if err := h.undeny(key); !writ.IsCode(err, writ.CodeConflict) || !strings.Contains(err.Error(), "leaked") {
		t.Errorf("%v", err)
	}
	h.deny(contract.DenialSubject{Publisher: "zed"})
	_, err := h.Trust(h.ctx, h.by, TrustedKey{Publisher: "zed", PEM: string(mustKey(t, KeyECDSA).Public().PEM)})
	if !writ.IsCode(err, writ.CodeConflict) {
		t.Errorf("a key of a denied publisher: %v", err)
	}
	out, err := h.TrustList(h.ctx, &contract.TrustListInput{})
	if err != nil || len(out.Denied) != 2 {
		t.Fatal(err, out.Denied)
	}
	first, last := out.Denied[0], out.Denied[1]
	if first.Kind != contract.DeniedKey || !first.Final || first.Reason != "leaked" || first.By != "ada" || first.At != h.clock().Now() || first.Subject != key.KeyID {
		t.Errorf("%+v", first)
	}
	if last.Kind != contract.DeniedPublisher || last.Final || last.Subject != "zed" {
		t.Errorf("%+v", last)
	}
	if one, err := h.TrustList(h.ctx, &contract.TrustListInput{Publisher: "zed"}); err != nil || len(one.Denied) != 1 {
		t.Error(err, one.Denied)
	}
}

// TestTamperedDenials: who can write to the store cannot turn a denial into one of
// something else.
func TestTamperedDenials(t *testing.T) {
	h := newHome(t)
	ref := h.install(h.bundle()).Ref
	good := maps.Clone(h.memory.docs[writ.DefaultTenant])
	for name, value := range map[string]string{
		denySkills + subjectID("acme/mailer"):   `{"subject":"acme/other","at":"2026-03-01T12:00:00.000000000Z"}`,
		denyCertificates + subjectID("a b"):     `{}`,
		denySkills + subjectID("acme/mailer y"): `{"subject":"acme/mailer y"}`,
		denyKeys + "zz":                         `{}`,
		trustPrefix + "deny-nothing/x":          `{}`,
		trustFeeds + "acme":                     `{"name":"other","list":{"apiVersion":"writ/v1","kind":"Revocations"}}`,
	} {
		h.memory.put(name, []byte(value))
		h.cache.change(h.by.Tenant)()
		if _, err := h.load(ref); !writ.IsCode(err, writ.CodeTampered) {
			t.Errorf("%s: %v", name, err)
		}
		h.memory.docs[writ.DefaultTenant] = maps.Clone(good)
		h.cache.change(h.by.Tenant)()
	}
	if _, err := h.load(ref); err != nil {
		t.Error(err)
	}
}

// The threats of an older release, each by name with its code.

func TestThreatDowngradeToAnOlderRelease(t *testing.T) {
	h := newHome(t)
	h.install(h.bundle(version("1.2.0")))
	h.refused(h.bundle(version("1.1.0")), writ.IssueRollback)
}

func TestThreatDowngradeAfterAnUninstall(t *testing.T) {
	h := newHome(t)
	h.install(h.bundle(version("1.2.0")))
	if _, err := h.Uninstall(h.ctx, &contract.SkillUninstallInput{SkillKey: "acme/mailer"}); err != nil {
		t.Fatal(err)
	}
	h.refused(h.bundle(version("1.1.0")), writ.IssueRollback)
}

func TestThreatAVersionWithOtherBytes(t *testing.T) {
	h := newHome(t)
	h.install(h.bundle(version("1.2.0")))
	other := func(m *abi.Manifest) { m.Description = "Other bytes." }
	h.refused(h.bundle(version("1.2.0"), other), writ.IssueVersionExists)
	if _, err := h.Uninstall(h.ctx, &contract.SkillUninstallInput{SkillKey: "acme/mailer"}); err != nil {
		t.Fatal(err)
	}
	h.refused(h.bundle(version("1.2.0"), other), writ.IssueVersionExists)
	// No reason lets other bytes in.
	in := &contract.SkillInstallInput{Bundle: h.bundle(version("1.2.0"), other), AllowRollback: "they said so"}
	if _, err := h.Install(h.ctx, in); !writ.IsCode(err, writ.CodeSkillRefused) || !strings.Contains(err.Error(), string(writ.IssueVersionExists)) {
		t.Error(err)
	}
}

// TestARollbackNeedsAReasonAndIsRecorded: and the floor stays where it was.
func TestARollbackNeedsAReasonAndIsRecorded(t *testing.T) {
	h := newHome(t)
	h.install(h.bundle(version("1.2.0")))
	old := h.bundle(version("1.1.0"))
	for reason, code := range map[string]writ.Code{" ": writ.CodeInvalid, strings.Repeat("x", maxReason+1): writ.CodeInvalid, "": writ.CodeSkillRefused} {
		if _, err := h.Install(h.ctx, &contract.SkillInstallInput{Bundle: old, AllowRollback: reason}); writ.CodeOf(err) != code {
			t.Errorf("%q: %v", clip(reason), err)
		}
	}
	out, err := h.Install(h.ctx, &contract.SkillInstallInput{Bundle: old, AllowRollback: "1.2.0 loses mail"})
	if err != nil || !out.Verified {
		t.Fatal(err)
	}
	facts := h.memory.last().Body.System
	if facts.Reason != "1.2.0 loses mail" || facts.Details["olderThan"] != "1.2.0" || facts.Version != "1.1.0" {
		t.Errorf("%+v", facts)
	}
	h.refused(h.bundle(version("1.1.5")), writ.IssueRollback)
	// What is newer needs no reason, and records none.
	if _, err := h.Install(h.ctx, &contract.SkillInstallInput{Bundle: h.bundle(version("1.3.0")), AllowRollback: "habit"}); err != nil {
		t.Fatal(err)
	}
	if facts := h.memory.last().Body.System; facts.Reason != "" || facts.Details["olderThan"] != "" {
		t.Errorf("%+v", facts)
	}
	// An older release that is denied stays out.
	h.deny(contract.DenialSubject{Skill: "acme/mailer <1.1.0"})
	in := &contract.SkillInstallInput{Bundle: h.bundle(version("1.0.0")), AllowRollback: "please"}
	if _, err := h.Install(h.ctx, in); !writ.IsCode(err, writ.CodeSkillRefused) || !strings.Contains(err.Error(), string(writ.IssueReleaseRevoked)) {
		t.Error(err)
	}
}

// TestDenialsHammer: loads beside denials never see a state from before one that
// has been acknowledged.
func TestDenialsHammer(t *testing.T) {
	h := newHome(t)
	ref := h.install(h.bundle()).Ref
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 200 {
			_, err := h.Load(h.ctx, writ.LoadRequest{Tenant: h.by.Tenant, Ref: ref})
			if err != nil && !writ.IsCode(err, writ.CodeSkillRefused) {
				t.Error(err)
			}
		}
	}()
	what := contract.DenialSubject{Publisher: "acme"}
	for range 50 {
		h.deny(what)
		if _, err := h.Load(h.ctx, writ.LoadRequest{Tenant: h.by.Tenant, Ref: ref}); !writ.IsCode(err, writ.CodeSkillRefused) {
			t.Errorf("loaded although it is denied: %v", err)
		}
		if err := h.undeny(what); err != nil {
			t.Error(err)
		}
		if _, err := h.Load(h.ctx, writ.LoadRequest{Tenant: h.by.Tenant, Ref: ref}); err != nil {
			t.Error(err)
		}
	}
	<-done
}
