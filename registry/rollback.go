package registry

import (
	"context"
	"slices"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// Rollback is the operation contract.SkillRollback. The floors stay as they are:
// what may be installed does not change by going back.
func (r *Registry) Rollback(ctx context.Context, in *contract.SkillRollbackInput) (*contract.SkillRollbackOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	r.change.Lock()
	defer r.change.Unlock()
	docs, err := r.versions(ctx, by.Tenant, in.SkillKey, "")
	if err != nil {
		return nil, err
	}
	slices.SortFunc(docs, byKeyAndVersion)
	to, err := goBackTo(docs, in)
	if err != nil {
		return nil, err
	}
	// Verified with today's deny list: never to what is revoked or denied.
	if _, err := r.content(ctx, by.Tenant, docs[to], false); err != nil {
		return nil, err
	}
	reason := "rolled back"
	if in.Reason != "" {
		reason += ": " + in.Reason
	}
	out := &contract.SkillRollbackOutput{SkillKey: in.SkillKey, Version: docs[to].Version, Disabled: []string{}}
	var changes []*change
	if docs[to].Status != writ.SkillEnabled {
		changes = append(changes, r.restatus(by, docs[to], writ.SkillEnabled, reason))
	}
	for _, newer := range docs[to+1:] {
		if newer.Status == writ.SkillEnabled {
			one := r.restatus(by, newer, writ.SkillDisabled, reason)
			one.facts.Details = map[string]string{"rolledBackTo": docs[to].Version}
			newer.Pinned = !in.Stop
			changes = append(changes, one)
			out.Disabled = append(out.Disabled, newer.Version)
		}
	}
	out.Result = r.result("rolled back")
	return out, r.append(ctx, changes...)
}

// goBackTo is the index of the version to go back to.
func goBackTo(docs []*installed, in *contract.SkillRollbackInput) (int, error) {
	op := "skill " + string(in.SkillKey) + ": rollback"
	isEnabled := func(d *installed) bool { return d.Status == writ.SkillEnabled }
	newest := -1
	for i, d := range docs {
		if isEnabled(d) {
			newest = i
		}
	}
	if in.To != "" {
		to := slices.IndexFunc(docs, func(d *installed) bool { return d.Version == in.To })
		switch {
		case to < 0:
			return 0, writ.Errorf(writ.CodeNotFound, op, "%s is not installed", clip(in.To)).WithFix("writ skill list --all shows what is")
		case newest < 0 || to >= newest:
			return 0, writ.Errorf(writ.CodeConflict, op, "%s is not older than what is in use", clip(in.To)).
				WithFix("writ skill enable %s --version %s", in.SkillKey, clip(in.To))
		}
		return to, nil
	}
	for i := newest - 1; i >= 0; i-- {
		if isEnabled(docs[i]) {
			return i, nil
		}
	}
	return 0, writ.Errorf(writ.CodeConflict, op, "no older version is enabled").
		WithFix("name an installed one with --to; writ skill list --all shows them")
}
