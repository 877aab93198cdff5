package registry

import (
	"cmp"
	"context"
	"slices"

	"github.com/writ-run/writ"
)

// Releases are the tenant's enabled skills by key, of each the highest version that is
// enabled. Whole is false where a version cannot be used, which may pass.
func (r *Registry) Releases(ctx context.Context, tenant writ.TenantID) (releases []*writ.Release, whole bool, err error) {
	snapshot, err := r.Catalogue(ctx, tenant)
	if err != nil {
		return nil, false, err
	}
	whole = true
	for _, list := range snapshot.(*catalogue).skills {
		i := slices.IndexFunc(list, func(c candidate) bool { return c.status == writ.SkillEnabled })
		switch {
		case i < 0:
		case list[i].release == nil:
			whole = false // not an older one in its place: nobody asked for that
		default:
			releases = append(releases, list[i].release)
		}
	}
	slices.SortFunc(releases, func(a, b *writ.Release) int { return cmp.Compare(a.Key, b.Key) })
	return releases, whole, nil
}
