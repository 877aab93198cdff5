package registry

import (
	"context"
	"encoding/json"

	"github.com/writ-run/writ"
)

// Documents of installed skills. Floors have a prefix of their own: they survive
// an uninstall.
const (
	skillPrefix = "skill/"
	floorPrefix = "skill-floor/"
)

// installed is one installed version.
type installed struct {
	ID          string           `json:"id"`
	Key         writ.SkillKey    `json:"key"`
	Version     string           `json:"version"`
	Digest      writ.Digest      `json:"digest"`
	Module      writ.Digest      `json:"module"`
	Content     writ.Digest      `json:"content"` // of the layout with its signatures: names its directory
	Status      writ.SkillStatus `json:"status"`
	Pinned      bool             `json:"pinned,omitempty"` // disabled by a rollback: plans that pin it may finish
	Signer      KeyID            `json:"signer"`           // empty where a certificate signed
	Signers     []string         `json:"signers,omitempty"`
	Provenance  *Provenance      `json:"provenance,omitempty"`
	Origin      string           `json:"origin,omitempty"` // where in a registry it came from
	InstalledAt writ.Time        `json:"installedAt"`      // the moment at which its signature was judged
	InstalledBy writ.PrincipalID `json:"installedBy"`
	ChangedAt   writ.Time        `json:"changedAt"`
}

// inUse says whether steps may run it: a version that was rolled back stays for the
// plans that name it.
func (i *installed) inUse() bool { return i.Status == writ.SkillEnabled || i.Pinned }

func (i *installed) ref() writ.SkillRef {
	return writ.SkillRef{Key: i.Key, Version: i.Version, Digest: i.Digest, Module: i.Module}
}

// floor is what must not be undone by installing an older bundle.
type floor struct {
	Highest  string                 `json:"highest"`
	Versions map[string]writ.Digest `json:"versions"`
}

func documentKey(key writ.SkillKey, version string) string {
	return skillPrefix + string(key) + "/" + version
}

func unreadable(key string, err error) error {
	return &writ.Error{
		Code: writ.CodeTampered, Op: key, Message: "the document cannot be read", Err: err,
		Fix: "restore the store from a backup",
	}
}

// document is CodeNotFound where the version is not installed.
func (r *Registry) document(ctx context.Context, tenant writ.TenantID, key writ.SkillKey, version string) (*installed, error) {
	name := documentKey(key, version)
	raw, err := r.opts.Store.Get(ctx, tenant, name)
	if err != nil {
		if writ.IsCode(err, writ.CodeNotFound) {
			return nil, writ.Errorf(writ.CodeNotFound, "skill "+string(key)+"@"+clip(version), "is not installed").
				WithFix("writ skill list shows what is")
		}
		return nil, err
	}
	return decodeInstalled(name, raw)
}

func decodeInstalled(name string, raw []byte) (*installed, error) {
	doc := &installed{}
	if err := json.Unmarshal(raw, doc); err != nil {
		return nil, unreadable(name, err)
	}
	if documentKey(doc.Key, doc.Version) != name || !doc.Content.Valid() {
		return nil, unreadable(name, writ.Errorf(writ.CodeTampered, name, "the document is of %s", doc.ref()))
	}
	return doc, nil
}

// documents lists what is installed: all of the tenant where key is empty.
func (r *Registry) documents(ctx context.Context, tenant writ.TenantID, key writ.SkillKey) ([]*installed, error) {
	prefix := skillPrefix
	if key != "" {
		prefix += string(key) + "/"
	}
	list, err := r.opts.Store.List(ctx, writ.StoreQuery{Tenant: tenant, Prefix: prefix})
	if err != nil {
		return nil, err
	}
	out := make([]*installed, 0, len(list))
	for _, d := range list {
		doc, err := decodeInstalled(d.Key, d.Value)
		if err != nil {
			return nil, err
		}
		out = append(out, doc)
	}
	return out, nil
}

func (r *Registry) floor(ctx context.Context, tenant writ.TenantID, key writ.SkillKey) (*floor, error) {
	f := &floor{Versions: map[string]writ.Digest{}}
	raw, err := r.opts.Store.Get(ctx, tenant, floorPrefix+string(key))
	if writ.IsCode(err, writ.CodeNotFound) {
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, f); err != nil {
		return nil, unreadable(floorPrefix+string(key), err)
	}
	return f, nil
}
