package registry

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/registry/keyless"
	"github.com/writ-run/writ/registry/keyless/keylesstest"
)

func (h *home) policy(p TrustPolicy) {
	h.t.Helper()
	p.Publisher = "acme"
	if _, err := h.SetPolicy(h.ctx, h.by, p); err != nil {
		h.t.Fatal(err)
	}
}

func TestPolicyOfKeysAndIdentities(t *testing.T) {
	h := newKeylessHome(t)
	one, two, builder := mustKey(t, KeyECDSA), mustKey(t, KeyEd25519), mustKey(t, KeyECDSA)
	h.trustKey("acme", one)
	h.trustKey("acme", two)
	h.trustKey("acme", builder, contract.TrustProvenance)
	first, second := string(one.Public().ID), string(two.Public().ID)
	with := func(file []byte, keys ...*Key) []byte {
		for _, key := range keys {
			file = h.sign(file, func(r *SignRequest) { r.Key = key })
		}
		return file
	}
	plain := h.pack(mailer(), guest())
	certified := h.certified(certified{})
	missing := []writ.IssueCode{writ.IssueSignatureMissing}
	check := func(name string, file []byte, want ...writ.IssueCode) {
		t.Helper()
		report, err := h.Examine(h.ctx, h.by.Tenant, file)
		if err != nil || !slices.Equal(codes(report.Issues), want) || report.Signature != (len(want) == 0) {
			t.Errorf("%s: %v %v", name, err, describe(report.Issues))
		}
	}
	check("without a policy", with(plain, one))

	h.policy(TrustPolicy{AllOf: []string{first, second}})
	check("both", with(plain, one, two))
	check("one of both", with(plain, one), missing...)
	check("the same one twice", with(plain, one, one), missing...)

	h.policy(TrustPolicy{AllOf: []string{ciID("acme")}, AnyOf: []string{first, second}})
	check("identity and a key", with(certified, two))
	check("identity alone", certified, missing...)
	check("keys alone", with(plain, one, two), missing...)

	h.policy(TrustPolicy{AnyOf: []string{first, second, ciID("acme")}, Threshold: 2})
	check("two keys of three", with(plain, one, two))
	check("identity and key of three", with(certified, one))
	check("one key of three", with(plain, one), missing...)
	check("a stranger beside it is not counted", with(plain, mustKey(t, KeyECDSA), one), append(missing, writ.IssueKeyUntrusted)...)

	// A fingerprint names a key as well, and a policy that is removed asks nothing.
	h.policy(TrustPolicy{AllOf: []string{two.Public().ID.Fingerprint()}})
	check("fingerprint", with(plain, two))
	check("fingerprint of another", with(plain, one), missing...)
	if err := h.RemovePolicy(h.ctx, h.by, "acme", ""); err != nil {
		t.Fatal(err)
	}
	check("removed", with(plain, one))
	if err := h.RemovePolicy(h.ctx, h.by, "acme", ""); !writ.IsCode(err, writ.CodeNotFound) {
		t.Error(err)
	}
}

// Two identities that cover one certificate, and one key under two names.
func TestOneSignerCountsOnce(t *testing.T) {
	h := newKeylessHome(t)
	wide := TrustedIdentity{Publisher: "acme", Identity: keyless.Identity{
		Issuer: testIssuer, SANPattern: `https://github\.com/acme/mailer/.*`, SourceRepository: testRepository,
	}}
	wideID := h.trustIdentity(wide).ID
	h.policy(TrustPolicy{AnyOf: []string{ciID("acme"), wideID}, Threshold: 2})
	twice := h.alsoCertified(h.certified(certified{}), certified{signer: ci(), builder: ci(), how: keylesstest.Signing{CertifiedAt: epoch.Add(time.Second)}})
	h.refused(twice, writ.IssueSignatureMissing)
	other := ci(func(w *keylesstest.Subject) { w.SAN = strings.Replace(w.SAN, "release", "sign", 1) })
	both := h.alsoCertified(h.certified(certified{}), certified{signer: other, builder: ci()})
	report := h.install(both)
	if len(report.Signers) != 2 {
		t.Errorf("%v", report.Signers)
	}
	// A policy counts at once, for what is installed too.
	h.policy(TrustPolicy{AllOf: []string{h.trusted("acme")}})
	if _, err := h.load(report.Ref); !writ.IsCode(err, writ.CodeSkillRefused) {
		t.Errorf("loads under a policy that it does not meet: %v", err)
	}
	// Not for what has run, and an upgrade may be looked at beside it.
	if _, err := h.Load(h.ctx, writ.LoadRequest{Tenant: h.by.Tenant, Ref: report.Ref, Replaying: true}); err != nil {
		t.Errorf("replay: %v", err)
	}
	key := mustKey(t, KeyECDSA)
	h.trustKey("acme", key)
	h.trustKey("acme", key) // the same key again is the same key
	h.policy(TrustPolicy{AllOf: []string{string(key.Public().ID)}})
	if _, err := h.SetPolicy(h.ctx, h.by, TrustPolicy{Publisher: "acme", AnyOf: []string{string(key.Public().ID), key.Public().ID.Fingerprint()}, Threshold: 2}); !writ.IsCode(err, writ.CodeInvalid) {
		t.Errorf("one key under two names: %v", err)
	}
}

// trusted is the id of a new key that may sign for a publisher.
func (h *home) trusted(publisher string) string {
	key := mustKey(h.t, KeyECDSA)
	h.trustKey(publisher, key)
	return string(key.Public().ID)
}

