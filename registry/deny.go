package registry

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

// Documents of the deny lists. What does not fit into a key stands under its
// digest, and the document says what it is.
const (
	denyKeys         = trustPrefix + "deny-key/"         // + hexadecimal key id
	denyDigests      = trustPrefix + "deny-digest/"      // + hexadecimal digest
	denyPublishers   = trustPrefix + "deny-publisher/"   // + name
	denyCertificates = trustPrefix + "deny-certificate/" // + digest of issuer and SAN
	denySkills       = trustPrefix + "deny-skill/"       // + digest of the subject
)

// maxReason bounds what people give as a reason.
const maxReason = 1024

// Denial takes something out, whoever signed it: it is not installed, not loaded
// and begins no further tool call.
type Denial struct {
	Subject string           `json:"subject,omitempty"` // of an identity or a skill; of the others the document's key says it
	Reason  string           `json:"reason,omitempty"`
	At      writ.Time        `json:"at"`
	By      writ.PrincipalID `json:"by,omitempty"`
	// Liftable denials can be taken back; the zero value is for good.
	Liftable bool `json:"liftable,omitempty"`

	feed string // whose word it is; empty: the operator's
}

// said is who did it, when and why, for the end of a sentence.
func (d *Denial) said() string {
	word, who := "was revoked", string(d.By)
	if d.Liftable {
		word = "was denied"
	}
	if d.feed != "" {
		who = "the feed " + d.feed
	}
	text := fmt.Sprintf("%s by %s at %s", word, clip(who), d.At)
	if d.Reason != "" {
		text += ": " + clip(d.Reason)
	}
	return text
}

// denials are all that is taken out, by the operator and by feeds.
type denials struct {
	denied  map[string]*Denial // by document key; the operator's word before a feed's
	ranges  map[writ.SkillKey][]deniedRange
	endings []*Denial // identities of any ending
	minimum map[writ.SkillKey]*minimum
	listing []contract.TrustDenial
}

type deniedRange struct {
	contract.SkillRange
	*Denial
}

// minimum is the least version of a skill that a feed lets in.
type minimum struct {
	version *semver.Version
	*Denial
}

func newDenials() denials {
	return denials{denied: map[string]*Denial{}, ranges: map[writ.SkillKey][]deniedRange{}, minimum: map[writ.SkillKey]*minimum{}}
}

func (l *denials) keyDenied(id KeyID) *Denial         { return l.denied[denyKeys+id.hex()] }
func (l *denials) digestDenied(d writ.Digest) *Denial { return l.denied[denyDigests+d.Hex()] }
func (l *denials) publisherDenied(name string) *Denial {
	return l.denied[denyPublishers+name]
}

// certificateDenied finds the denial of a keyless identity: exact, but that a denied
// SAN which ends in a star stands for every ending.
func (l *denials) certificateDenied(issuer, san string) *Denial {
	if d := l.denied[denyCertificates+subjectID(issuer+" "+san)]; d != nil {
		return d
	}
	for _, d := range l.endings {
		if start, _ := strings.CutSuffix(d.Subject, "*"); strings.HasPrefix(issuer+" "+san, start) {
			return d
		}
	}
	return nil
}

// versionDenied finds the denial of a version.
func (l *denials) versionDenied(key writ.SkillKey, version string) *Denial {
	for _, r := range l.ranges[key] {
		if r.Has(key, version) {
			return r.Denial
		}
	}
	return nil
}

func subjectID(subject string) string {
	return canon.SHA256([]byte(subject)).Hex()
}

