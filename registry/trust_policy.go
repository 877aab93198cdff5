package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// TrustPolicy says whose signatures a publisher's skills need together. Without
// one, any signer that is trusted for the publisher is enough.
//
// Members are ids of keys and identities. Every member of AllOf and at least
// Threshold of AnyOf must have signed, each of them somebody else: a key under two
// names, or one certificate identity that two members cover, counts once.
type TrustPolicy struct {
	Publisher string           `json:"publisher"`
	AllOf     []string         `json:"allOf,omitempty"`
	AnyOf     []string         `json:"anyOf,omitempty"`
	Threshold int              `json:"threshold,omitempty"` // of AnyOf; at least 1 where AnyOf is not empty
	Reason    string           `json:"reason,omitempty"`
	SetAt     writ.Time        `json:"setAt"`
	SetBy     writ.PrincipalID `json:"setBy"`
}

// maxMembers bounds a policy: more signatures than a bundle may carry could never
// be there.
const maxMembers = 32

func (t *trust) readPolicy(doc *writ.Document) error {
	p := &TrustPolicy{}
	if err := json.Unmarshal(doc.Value, p); err != nil {
		return err
	}
	if err := p.check(); err != nil {
		return err
	}
	if doc.Key != trustPolicies+p.Publisher {
		return writ.Errorf(writ.CodeTampered, doc.Key, "the policy is of %s", p.Publisher)
	}
	t.policies[p.Publisher] = p
	return nil
}

// check is the form alone. A policy that asks for nobody is none.
func (p *TrustPolicy) check() error {
	op := "trust policy of " + clip(p.Publisher)
	switch {
	case len(p.AllOf)+len(p.AnyOf) == 0:
		return writ.Errorf(writ.CodeInvalid, op, "it names nobody").WithFix("name keys and identities in allOf or anyOf, or remove the policy: writ trust policy %s --remove", clip(p.Publisher))
	case len(p.AllOf)+len(p.AnyOf) > maxMembers:
		return writ.Errorf(writ.CodeInvalid, op, "at most %d members may be named", maxMembers)
	case len(p.AnyOf) == 0 && p.Threshold != 0:
		return writ.Errorf(writ.CodeInvalid, op, "a threshold is of anyOf, which is empty")
	case len(p.AnyOf) > 0 && (p.Threshold < 1 || p.Threshold > len(p.AnyOf)):
		return writ.Errorf(writ.CodeInvalid, op, "threshold %d: anyOf has %d members", p.Threshold, len(p.AnyOf)).
			WithFix("give a threshold from 1 to %d", len(p.AnyOf))
	}
	seen := map[string]bool{}
	for _, m := range slices.Concat(p.AllOf, p.AnyOf) {
		if seen[m] {
			return writ.Errorf(writ.CodeInvalid, op, "%s stands there twice", clip(m)).WithFix("name each key and identity once")
		}
		seen[m] = true
	}
	return nil
}

