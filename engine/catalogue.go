package engine

import (
	"context"
	"errors"

	"github.com/writ-run/writ"
)

// notedCatalogue writes down what a compilation was told of the installed
// skills.
type notedCatalogue struct {
	writ.Catalogue
	resolutions []writ.Resolution
}

// Resolve implements writ.Catalogue.
func (c *notedCatalogue) Resolve(key writ.SkillKey, constraint string) (*writ.Release, error) {
	release, err := c.Catalogue.Resolve(key, constraint)
	noted := writ.Resolution{Key: key, Constraint: constraint}
	if err != nil {
		noted.Refusal = err.Error()
		var e *writ.Error
		if errors.As(err, &e) {
			noted.Refusal, noted.Fix = e.Message, e.Fix
		}
	} else {
		ref := release.SkillRef
		noted.Ref = &ref
	}
	c.resolutions = append(c.resolutions, noted)
	return release, err
}

// pinnedCatalogue gives a replay the answers that were noted.
type pinnedCatalogue struct {
	ctx         context.Context
	skills      writ.Skills
	tenant      writ.TenantID
	resolutions []writ.Resolution
}

// Resolve implements writ.Catalogue. CodeNotFound where the recorded
// compilation did not ask for the skill, or was refused it.
func (c *pinnedCatalogue) Resolve(key writ.SkillKey, constraint string) (*writ.Release, error) {
	for _, noted := range c.resolutions {
		if noted.Key != key || noted.Constraint != constraint {
			continue
		}
		if noted.Ref == nil {
			return nil, &writ.Error{Code: writ.CodeNotFound, Op: "skill " + string(key), Message: noted.Refusal, Fix: noted.Fix}
		}
		skill, err := c.skills.Load(c.ctx, writ.LoadRequest{Tenant: c.tenant, Ref: *noted.Ref, Replaying: true})
		if err != nil {
			return nil, err
		}
		return &skill.Release, nil
	}
	return nil, writ.Errorf(writ.CodeNotFound, "skill "+string(key), "the recorded compilation did not ask for it")
}