// put adds a denial under its document's key.
func (l *denials) put(key string, d *Denial) error {
	dir, name := key[:strings.LastIndexByte(key, '/')+1], key[strings.LastIndexByte(key, '/')+1:]
	subject := name
	kind := denialKinds[dir]
	switch kind {
	case contract.DeniedKey:
		subject = string(keyIDOf(name))
	case contract.DeniedDigest:
		subject = "sha256:" + name
	case contract.DeniedIdentity, contract.DeniedSkill:
		if subject = d.Subject; subjectID(subject) != name {
			return writ.Errorf(writ.CodeTampered, key, "the document is not of what it is named after")
		}
	case "":
		return writ.Errorf(writ.CodeTampered, key, "there is no such list")
	}
	if subject == "" {
		return writ.Errorf(writ.CodeTampered, key, "the document is named after nothing")
	}
	switch kind {
	case contract.DeniedSkill:
		skill, err := contract.ParseSkillRange(subject)
		if err != nil {
			return err
		}
		l.ranges[skill.Key] = append(l.ranges[skill.Key], deniedRange{skill, d})
	case contract.DeniedIdentity:
		if strings.HasSuffix(subject, "*") {
			l.endings = append(l.endings, d)
		}
	}
	if l.denied[key] == nil {
		l.denied[key] = d
	}
	item := contract.TrustDenial{Kind: kind, Subject: subject, Reason: d.Reason, At: d.At, By: d.By, Feed: d.feed}
	item.Final = !d.Liftable && d.feed == ""
	l.listing = append(l.listing, item)
	return nil
}

var denialKinds = map[string]contract.DenialKind{
	denyKeys: contract.DeniedKey, denyDigests: contract.DeniedDigest, denyPublishers: contract.DeniedPublisher,
	denyCertificates: contract.DeniedIdentity, denySkills: contract.DeniedSkill,
}

func (l *denials) readDenial(doc *writ.Document) error {
	d := &Denial{}
	if err := json.Unmarshal(doc.Value, d); err != nil {
		return err
	}
	return l.put(doc.Key, d)
}

// listed is the lists by kind and subject: all, or what names the publisher.
func (l *denials) listed(publisher string) []contract.TrustDenial {
	out := slices.Clone(l.listing)
	if publisher != "" {
		out = slices.DeleteFunc(out, func(d contract.TrustDenial) bool {
			return d.Subject != publisher && !strings.HasPrefix(d.Subject, publisher+"/")
		})
	}
	slices.SortFunc(out, func(a, b contract.TrustDenial) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Feed, b.Feed))
	})
	return out
}

// RevokeKey takes a key out for good, known or not. What it signed is refused
// from the next load on.
func (r *Registry) RevokeKey(ctx context.Context, by *writ.Principal, id KeyID, reason string) error {
	n, err := nameDenial("trust: deny", &contract.DenialSubject{KeyID: string(id)})
	if err != nil {
		return err
	}
	return r.deny(ctx, by, reason, n.key)
}

// DenyDigest takes a bundle (the digest of its OCI manifest) or a module out for
// good, whoever signed it.
func (r *Registry) DenyDigest(ctx context.Context, by *writ.Principal, d writ.Digest, reason string) error {
	n, err := nameDenial("trust: deny", &contract.DenialSubject{Digest: d})
	if err != nil {
		return err
	}
	return r.deny(ctx, by, reason, n.key)
}

// deny takes what has these documents out for good.
func (r *Registry) deny(ctx context.Context, by *writ.Principal, reason string, documents ...string) error {
	values := map[string]*Denial{}
	for _, key := range documents {
		values[key] = &Denial{}
	}
	return r.denyAs(ctx, by, reason, values)
}

// denyAs records denials by document key. One that is for good stays as it is.
func (r *Registry) denyAs(ctx context.Context, by *writ.Principal, reason string, documents map[string]*Denial) error {
	r.change.Lock()
	defer r.change.Unlock()
	t, err := r.trust(ctx, by.Tenant)
	if err != nil {
		return err
	}
	values := map[string]any{}
	for key, d := range documents {
		if have := t.denied[key]; have != nil && have.feed == "" && (!have.Liftable || d.Liftable) {
			continue
		}
		d.Reason, d.At, d.By = reason, r.opts.Clock.Now(), by.ID
		values[key] = d
	}
	if len(values) == 0 {
		return nil
	}
	return r.appendTrust(ctx, by, "revoked", reason, values)
}
