package registry

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// Documents of the trust store.
const (
	trustPrefix = "trust/"
	trustKeys   = trustPrefix + "key/"  // + hexadecimal key id
	trustFeeds  = trustPrefix + "feed/" // + name

	trustIdentities = trustPrefix + "identity/"      // + id of the identity
	trustRoots      = trustPrefix + "root/"          // + hexadecimal digest
	trustPolicies   = trustPrefix + "policy/"        // + publisher
	denyIdentities  = trustPrefix + "deny-identity/" // + id of the identity
	denyRoots       = trustPrefix + "deny-root/"     // + hexadecimal digest
)

// FirstPartyPublisher signs the skills that come with Writ.
const FirstPartyPublisher = "writ"

// TrustedKey is a key that the operator lets count for one publisher.
type TrustedKey struct {
	Publisher  string                  `json:"publisher"`
	KeyID      KeyID                   `json:"keyId"`
	PEM        string                  `json:"pem"`
	Purposes   []contract.TrustPurpose `json:"purposes"`
	FirstParty bool                    `json:"firstParty,omitempty"`
	Builders   []string                `json:"builders,omitempty"`   // builder ids that its provenance may name; empty: LocalBuilder
	BuildTypes []string                `json:"buildTypes,omitempty"` // empty: BuildType
	ValidFrom  writ.Time               `json:"validFrom"`
	ValidUntil writ.Time               `json:"validUntil"` // zero: until it is revoked
	Reason     string                  `json:"reason,omitempty"`
	AddedAt    writ.Time               `json:"addedAt"`
	AddedBy    writ.PrincipalID        `json:"addedBy"`
}

// trust is a snapshot of one tenant's trust store. The zero trust refuses all.
type trust struct {
	keys       map[KeyID]*trusted
	feeds      []*followed        // by name
	withdrawn  map[string]*Denial // of identities and roots, by document key
	identities map[string]*TrustedIdentity
	roots      []*trustedRoot
	policies   map[string]*TrustPolicy // by publisher
	denials
}

func newTrust() *trust {
	return &trust{
		keys: map[KeyID]*trusted{}, denials: newDenials(), withdrawn: map[string]*Denial{},
		identities: map[string]*TrustedIdentity{}, policies: map[string]*TrustPolicy{},
	}
}

func (t *trust) empty() bool {
	return len(t.keys)+len(t.denied)+len(t.withdrawn)+len(t.identities)+len(t.roots)+len(t.policies)+len(t.feeds) == 0
}

type trusted struct {
	TrustedKey
	public *PublicKey
}

func (k *trusted) may(p contract.TrustPurpose) bool { return slices.Contains(k.Purposes, p) }

// covers reports whether at lies in the key's window. sigstore-go would compare
// with the machine's clock, or with nothing at all.
func (k *trusted) covers(at writ.Time) bool { return inWindow(at, k.ValidFrom, k.ValidUntil) }

// inWindow reports whether at lies in a window; until zero: it has no end.
func inWindow(at, from, until writ.Time) bool { return at >= from && (until == 0 || at <= until) }

// trust reads the tenant's store, or the snapshot that no change has voided.
func (r *Registry) trust(ctx context.Context, tenant writ.TenantID) (*trust, error) {
	if t := r.cache.trust(tenant); t != nil {
		return t, nil
	}
	mark := r.cache.mark()
	docs, err := r.opts.Store.List(ctx, writ.StoreQuery{Tenant: tenant, Prefix: trustPrefix})
	if err != nil {
		return nil, err
	}
	t := newTrust()
	for _, doc := range docs {
		if err := t.read(&doc); err != nil {
			return nil, &writ.Error{
				Code: writ.CodeTampered, Op: "trust store: " + doc.Key, Message: "the document cannot be read", Err: err,
				Fix: "restore the store from a backup, or start with an empty one",
			}
		}
	}
	for _, f := range t.feeds { // after what the operator says: its word stands first
		if err := t.follow(f); err != nil {
			return nil, unreadable(trustFeeds+f.Name, err)
		}
	}
	r.cache.keepTrust(tenant, t, mark)
	return t, nil
}

func (t *trust) read(doc *writ.Document) error {
	switch {
	case strings.HasPrefix(doc.Key, trustKeys):
		return t.readKey(doc)
	case strings.HasPrefix(doc.Key, trustIdentities):
		return t.readIdentity(doc)
	case strings.HasPrefix(doc.Key, trustRoots):
		return t.readRoot(doc)
	case strings.HasPrefix(doc.Key, trustPolicies):
		return t.readPolicy(doc)
	case strings.HasPrefix(doc.Key, denyIdentities), strings.HasPrefix(doc.Key, denyRoots):
		denial := &Denial{}
		t.withdrawn[doc.Key] = denial
		return json.Unmarshal(doc.Value, denial)
	case strings.HasPrefix(doc.Key, trustFeeds):
		f, err := decodeFollowed(doc)
		t.feeds = append(t.feeds, f)
		return err
	}
	return t.readDenial(doc)
}

func (t *trust) readKey(doc *writ.Document) error {
	k := &trusted{}
	if err := json.Unmarshal(doc.Value, &k.TrustedKey); err != nil {
		return err
	}
	public, err := ParsePublicKey([]byte(k.PEM))
	if err != nil {
		return err
	}
	// The id is derived again: a key can stand under no other name than its own.
	if k.public = public; public.ID != k.KeyID || doc.Key != trustKeys+public.ID.hex() {
		return writ.Errorf(writ.CodeTampered, doc.Key, "the key is not the one it is named after")
	}
	t.keys[public.ID] = k
	return nil
}

