package registry

import (
	"context"
	"io"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

// Rehearsal is work that nobody has signed yet.
type Rehearsal struct {
	By      *writ.Principal
	Entropy io.Reader
	Drafts  []Draft
}

// Draft is a skill before it is a bundle.
type Draft struct {
	Manifest *abi.Manifest
	Module   []byte
}

// Rehearse installs unsigned work in a throwaway registry: packed, signed with a
// key that is forgotten at once, trusted for the drafts' publishers and verified
// like any other bundle. There is no unsigned way anywhere else. CodeConflict
// where the trust store is not empty: a real home never gets such a key.
func (r *Registry) Rehearse(ctx context.Context, work Rehearsal) ([]writ.SkillRef, error) {
	t, err := r.trust(ctx, work.By.Tenant)
	if err != nil {
		return nil, err
	}
	if !t.empty() {
		return nil, writ.Errorf(writ.CodeConflict, "skill rehearsal", "the trust store is not empty").
			WithFix("rehearse in a new, empty home; sign the skill to install it in this one")
	}
	keys := map[string]*Key{}
	refs := make([]writ.SkillRef, 0, len(work.Drafts))
	for _, draft := range work.Drafts {
		publisher := writ.SkillKey(draft.Manifest.Name).Publisher()
		if keys[publisher] == nil {
			if keys[publisher], err = r.throwaway(ctx, &work, publisher); err != nil {
				return nil, err
			}
		}
		ref, err := r.rehearse(ctx, work.By, &draft, keys[publisher])
		if err != nil {
			return nil, err
		}
		refs = append(refs, ref)
	}
	return refs, nil
}

func (r *Registry) throwaway(ctx context.Context, work *Rehearsal, publisher string) (*Key, error) {
	key, err := GenerateKey(KeyEd25519, work.Entropy)
	if err != nil {
		return nil, err
	}
	_, err = r.Trust(ctx, work.By, TrustedKey{
		Publisher: publisher, PEM: string(key.Public().PEM), Reason: "rehearsal of unsigned work",
		Purposes: []contract.TrustPurpose{contract.TrustSignature, contract.TrustProvenance},
	})
	return key, err
}

func (r *Registry) rehearse(ctx context.Context, by *writ.Principal, draft *Draft, key *Key) (writ.SkillRef, error) {
	bundle, err := Pack(draft.Manifest, draft.Module)
	if err != nil {
		return writ.SkillRef{}, err
	}
	if bundle, err = Sign(bundle, SignRequest{Key: key, Clock: r.opts.Clock}); err != nil {
		return writ.SkillRef{}, err
	}
	report, _, err := r.InstallBundle(ctx, by, bundle, nil)
	if err != nil {
		return writ.SkillRef{}, err
	}
	return report.Ref, nil
}
