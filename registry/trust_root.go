package registry

import (
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/registry/keyless"
)

// TrustedRoot is a Sigstore trusted root that the operator imported. Roots that
// were replaced stay: what was installed while one was trusted is judged by it.
type TrustedRoot struct {
	Name    string           `json:"name"`
	Digest  writ.Digest      `json:"digest"`
	Root    string           `json:"root"`             // trusted_root.json as it was given
	Source  string           `json:"source,omitempty"` // URL of the TUF repository; empty: a file
	Periods []Period         `json:"periods"`          // when it was the name's root, oldest first
	Reason  string           `json:"reason,omitempty"`
	AddedAt writ.Time        `json:"addedAt"`
	AddedBy writ.PrincipalID `json:"addedBy"`
}

// Period is a span of time; Until zero: it has not ended.
type Period struct {
	From  writ.Time `json:"from"`
	Until writ.Time `json:"until"`
}

// maxRoots bounds the names of roots: each certificate is tried under each of them.
const maxRoots = 8

// DefaultRoot is the name of a root that is given none.
const DefaultRoot = "sigstore"

var rootName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,62}$`)

type trustedRoot struct {
	TrustedRoot
	parsed *keyless.Root
}

func (r *trustedRoot) coveredAt(at writ.Time) bool {
	return slices.ContainsFunc(r.Periods, func(p Period) bool { return inWindow(at, p.From, p.Until) })
}

func (r *trustedRoot) current() bool {
	return len(r.Periods) > 0 && r.Periods[len(r.Periods)-1].Until == 0
}

func (t *trust) readRoot(doc *writ.Document) error {
	r := &trustedRoot{}
	if err := json.Unmarshal(doc.Value, &r.TrustedRoot); err != nil {
		return err
	}
	parsed, err := keyless.ParseRoot([]byte(r.Root))
	if err != nil {
		return err
	}
	if r.parsed = parsed; parsed.Digest != r.Digest || doc.Key != trustRoots+r.Digest.Hex() {
		return writ.Errorf(writ.CodeTampered, doc.Key, "the root is not the one it is named after")
	}
	t.roots = append(t.roots, r)
	return nil
}

func (t *trust) rootDenied(d writ.Digest) *Denial { return t.withdrawn[denyRoots+d.Hex()] }

// rootsAt are the roots that were trusted at a time, and those of them that are
// denied today.
func (t *trust) rootsAt(at writ.Time) (good, denied []*keyless.Root) {
	for _, r := range t.roots {
		switch {
		case !r.coveredAt(at):
		case t.rootDenied(r.Digest) != nil:
			denied = append(denied, r.parsed)
		default:
			good = append(good, r.parsed)
		}
	}
	return good, denied
}

// ImportRoot makes a trusted_root.json the root of a name, from now on and in
// place of the one before. Name empty is DefaultRoot. The same again changes
// nothing. CodeInvalid where it is not a root, CodeConflict where it is revoked.
func (r *Registry) ImportRoot(ctx context.Context, by *writ.Principal, in TrustedRoot) (*TrustedRoot, error) {
	if in.Name == "" {
		in.Name = DefaultRoot
	}
	op := "trusted root " + clip(in.Name)
	if !rootName.MatchString(in.Name) {
		return nil, writ.Errorf(writ.CodeInvalid, op, "not a name").WithFix("use lower-case letters, digits, dots and dashes, such as corp")
	}
	parsed, err := keyless.ParseRoot([]byte(in.Root))
	if err != nil {
		return nil, err
	}
	in.Digest = parsed.Digest
	r.change.Lock()
	defer r.change.Unlock()
	t, err := r.trust(ctx, by.Tenant)
	if err != nil {
		return nil, err
	}
	if d := t.rootDenied(in.Digest); d != nil {
		return nil, writ.Errorf(writ.CodeConflict, op, "the root %s was revoked at %s", in.Digest, d.At).WithFix("import a newer root")
	}
	now, values, names := r.opts.Clock.Now(), map[string]any{}, map[string]bool{}
	in.AddedAt, in.AddedBy = now, by.ID
	for _, have := range t.roots {
		switch {
		case have.Digest == in.Digest && have.Name != in.Name:
			return nil, writ.Errorf(writ.CodeConflict, op, "the root %s is there as %s", in.Digest, have.Name).WithFix("give it the name %s", have.Name)
		case have.Digest == in.Digest && have.current():
			return &have.TrustedRoot, nil
		case have.Digest == in.Digest:
			in.Periods = slices.Clone(have.Periods)
		case have.current() && have.Name == in.Name:
			values[trustRoots+have.Digest.Hex()] = have.until(now)
		case have.current() && t.rootDenied(have.Digest) == nil:
			names[have.Name] = true
		}
	}
	if len(names) >= maxRoots {
		return nil, writ.Errorf(writ.CodeConflict, op, "at most %d roots are trusted at a time", maxRoots).WithFix("revoke one: writ trust root revoke NAME")
	}
	in.Periods = append(in.Periods, Period{From: now})
	values[trustRoots+in.Digest.Hex()] = &in
	return &in, r.appendTrust(ctx, by, "trusted", in.Reason, values)
}

// until is the root with its last period ended.
func (r *trustedRoot) until(at writ.Time) *TrustedRoot {
	out := r.TrustedRoot
	out.Periods = slices.Clone(r.Periods)
	out.Periods[len(out.Periods)-1].Until = at
	return &out
}

// RevokeRoot takes out every root that a name has had, for good: what was
// installed under them is refused from the next load on. CodeNotFound where the
// name has none.
func (r *Registry) RevokeRoot(ctx context.Context, by *writ.Principal, name, reason string) error {
	t, err := r.trust(ctx, by.Tenant)
	if err != nil {
		return err
	}
	var documents []string
	for _, have := range t.roots {
		if have.Name == name {
			documents = append(documents, denyRoots+have.Digest.Hex())
		}
	}
	if len(documents) == 0 {
		return writ.Errorf(writ.CodeNotFound, "trusted root "+clip(name), "there is none").WithFix("writ trust list shows the names of roots")
	}
	return r.withdraw(ctx, by, reason, documents...)
}

// withdraw takes identities and roots out for good. One that is out stays as it is.
func (r *Registry) withdraw(ctx context.Context, by *writ.Principal, reason string, documents ...string) error {
	r.change.Lock()
	defer r.change.Unlock()
	t, err := r.trust(ctx, by.Tenant)
	if err != nil {
		return err
	}
	values := map[string]any{}
	for _, key := range documents {
		if t.withdrawn[key] == nil {
			values[key] = &Denial{Reason: reason, At: r.opts.Clock.Now(), By: by.ID}
		}
	}
	if len(values) == 0 {
		return nil
	}
	return r.appendTrust(ctx, by, "revoked", reason, values)
}

// sortedRoots are those that are trusted now or revoked, by name.
func (t *trust) sortedRoots() []*trustedRoot {
	var out []*trustedRoot
	for _, r := range t.roots {
		if r.current() {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b *trustedRoot) int { return strings.Compare(a.Name, b.Name) })
	return out
}
