package registry

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// maxIdentity bounds issuer and SAN of a denied identity.
const maxIdentity = 1024

// named is what a denial's members come to.
type named struct {
	key     string // of the document
	kind    contract.DenialKind
	subject string
}

// nameDenial finds the document of a subject, and the subject as it is listed.
// CodeInvalid where it names nothing, more than one thing, or what is no name.
func nameDenial(op string, s *contract.DenialSubject) (named, error) {
	wrong := func(fix, format string, args ...any) (named, error) {
		return named{}, writ.Errorf(writ.CodeInvalid, op, format, args...).WithFix("%s", fix)
	}
	var found []named
	if s.Publisher != "" {
		if !publisherPattern.MatchString(s.Publisher) {
			return wrong("use lower-case letters, digits and dashes, such as acme", "%q is not a publisher's name", clip(s.Publisher))
		}
		found = append(found, named{denyPublishers + s.Publisher, contract.DeniedPublisher, s.Publisher})
	}
	if s.KeyID != "" {
		id := KeyID(s.KeyID)
		if !id.Valid() {
			return wrong("writ trust list -o json shows the ids", "%q is not a key id", clip(s.KeyID))
		}
		found = append(found, named{denyKeys + id.hex(), contract.DeniedKey, string(keyIDOf(id.hex()))})
	}
	if s.Digest != "" {
		if !s.Digest.Valid() {
			return wrong("writ skill inspect FILE shows the digests of bundle and module", "%q is not a digest", clip(string(s.Digest)))
		}
		found = append(found, named{denyDigests + s.Digest.Hex(), contract.DeniedDigest, string(s.Digest)})
	}
	if s.Skill != "" {
		skill, err := contract.ParseSkillRange(s.Skill)
		if err != nil {
			return named{}, err
		}
		found = append(found, named{denySkills + subjectID(skill.String()), contract.DeniedSkill, skill.String()})
	}
	if s.Issuer != "" || s.SAN != "" {
		if !identityText(s.Issuer) || !identityText(s.SAN) || strings.ContainsAny(s.Issuer, " *") {
			return wrong("give both: --issuer https://token.example.com --san SUBJECT; a star may end the SAN", "an identity is an issuer with a SAN, of at most %d characters each", maxIdentity)
		}
		subject := s.Issuer + " " + s.SAN
		found = append(found, named{denyCertificates + subjectID(subject), contract.DeniedIdentity, subject})
	}
	if len(found) != 1 {
		return wrong("name a publisher, a key, an identity, a digest or a skill", "%d things are named, want one", len(found))
	}
	return found[0], nil
}

func identityText(s string) bool {
	return s != "" && len(s) <= maxIdentity && !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f })
}

// keyIDOf is the id of KeyID.hex.
func keyIDOf(text string) KeyID {
	sum, err := hex.DecodeString(text)
	if err != nil {
		return ""
	}
	return KeyID(base64.StdEncoding.EncodeToString(sum))
}

func reasonGiven(op, reason string) error {
	if strings.TrimSpace(reason) == "" || len(reason) > maxReason {
		return writ.Errorf(writ.CodeInvalid, op, "want a reason of 1 to %d bytes", maxReason).WithFix("say why, with --reason")
	}
	return nil
}

// askedToDeny is who asks for a denial, or for its end, and of what. CodeInvalid
// where the subject or the reason is no good.
func askedToDeny(ctx context.Context, op string, s *contract.DenialSubject, reason string) (*writ.Principal, named, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, named{}, err
	}
	n, err := nameDenial(op, s)
	if err != nil {
		return nil, named{}, err
	}
	return by, n, reasonGiven(op, reason)
}

// TrustDeny is the operation contract.TrustDeny.
func (r *Registry) TrustDeny(ctx context.Context, in *contract.TrustDenyInput) (*contract.TrustDenyOutput, error) {
	by, n, err := askedToDeny(ctx, "trust: deny", &in.DenialSubject, in.Reason)
	if err != nil {
		return nil, err
	}
	d := &Denial{Liftable: true}
	if n.kind == contract.DeniedIdentity || n.kind == contract.DeniedSkill {
		d.Subject = n.subject
	}
	if err := r.denyAs(ctx, by, in.Reason, map[string]*Denial{n.key: d}); err != nil {
		return nil, err
	}
	return &contract.TrustDenyOutput{Result: r.result("denied"), Kind: n.kind, Subject: n.subject}, nil
}

// TrustUndeny is the operation contract.TrustUndeny.
func (r *Registry) TrustUndeny(ctx context.Context, in *contract.TrustUndenyInput) (*contract.TrustUndenyOutput, error) {
	by, n, err := askedToDeny(ctx, "trust: undeny", &in.DenialSubject, in.Reason)
	if err != nil {
		return nil, err
	}
	r.change.Lock()
	defer r.change.Unlock()
	if err := r.liftable(ctx, by.Tenant, &n); err != nil {
		return nil, err
	}
	if err := r.appendTrust(ctx, by, "lifted", in.Reason, map[string]any{n.key: nil}); err != nil {
		return nil, err
	}
	return &contract.TrustUndenyOutput{Result: r.result("lifted"), Kind: n.kind, Subject: n.subject}, nil
}

// liftable is an error where there is no denial of the operator's own that may
// be taken back.
func (r *Registry) liftable(ctx context.Context, tenant writ.TenantID, n *named) error {
	op := "trust: undeny " + clip(n.subject)
	t, err := r.trust(ctx, tenant)
	if err != nil {
		return err
	}
	switch d := t.denied[n.key]; { // the operator's own, where there is one
	case d == nil:
		return writ.Errorf(writ.CodeNotFound, op, "is not denied here").WithFix("writ trust list shows what is")
	case d.feed != "":
		return writ.Errorf(writ.CodeConflict, op, "it %s", d.said()).
			WithFix("only the feed takes it back; writ trust feed remove %s no longer follows that feed at all", d.feed)
	case !d.Liftable:
		return writ.Errorf(writ.CodeConflict, op, "it %s, for good", d.said()).WithFix("trust a new key: writ trust add PUBLISHER --key KEY.pub")
	}
	return nil
}
