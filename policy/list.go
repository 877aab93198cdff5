package policy

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// List is contract.PolicyList: the bundles that were active once, by layer, and
// the one of the binary. Of each layer the active one comes first, then the latest.
// Who made them active, and whose key signed them, is for those who look after the
// host.
func (s *Service) List(ctx context.Context, _ *contract.PolicyListInput) (*contract.PolicyListOutput, error) {
	who, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	documents, err := s.store.List(ctx, writ.StoreQuery{Tenant: s.tenant, Prefix: bundlePrefix})
	if err != nil {
		return nil, err
	}
	inForce := s.active.Load()
	active := func(layer writ.Layer, digest writ.Digest) bool {
		p := inForce.in(layer)
		return p != nil && p.ref.Digest == digest
	}
	items := []contract.PolicyBundle{}
	for _, document := range documents {
		a, err := decodeActivation(document.Value)
		if err != nil {
			return nil, err
		}
		layer := writ.LayerOrganisation
		if strings.HasSuffix(document.Key, "/"+string(writ.LayerTenant)) {
			layer = writ.LayerTenant
		}
		items = append(items, contract.PolicyBundle{
			Layer: layer, Digest: a.Digest, Version: a.Version, Active: active(layer, a.Digest), ActivatedAt: a.At, Signer: a.Signer, ActivatedBy: a.By,
		})
		if last := &items[len(items)-1]; who.Tenant != s.tenant {
			last.ActivatedBy = writ.HostPrincipal
			if last.Signer != builtinSigner {
				last.Signer = ""
			}
		}
	}
	own := s.builtin.Ref()
	if !slices.ContainsFunc(items, func(b contract.PolicyBundle) bool {
		return b.Digest == own.Digest && b.Layer == writ.LayerOrganisation
	}) {
		items = append(items, contract.PolicyBundle{
			Layer: writ.LayerOrganisation, Digest: own.Digest, Version: own.Version, Signer: builtinSigner,
			Active: active(writ.LayerOrganisation, own.Digest),
		})
	}
	slices.SortFunc(items, func(a, b contract.PolicyBundle) int {
		return cmp.Or(
			cmp.Compare(slices.Index(bundleLayers, a.Layer), slices.Index(bundleLayers, b.Layer)),
			cmp.Compare(rank(b.Active), rank(a.Active)), cmp.Compare(b.ActivatedAt, a.ActivatedAt), cmp.Compare(a.Digest, b.Digest),
		)
	})
	return &contract.PolicyListOutput{
		Result: contract.Result{Status: "ok", ChangedAt: s.clock.Now()}, InForce: inForce.ref.Digest, Version: inForce.ref.Version, Items: items,
	}, nil
}

func rank(is bool) int {
	if is {
		return 1
	}
	return 0
}