func TestPoliciesThatAreRefused(t *testing.T) {
	h := newHome(t)
	id := string(h.key.Public().ID)
	builder, evil := mustKey(t, KeyECDSA), mustKey(t, KeyECDSA)
	h.trustKey("acme", builder, contract.TrustProvenance)
	h.trustKey("evil", evil)
	var many []string
	for range maxMembers + 1 {
		many = append(many, h.trusted("acme"))
	}
	for name, c := range map[string]struct {
		p    TrustPolicy
		code writ.Code
	}{
		"nobody":                    {TrustPolicy{Publisher: "acme"}, writ.CodeInvalid},
		"a publisher that is none":  {TrustPolicy{Publisher: "A c", AllOf: []string{id}}, writ.CodeInvalid},
		"threshold below":           {TrustPolicy{Publisher: "acme", AnyOf: []string{id}, Threshold: -1}, writ.CodeInvalid},
		"threshold above":           {TrustPolicy{Publisher: "acme", AnyOf: []string{id}, Threshold: 2}, writ.CodeInvalid},
		"threshold of nothing":      {TrustPolicy{Publisher: "acme", AllOf: []string{id}, Threshold: 1}, writ.CodeInvalid},
		"in both lists":             {TrustPolicy{Publisher: "acme", AllOf: []string{id}, AnyOf: []string{id}}, writ.CodeInvalid},
		"a stranger":                {TrustPolicy{Publisher: "acme", AllOf: []string{string(mustKey(t, KeyECDSA).Public().ID)}}, writ.CodeNotFound},
		"a key of another":          {TrustPolicy{Publisher: "acme", AllOf: []string{string(evil.Public().ID)}}, writ.CodeNotFound},
		"a key for provenance only": {TrustPolicy{Publisher: "acme", AllOf: []string{string(builder.Public().ID)}}, writ.CodeNotFound},
		"an empty name":             {TrustPolicy{Publisher: "acme", AllOf: []string{""}}, writ.CodeNotFound},
		"one too many":              {TrustPolicy{Publisher: "acme", AnyOf: many}, writ.CodeInvalid},
	} {
		if _, err := h.SetPolicy(h.ctx, h.by, c.p); !writ.IsCode(err, c.code) {
			t.Errorf("%s: %v", name, err)
		}
	}
	h.policy(TrustPolicy{AnyOf: many[:maxMembers], Threshold: maxMembers})
}

// The matching against a search of all assignments.
func TestPolicyMatchingIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := []string{"a", "b", "c", "d"}
		all := rapid.IntRange(0, 2).Draw(t, "all")
		p := &TrustPolicy{AllOf: ids[:all], AnyOf: ids[all:]}
		p.Threshold = rapid.IntRange(1, len(p.AnyOf)).Draw(t, "threshold")
		signers := map[string][]string{}
		for i := range rapid.IntRange(0, 4).Draw(t, "signers") {
			signers[fmt.Sprint(i)] = rapid.SliceOfNDistinct(rapid.SampledFrom(ids), 0, 4, rapid.ID).Draw(t, "covers")
		}
		if got, want := p.lacks(signers) == "", searched(p, signers); got != want {
			t.Fatalf("%+v %v: %v, a search says %v", p, signers, got, want)
		}
	})
}

// searched tries to give each member, one by one, every signer that is left.
func searched(p *TrustPolicy, signers map[string][]string) bool {
	members := slices.Concat(p.AllOf, p.AnyOf)
	var try func(i, any int, used map[string]bool) bool
	try = func(i, any int, used map[string]bool) bool {
		if i == len(members) {
			return any >= p.Threshold
		}
		for who, ids := range signers {
			if used[who] || !slices.Contains(ids, members[i]) {
				continue
			}
			used[who] = true
			more := any
			if i >= len(p.AllOf) {
				more++
			}
			if try(i+1, more, used) {
				return true
			}
			delete(used, who)
		}
		return i >= len(p.AllOf) && try(i+1, any, used)
	}
	return try(0, 0, map[string]bool{})
}

// Trust changes while bundles are judged: nothing is judged by half a change.
func TestTrustHammer(t *testing.T) {
	h := newKeylessHome(t)
	file := h.certified(certified{})
	roots := []string{string(h.sigstore.Root(keylesstest.Trusted{})), string(h.sigstore.Root(keylesstest.Trusted{Log: true}))}
	var group sync.WaitGroup
	each := func(do func(i int) error) {
		group.Go(func() {
			for i := range 20 {
				if err := do(i); err != nil && !writ.IsCode(err, writ.CodeNotFound) {
					t.Error(err)
				}
			}
		})
	}
	each(func(i int) error {
		_, err := h.ImportRoot(h.ctx, h.by, TrustedRoot{Root: roots[i%2]})
		return err
	})
	each(func(int) error {
		_, err := h.TrustIdentity(h.ctx, h.by, ciIdentity("acme"))
		return err
	})
	each(func(i int) error {
		if i%2 == 0 {
			return h.RemovePolicy(h.ctx, h.by, "acme", "")
		}
		_, err := h.SetPolicy(h.ctx, h.by, TrustPolicy{Publisher: "acme", AllOf: []string{ciID("acme")}})
		return err
	})
	for range 3 {
		each(func(int) error {
			report, err := h.Examine(h.ctx, h.by.Tenant, file)
			if err == nil && !report.OK() && report.Issues[0].Code != writ.IssueSignatureInvalid { // under the root with a log
				t.Error(describe(report.Issues))
			}
			return err
		})
	}
	group.Wait()
}