// mayTrust is CodeConflict for a publisher who is denied: nothing of it would load.
func (t *trust) mayTrust(op, publisher string) error {
	d := t.publisherDenied(publisher)
	if d == nil {
		return nil
	}
	return writ.Errorf(writ.CodeConflict, op, "the publisher %s", d.said()).WithFix("writ trust list shows what is denied and by whom")
}

// Trust lets a key count for a publisher. KeyID is derived; Purposes empty is
// both; ValidFrom zero is now. CodeInvalid for a bad publisher, key or window,
// CodeConflict where the key is revoked or is another publisher's.
func (r *Registry) Trust(ctx context.Context, by *writ.Principal, key TrustedKey) (*TrustedKey, error) {
	op := "trust " + clip(key.Publisher)
	public, err := ParsePublicKey([]byte(key.PEM))
	if err != nil {
		return nil, err
	}
	if !publisherPattern.MatchString(key.Publisher) {
		return nil, writ.Errorf(writ.CodeInvalid, op, "not a publisher's name").WithFix("use lower-case letters, digits and dashes, such as acme")
	}
	r.change.Lock()
	defer r.change.Unlock()
	t, err := r.trust(ctx, by.Tenant)
	if err != nil {
		return nil, err
	}
	if d := t.keyDenied(public.ID); d != nil {
		return nil, writ.Errorf(writ.CodeConflict, op, "the key %s %s", public.ID, d.said()).WithFix("ask the publisher for a new key")
	}
	if err := t.mayTrust(op, key.Publisher); err != nil {
		return nil, err
	}
	now := r.opts.Clock.Now()
	if key.ValidFrom == 0 {
		key.ValidFrom = now
	}
	if have := t.keys[public.ID]; have != nil {
		if have.Publisher != key.Publisher {
			return nil, writ.Errorf(writ.CodeConflict, op, "the key %s belongs to %s", public.ID, have.Publisher).
				WithFix("use a key of its own for each publisher")
		}
		// What was installed under the key stays within its window.
		key.ValidFrom = min(key.ValidFrom, have.ValidFrom)
	}
	if key.Purposes, err = purposesOf(op, key.Purposes); err != nil {
		return nil, err
	}
	if err := checkScope(op, key.Builders, key.BuildTypes); err != nil {
		return nil, err
	}
	if key.ValidUntil != 0 && key.ValidUntil < key.ValidFrom {
		return nil, writ.Errorf(writ.CodeInvalid, op, "validUntil lies before validFrom")
	}
	key.KeyID, key.PEM, key.AddedAt, key.AddedBy = public.ID, string(public.PEM), now, by.ID
	return &key, r.appendTrust(ctx, by, "trusted", key.Reason, map[string]any{trustKeys + public.ID.hex(): &key})
}

// purposesOf is both where none is named.
func purposesOf(op string, named []contract.TrustPurpose) ([]contract.TrustPurpose, error) {
	if len(named) == 0 {
		return []contract.TrustPurpose{contract.TrustSignature, contract.TrustProvenance}, nil
	}
	for _, p := range named {
		if p != contract.TrustSignature && p != contract.TrustProvenance {
			return nil, writ.Errorf(writ.CodeInvalid, op, "purpose %q: want signature or provenance", clip(string(p)))
		}
	}
	return named, nil
}

// maxScope bounds the builders and the build types of one key or identity.
const maxScope = 32

func checkScope(op string, lists ...[]string) error {
	for _, list := range lists {
		if len(list) > maxScope {
			return writ.Errorf(writ.CodeInvalid, op, "at most %d builders and build types may be named", maxScope)
		}
		for _, uri := range list {
			if uri == "" || len(uri) > 512 || uri == "@" {
				return writ.Errorf(writ.CodeInvalid, op, "%q is not the URI of a builder or of a build type", clip(uri)).
					WithFix("write it as the provenance does; a builder that ends in @ may have any ref behind it")
			}
		}
	}
	return nil
}

// AddFirstParty trusts the key that this binary carries for FirstPartyPublisher.
// Its fingerprint (KeyID.Fingerprint) is to be shown to the operator.
// CodeNotFound where the binary carries none.
func (r *Registry) AddFirstParty(ctx context.Context, by *writ.Principal) (*TrustedKey, error) {
	if len(r.opts.FirstParty) == 0 {
		return nil, writ.Errorf(writ.CodeNotFound, "trust "+FirstPartyPublisher, "this binary carries no first-party key").
			WithFix("use a release build, or trust a key of your own: writ trust add PUBLISHER --key KEY.pub")
	}
	return r.Trust(ctx, by, TrustedKey{Publisher: FirstPartyPublisher, PEM: string(r.opts.FirstParty), FirstParty: true})
}

func (r *Registry) appendTrust(ctx context.Context, by *writ.Principal, status, reason string, values map[string]any) error {
	c := &change{by: by, kind: writ.RecTrustChanged, values: values}
	c.facts = writ.SystemFacts{Subject: slices.Sorted(maps.Keys(values))[0], Status: status, Reason: reason}
	return r.append(ctx, c)
}
