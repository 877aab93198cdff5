package registry

import (
	"context"
	"path/filepath"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/registry/keyless"
)

// addIdentity is TrustAdd of what certificates must say.
func (r *Registry) addIdentity(ctx context.Context, by *writ.Principal, in *contract.TrustAddInput) (*contract.TrustAddOutput, error) {
	if in.PublicKeyPEM != "" || in.FirstParty {
		return nil, writ.Errorf(writ.CodeInvalid, "trust "+clip(in.Publisher), "a key and an identity are two things to trust").
			WithFix("add them one after the other, and say with writ trust policy whether both must sign")
	}
	i, err := r.TrustIdentity(ctx, by, TrustedIdentity{
		Publisher: in.Publisher, Identity: keyless.Identity(*in.Identity), Purposes: in.Purposes, Builders: in.Builders,
		BuildTypes: in.BuildTypes, ValidFrom: in.ValidFrom, ValidUntil: in.ValidUntil, Reason: in.Reason,
	})
	if err != nil {
		return nil, err
	}
	return &contract.TrustAddOutput{
		Result:    contract.Result{Status: "trusted", ChangedAt: i.AddedAt},
		Publisher: i.Publisher, IdentityID: i.ID,
	}, nil
}

// TrustPolicySet is the operation contract.TrustPolicySet.
func (r *Registry) TrustPolicySet(ctx context.Context, in *contract.TrustPolicySetInput) (*contract.TrustPolicySetOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	if in.Remove {
		if len(in.AllOf)+len(in.AnyOf)+in.Threshold > 0 {
			return nil, writ.Errorf(writ.CodeInvalid, "trust policy of "+clip(in.Publisher), "a policy is set or removed, not both")
		}
		if err := r.RemovePolicy(ctx, by, in.Publisher, in.Reason); err != nil {
			return nil, err
		}
		return &contract.TrustPolicySetOutput{Result: r.result("removed")}, nil
	}
	p, err := r.SetPolicy(ctx, by, TrustPolicy{
		Publisher: in.Publisher, AllOf: in.AllOf, AnyOf: in.AnyOf, Threshold: in.Threshold, Reason: in.Reason,
	})
	if err != nil {
		return nil, err
	}
	return &contract.TrustPolicySetOutput{
		Result: contract.Result{Status: "policy", ChangedAt: p.SetAt}, Policy: p.contract(),
	}, nil
}

func (p *TrustPolicy) contract() *contract.TrustPolicy {
	return &contract.TrustPolicy{
		Publisher: p.Publisher, AllOf: p.AllOf, AnyOf: p.AnyOf, Threshold: p.Threshold, Reason: p.Reason, SetAt: p.SetAt,
	}
}

// TrustRootImport is the operation contract.TrustRootImport.
func (r *Registry) TrustRootImport(ctx context.Context, in *contract.TrustRootImportInput) (*contract.TrustRootOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	return r.rootOutput(r.ImportRoot(ctx, by, TrustedRoot{Name: in.Name, Root: in.Root, Reason: in.Reason}))
}

// TrustRootUpdate is the operation contract.TrustRootUpdate.
func (r *Registry) TrustRootUpdate(ctx context.Context, in *contract.TrustRootUpdateInput) (*contract.TrustRootOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	name := in.Name
	if name == "" {
		name = DefaultRoot
	}
	if !rootName.MatchString(name) || !tenantPattern.MatchString(string(by.Tenant)) {
		return nil, writ.Errorf(writ.CodeInvalid, "trusted root "+clip(name), "not a name").WithFix("use lower-case letters, digits, dots and dashes, such as corp")
	}
	r.fetching.Lock() // the metadata's directory belongs to one fetch at a time
	defer r.fetching.Unlock()
	raw, err := keyless.Fetch(ctx, keyless.Repository{
		URL: in.URL, Root: []byte(in.TUFRoot), Target: in.Target, Dir: filepath.Join(r.opts.Metadata, string(by.Tenant), name),
	})
	if err != nil {
		return nil, err
	}
	return r.rootOutput(r.ImportRoot(ctx, by, TrustedRoot{Name: name, Root: string(raw), Source: in.URL, Reason: in.Reason}))
}

func (r *Registry) rootOutput(in *TrustedRoot, err error) (*contract.TrustRootOutput, error) {
	if err != nil {
		return nil, err
	}
	parsed, err := keyless.ParseRoot([]byte(in.Root))
	if err != nil {
		return nil, err
	}
	return &contract.TrustRootOutput{
		Result: contract.Result{Status: "trusted", ChangedAt: in.AddedAt}, Root: (&trustedRoot{*in, parsed}).contract(),
	}, nil
}

func (r *trustedRoot) contract() contract.TrustedRoot {
	return contract.TrustedRoot{
		Name: r.Name, Digest: r.Digest, Source: r.Source, Authorities: r.parsed.Authorities,
		TimestampAuthorities: r.parsed.TimestampAuthorities, Logs: r.parsed.Logs, CertificateLogs: r.parsed.CertificateLogs,
		AddedAt: r.AddedAt, Reason: r.Reason,
	}
}

// TrustRootRevoke is the operation contract.TrustRootRevoke.
func (r *Registry) TrustRootRevoke(ctx context.Context, in *contract.TrustRootRevokeInput) (*contract.TrustRootRevokeOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.RevokeRoot(ctx, by, in.Name, in.Reason); err != nil {
		return nil, err
	}
	return &contract.TrustRootRevokeOutput{Result: r.result("revoked")}, nil
}

// listKeyless adds what of the trust store is not a key.
func (t *trust) listKeyless(publisher string, out *contract.TrustListOutput) {
	for _, i := range t.sortedIdentities() {
		if publisher != "" && i.Publisher != publisher {
			continue
		}
		item := contract.TrustedIdentity{
			Publisher: i.Publisher, IdentityID: i.ID, Identity: contract.Identity(i.Identity), Purposes: i.Purposes,
			Builders: i.Builders, BuildTypes: i.BuildTypes, ValidFrom: i.ValidFrom, ValidUntil: i.ValidUntil, Reason: i.Reason,
		}
		if d := t.withdrawn[denyIdentities+i.ID]; d != nil {
			item.RevokedAt, item.Reason = d.At, d.Reason
		}
		out.Identities = append(out.Identities, item)
	}
	for _, p := range t.sortedPolicies() {
		if publisher == "" || p.Publisher == publisher {
			out.Policies = append(out.Policies, *p.contract())
		}
	}
	if publisher != "" { // roots are nobody's
		return
	}
	for _, r := range t.sortedRoots() {
		item := r.contract()
		if d := t.rootDenied(r.Digest); d != nil {
			item.RevokedAt, item.Reason = d.At, d.Reason
		}
		out.Roots = append(out.Roots, item)
	}
}
