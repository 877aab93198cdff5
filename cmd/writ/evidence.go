package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/registry"
)

// Evidence carries what a replay needs besides the records: the skills and the
// policies, each addressed by its digest. They are kept apart from what is
// installed and active: they can be replayed and never run.
const (
	attachedSkill  = "skill/"  // HEX.skill
	attachedPolicy = "policy/" // HEX/PATH
	evidenceDir    = "evidence"
	maxAttachment  = 64 << 20
)

// attach gives the bundles that an execution's records name.
func (h *home) attach(ctx context.Context, tenant writ.TenantID, skills []writ.SkillRef, policies []writ.Digest) (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, ref := range skills {
		skill, err := h.skills().Load(ctx, writ.LoadRequest{Tenant: tenant, Ref: ref, Replaying: true})
		if err != nil {
			return nil, err
		}
		bundle, err := registry.Pack(skill.Manifest, skill.Module)
		if err != nil {
			return nil, err
		}
		out[attachedSkill+ref.Digest.Hex()+".skill"] = bundle
	}
	named, err := h.policyFiles(policies)
	if err != nil {
		return nil, err
	}
	for _, digest := range named {
		root := filepath.Join(h.config.Home, "policy", digest.Hex())
		err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			name, err := filepath.Rel(root, file)
			if err != nil {
				return err
			}
			out[attachedPolicy+digest.Hex()+"/"+filepath.ToSlash(name)], err = os.ReadFile(file)
			return err
		})
		if err != nil {
			return nil, writ.Errorf(writ.CodeUnavailable, "policy "+string(digest), "cannot be read: %w", err)
		}
	}
	return out, nil
}

// policyFiles adds the bundles of layers to what verdicts name.
func (h *home) policyFiles(policies []writ.Digest) ([]writ.Digest, error) {
	var out []writ.Digest
	for _, digest := range policies {
		needs, err := h.policies.Needs(digest)
		if err != nil {
			return nil, err
		}
		out = append(out, needs...)
	}
	return out, nil
}

// keep stores what came with evidence.
func (h *home) keep(ctx context.Context, attachments map[string][]byte) error {
	policies := map[writ.Digest]map[string][]byte{}
	for name, data := range attachments {
		rest, ok := strings.CutPrefix(name, attachedPolicy)
		if !ok {
			if err := h.keepAttachment(name, data); err != nil {
				return err
			}
			continue
		}
		hex, file, _ := strings.Cut(rest, "/")
		digest := writ.Digest("sha256:" + hex)
		if policies[digest] == nil {
			policies[digest] = map[string][]byte{}
		}
		policies[digest][file] = data
	}
	for digest, files := range policies {
		if _, err := h.policies.ByDigest(ctx, digest); err == nil {
			continue
		}
		if err := h.policies.Adopt(digest, files); err != nil {
			return err
		}
	}
	return nil
}

func (h *home) keepAttachment(name string, data []byte) error {
	op := "attachment " + name
	if len(data) > maxAttachment || path.Clean(name) != name || !fs.ValidPath(name) {
		return writ.Errorf(writ.CodeInvalid, op, "is too large or has no clean name")
	}
	if rest, ok := strings.CutPrefix(name, attachedSkill); ok {
		about, err := registry.Inspect(data)
		if err != nil {
			return err
		}
		if rest != about.Ref.Digest.Hex()+".skill" {
			return writ.Errorf(writ.CodeTampered, op, "is another skill than its name says")
		}
		return h.keepFile(filepath.Join(evidenceDir, rest), data)
	}
	return nil
}

// keepFile writes inside the home, never through a link out of it.
func (h *home) keepFile(name string, data []byte) error {
	root, err := os.OpenRoot(h.config.Home)
	if err != nil {
		return writ.Errorf(writ.CodeUnavailable, "home", "%w", err)
	}
	defer func() { _ = root.Close() }()
	if err := root.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return writ.Errorf(writ.CodeUnavailable, name, "%w", err)
	}
	if err := root.WriteFile(name, data, 0o600); err != nil {
		return writ.Errorf(writ.CodeUnavailable, name, "%w", err)
	}
	return nil
}

// skills serves installed skills, and for a replay those that came with evidence.
func (h *home) skills() writ.Skills {
	return evidenceSkills{Skills: h.registry, dir: filepath.Join(h.config.Home, evidenceDir)}
}

type evidenceSkills struct {
	writ.Skills
	dir string
}

// Load implements writ.Skills. What is not installed can still be replayed from
// evidence: its digest, which the records name, says that it is the same.
func (s evidenceSkills) Load(ctx context.Context, req writ.LoadRequest) (*writ.Skill, error) {
	skill, err := s.Skills.Load(ctx, req)
	if err == nil || !req.Replaying || !writ.IsCode(err, writ.CodeNotFound) {
		return skill, err
	}
	raw, readErr := os.ReadFile(filepath.Join(s.dir, req.Ref.Digest.Hex()+".skill"))
	if errors.Is(readErr, fs.ErrNotExist) {
		return nil, writ.Errorf(writ.CodeUnreplayable, "skill "+req.Ref.String(), "it is not installed and came with no evidence").
			WithFix("install it, or export the execution again where it ran")
	}
	if readErr != nil {
		return nil, writ.Errorf(writ.CodeUnavailable, "skill "+req.Ref.String(), "%w", readErr)
	}
	about, err := registry.Inspect(raw)
	if err != nil || about.Ref != req.Ref {
		return nil, writ.Errorf(writ.CodeTampered, "skill "+req.Ref.String(), "the copy that came with evidence is not it")
	}
	return &writ.Skill{Release: writ.Release{SkillRef: about.Ref, Manifest: about.Manifest}, Module: about.Module}, nil
}
