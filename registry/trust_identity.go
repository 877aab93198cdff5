package registry

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/registry/keyless"
)

// TrustedIdentity is whom the operator lets count for one publisher without a key:
// what a certificate must say, under a trusted root.
type TrustedIdentity struct {
	keyless.Identity
	ID         string                  `json:"id"`
	Publisher  string                  `json:"publisher"`
	Purposes   []contract.TrustPurpose `json:"purposes"`
	Builders   []string                `json:"builders,omitempty"`   // empty: the workflow that the certificate names, else LocalBuilder
	BuildTypes []string                `json:"buildTypes,omitempty"` // empty: BuildType
	ValidFrom  writ.Time               `json:"validFrom"`
	ValidUntil writ.Time               `json:"validUntil"` // zero: until it is revoked
	Reason     string                  `json:"reason,omitempty"`
	AddedAt    writ.Time               `json:"addedAt"`
	AddedBy    writ.PrincipalID        `json:"addedBy"`

	matcher *keyless.Matcher // set where it is read from the store
}

// maxIdentities bounds what each certificate is compared with.
const maxIdentities = 1000

func (t *trust) readIdentity(doc *writ.Document) error {
	i := &TrustedIdentity{}
	if err := json.Unmarshal(doc.Value, i); err != nil {
		return err
	}
	var err error
	if i.matcher, err = i.Compile(); err != nil {
		return err
	}
	if i.ID != i.Identity.ID(i.Publisher) || doc.Key != trustIdentities+i.ID {
		return writ.Errorf(writ.CodeTampered, doc.Key, "the identity is not the one it is named after")
	}
	t.identities[i.ID] = i
	return nil
}

// identityDenied is the denial of whatever identity the certificate has: another
// one that matches it too does not let it back in.
func (t *trust) identityDenied(c *keyless.Claims) *Denial {
	for id, i := range t.identities {
		if d := t.withdrawn[denyIdentities+id]; d != nil && i.matcher.Matches(c) {
			return d
		}
	}
	return nil
}

// TrustIdentity lets certificates of an identity count for a publisher. ID is
// derived; Purposes empty is both; ValidFrom zero is now. CodeInvalid for a bad
// publisher, identity or window, CodeConflict where it is revoked.
func (r *Registry) TrustIdentity(ctx context.Context, by *writ.Principal, i TrustedIdentity) (*TrustedIdentity, error) {
	op := "trust " + clip(i.Publisher)
	if !publisherPattern.MatchString(i.Publisher) {
		return nil, writ.Errorf(writ.CodeInvalid, op, "not a publisher's name").WithFix("use lower-case letters, digits and dashes, such as acme")
	}
	if err := i.Check(); err != nil {
		return nil, err
	}
	var err error
	if i.Purposes, err = purposesOf(op, i.Purposes); err != nil {
		return nil, err
	}
	if err := checkScope(op, i.Builders, i.BuildTypes); err != nil {
		return nil, err
	}
	r.change.Lock()
	defer r.change.Unlock()
	t, err := r.trust(ctx, by.Tenant)
	if err != nil {
		return nil, err
	}
	i.ID = i.Identity.ID(i.Publisher)
	if t.withdrawn[denyIdentities+i.ID] != nil {
		return nil, writ.Errorf(writ.CodeConflict, op, "the identity %s is revoked", i.ID).WithFix("ask the publisher to sign as somebody else")
	}
	if err := t.mayTrust(op, i.Publisher); err != nil {
		return nil, err
	}
	i.AddedAt, i.AddedBy = r.opts.Clock.Now(), by.ID
	if i.ValidFrom == 0 {
		i.ValidFrom = i.AddedAt
	}
	have := t.identities[i.ID]
	if have == nil && len(t.identities) >= maxIdentities {
		return nil, writ.Errorf(writ.CodeConflict, op, "at most %d identities are trusted", maxIdentities)
	}
	if have != nil { // what was installed under it stays within its window
		i.ValidFrom = min(i.ValidFrom, have.ValidFrom)
	}
	if i.ValidUntil != 0 && i.ValidUntil < i.ValidFrom {
		return nil, writ.Errorf(writ.CodeInvalid, op, "validUntil lies before validFrom")
	}
	return &i, r.appendTrust(ctx, by, "trusted", i.Reason, map[string]any{trustIdentities + i.ID: &i})
}

// sortedIdentities are the trusted identities in the order of publisher and id.
func (t *trust) sortedIdentities() []*TrustedIdentity {
	out := make([]*TrustedIdentity, 0, len(t.identities))
	for _, i := range t.identities {
		out = append(out, i)
	}
	slices.SortFunc(out, func(a, b *TrustedIdentity) int {
		return strings.Compare(a.Publisher+"/"+a.ID, b.Publisher+"/"+b.ID)
	})
	return out
}
