package registry

import (
	"context"
	"slices"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// TrustAdd is the operation contract.TrustAdd. FirstParty names the key that the
// binary carries, so it comes without a key of its own.
func (r *Registry) TrustAdd(ctx context.Context, in *contract.TrustAddInput) (*contract.TrustAddOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	if in.Identity != nil {
		return r.addIdentity(ctx, by, in)
	}
	var key *TrustedKey
	switch {
	case !in.FirstParty:
		key, err = r.Trust(ctx, by, TrustedKey{
			Publisher: in.Publisher, PEM: in.PublicKeyPEM, Purposes: in.Purposes,
			ValidFrom: in.ValidFrom, ValidUntil: in.ValidUntil, Reason: in.Reason, Builders: in.Builders, BuildTypes: in.BuildTypes,
		})
	case in.PublicKeyPEM != "" || (in.Publisher != "" && in.Publisher != FirstPartyPublisher):
		return nil, writ.Errorf(writ.CodeInvalid, "trust "+clip(in.Publisher), "firstParty is the key of this binary for publisher %s", FirstPartyPublisher).
			WithFix("leave publicKeyPem out and name publisher %s, or leave firstParty out", FirstPartyPublisher)
	default:
		key, err = r.AddFirstParty(ctx, by)
	}
	if err != nil {
		return nil, err
	}
	return &contract.TrustAddOutput{
		Result:    contract.Result{Status: "trusted", ChangedAt: key.AddedAt},
		Publisher: key.Publisher, KeyID: string(key.KeyID),
	}, nil
}

// TrustRevoke is the operation contract.TrustRevoke.
func (r *Registry) TrustRevoke(ctx context.Context, in *contract.TrustRevokeInput) (*contract.TrustRevokeOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	t, err := r.trust(ctx, by.Tenant)
	if err != nil {
		return nil, err
	}
	var documents, withdrawn []string
	all := in.KeyID == "" && in.IdentityID == ""
	for id, key := range t.keys {
		if key.Publisher == in.Publisher && (all || string(id) == in.KeyID) {
			documents = append(documents, denyKeys+id.hex())
		}
	}
	for id, identity := range t.identities {
		if identity.Publisher == in.Publisher && (all || id == in.IdentityID) {
			withdrawn = append(withdrawn, denyIdentities+id)
		}
	}
	if len(documents)+len(withdrawn) == 0 {
		return nil, writ.Errorf(writ.CodeNotFound, "trust "+clip(in.Publisher), "has no such key or identity").WithFix("writ trust list shows publishers and ids")
	}
	if len(documents) > 0 {
		if err := r.deny(ctx, by, in.Reason, documents...); err != nil {
			return nil, err
		}
	}
	if len(withdrawn) > 0 {
		if err := r.withdraw(ctx, by, in.Reason, withdrawn...); err != nil {
			return nil, err
		}
	}
	return &contract.TrustRevokeOutput{Result: r.result("revoked")}, nil
}

// TrustList is the operation contract.TrustList.
func (r *Registry) TrustList(ctx context.Context, in *contract.TrustListInput) (*contract.TrustListOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	t, err := r.trust(ctx, by.Tenant)
	if err != nil {
		return nil, err
	}
	out := &contract.TrustListOutput{Result: r.result("ok"), Items: []contract.TrustedKey{}}
	for id, key := range t.keys {
		if in.Publisher != "" && key.Publisher != in.Publisher {
			continue
		}
		item := contract.TrustedKey{
			Publisher: key.Publisher, KeyID: string(id), FirstParty: key.FirstParty, Purposes: key.Purposes,
			ValidFrom: key.ValidFrom, ValidUntil: key.ValidUntil, Reason: key.Reason, Builders: key.Builders, BuildTypes: key.BuildTypes,
		}
		if d := t.keyDenied(id); d != nil {
			item.RevokedAt, item.Reason = d.At, d.Reason
		}
		out.Items = append(out.Items, item)
	}
	slices.SortFunc(out.Items, func(a, b contract.TrustedKey) int {
		return strings.Compare(a.Publisher+"/"+a.KeyID, b.Publisher+"/"+b.KeyID)
	})
	t.listKeyless(in.Publisher, out)
	out.Denied = t.listed(in.Publisher)
	return out, nil
}