// SetPolicy makes a policy the publisher's; it counts at once, for what is
// installed too. Threshold zero is 1 where AnyOf is not empty. Members may be
// given as key id, as a key's fingerprint or as an identity's id. CodeInvalid for
// a bad form, CodeNotFound where a member is not trusted to sign for the publisher.
func (r *Registry) SetPolicy(ctx context.Context, by *writ.Principal, p TrustPolicy) (*TrustPolicy, error) {
	op := "trust policy of " + clip(p.Publisher)
	if !publisherPattern.MatchString(p.Publisher) {
		return nil, writ.Errorf(writ.CodeInvalid, op, "not a publisher's name")
	}
	if len(p.AnyOf) > 0 && p.Threshold == 0 {
		p.Threshold = 1
	}
	r.change.Lock()
	defer r.change.Unlock()
	t, err := r.trust(ctx, by.Tenant)
	if err != nil {
		return nil, err
	}
	members := t.members(p.Publisher)
	for _, list := range []*[]string{&p.AllOf, &p.AnyOf} {
		named := make([]string, len(*list))
		for i, m := range *list {
			id, ok := members[plainMember(m)]
			if !ok {
				return nil, writ.Errorf(writ.CodeNotFound, op, "%s is no key or identity that may sign for it", clip(m)).
					WithFix("add it first: writ trust add; `writ trust list -o json` shows the ids")
			}
			named[i] = id
		}
		*list = named
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	p.SetAt, p.SetBy = r.opts.Clock.Now(), by.ID
	return &p, r.appendTrust(ctx, by, "policy", p.Reason, map[string]any{trustPolicies + p.Publisher: &p})
}

// RemovePolicy lets any one trusted signer do again. CodeNotFound where the
// publisher has no policy.
func (r *Registry) RemovePolicy(ctx context.Context, by *writ.Principal, publisher, reason string) error {
	r.change.Lock()
	defer r.change.Unlock()
	t, err := r.trust(ctx, by.Tenant)
	if err != nil {
		return err
	}
	if t.policies[publisher] == nil {
		return writ.Errorf(writ.CodeNotFound, "trust policy of "+clip(publisher), "there is none").WithFix("writ trust list shows policies")
	}
	return r.appendTrust(ctx, by, "policy removed", reason, map[string]any{trustPolicies + publisher: nil})
}

// sortedPolicies are those of all publishers, by name.
func (t *trust) sortedPolicies() []*TrustPolicy {
	out := make([]*TrustPolicy, 0, len(t.policies))
	for _, publisher := range slices.Sorted(maps.Keys(t.policies)) {
		out = append(out, t.policies[publisher])
	}
	return out
}

// plainMember drops what a fingerprint has for people.
func plainMember(m string) string {
	if hex, ok := strings.CutPrefix(m, "SHA256"); ok {
		return strings.ReplaceAll(hex, " ", "")
	}
	return m
}

// members are the ids of who may sign for a publisher, by every name of theirs.
func (t *trust) members(publisher string) map[string]string {
	out := map[string]string{}
	for id, k := range t.keys {
		if k.Publisher == publisher && k.may(contract.TrustSignature) && t.keyDenied(id) == nil {
			out[string(id)], out[id.hex()] = string(id), string(id)
		}
	}
	for id, i := range t.identities {
		if i.Publisher == publisher && slices.Contains(i.Purposes, contract.TrustSignature) && t.withdrawn[denyIdentities+id] == nil {
			out[id] = id
		}
	}
	return out
}

// lacks says what of the policy the signers do not meet, "" where they meet it.
// signers maps who signed to the ids of the store that cover them.
//
// Each member needs a signer of its own, which is a matching of members to
// signers. Members of AllOf are matched first: an augmenting path never unmatches
// a member, so the members of AnyOf that are matched after them are as many as
// there can be.
func (p *TrustPolicy) lacks(signers map[string][]string) string {
	m := matching{signers: signers, of: map[string]string{}}
	for _, member := range p.AllOf {
		if !m.match(member, map[string]bool{}) {
			return fmt.Sprintf("%s has not signed, or only as another member did", member)
		}
	}
	found := 0
	for _, member := range p.AnyOf {
		if m.match(member, map[string]bool{}) {
			found++
		}
	}
	if found < p.Threshold {
		return fmt.Sprintf("%d of %d different signers of anyOf have signed", found, p.Threshold)
	}
	return ""
}

// matching gives each signer to at most one member.
type matching struct {
	signers map[string][]string // who signed: what covers them
	of      map[string]string   // signer: member
}

// match finds a signer for a member, moving others where that makes room.
func (m *matching) match(member string, tried map[string]bool) bool {
	for signer, ids := range m.signers {
		if tried[signer] || !slices.Contains(ids, member) {
			continue
		}
		tried[signer] = true
		if have, taken := m.of[signer]; !taken || m.match(have, tried) {
			m.of[signer] = member
			return true
		}
	}
	return false
}
