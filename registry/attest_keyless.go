package registry

import (
	"errors"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/registry/keyless"
)

const (
	// maxWitnesses bounds the timestamps and the log entries of one signature, which
	// are judged one by one under each root. Signers of the field attach one of each.
	maxWitnesses = 8
	// clockSkew is how far the clock of who stamped a signature may be ahead of ours.
	clockSkew = 5 * time.Minute
	// longestName keeps the names of workflows whole in messages.
	longestName = 240
)

// attestKeyless verifies a bundle that a certificate signed: under the roots that
// were trusted at the court's time, for the identities that were, and with
// today's deny list.
func (c *court) attestKeyless(b *bundle.Bundle) ([]*attestation, *writ.SkillIssue) {
	material := b.GetVerificationMaterial()
	if n := max(len(material.GetTlogEntries()), len(material.GetTimestampVerificationData().GetRfc3161Timestamps())); n > maxWitnesses {
		return nil, badSignature("it has %d timestamps or log entries: at most %d are read", n, maxWitnesses)
	}
	roots, denied := c.trust.rootsAt(c.at)
	if c.replay {
		roots, denied = append(roots, denied...), nil
	}
	claims, statement, err := keyless.Verify(b, c.image.Bytes(), roots)
	if err != nil {
		return nil, c.certificateRefused(b, denied, err)
	}
	if claims.SignedAt > c.at.Add(clockSkew) {
		return nil, badSignature("%s signed at %s, it is %s", writ.Clip(claims.Signer(), longestName), claims.SignedAt, c.at)
	}
	if d := c.trust.identityDenied(claims); d != nil && !c.replay {
		return nil, fixed(finding(writ.IssueKeyRevoked, "the identity %s %s", writ.Clip(claims.Signer(), longestName), d.said()),
			"ask the publisher for a bundle that somebody else signed")
	}
	if d := c.trust.certificateDenied(claims.Issuer, claims.SAN); d != nil && !c.replay {
		return nil, fixed(finding(writ.IssueIdentityRevoked, "the identity %s %s", writ.Clip(claims.Signer(), longestName), d.said()),
			"ask the publisher for a bundle that somebody else signed")
	}
	var out []*attestation
	var early *TrustedIdentity // or late
	for _, i := range c.trust.sortedIdentities() {
		if !i.matcher.Matches(claims) {
			continue
		}
		if !inWindow(c.at, i.ValidFrom, i.ValidUntil) {
			early = i
			continue
		}
		a, issue := c.statement(i.voucher(claims), statement)
		if issue != nil {
			return nil, issue
		}
		out = append(out, a)
	}
	if len(out) == 0 && early != nil {
		return nil, fixed(finding(writ.IssueKeyUntrusted, "the identity %s of %s is trusted from %s to %s alone, it is %s",
			writ.Clip(claims.Signer(), longestName), early.Publisher, early.ValidFrom, early.ValidUntil, c.at), "ask the publisher who signs now")
	}
	if len(out) == 0 {
		return nil, fixed(finding(writ.IssueKeyUntrusted, "the identity %s%s is not in the trust store", writ.Clip(claims.Signer(), longestName), sourceText(claims)),
			"if the publisher signs as that: writ trust add PUBLISHER --identity SAN --issuer URL --source-repository URL")
	}
	return out, nil
}

func sourceText(c *keyless.Claims) string {
	if c.SourceRepository == "" {
		return ""
	}
	return " for " + writ.Clip(c.SourceRepository+"@"+c.SourceRef, longestName)
}

// certificateRefused says why nothing vouches for a certificate: a root that was
// revoked is another matter than one that was never there.
func (c *court) certificateRefused(b *bundle.Bundle, denied []*keyless.Root, cause error) *writ.SkillIssue {
	if claims, _, err := keyless.Verify(b, c.image.Bytes(), denied); err == nil {
		d := c.trust.rootDenied(claims.Root)
		return fixed(finding(writ.IssueKeyRevoked, "the trusted root %s %s", claims.Root, d.said()),
			"ask the publisher for a bundle that is signed under another root")
	}
	if errors.Is(cause, keyless.ErrNoRoot) {
		return fixed(finding(writ.IssueKeyUntrusted, "the bundle is signed with a certificate, and no Sigstore root is trusted"),
			"import the root of the Sigstore that the publisher uses: writ trust root import FILE")
	}
	return badSignature("certificate: %s", writ.Clip(cause.Error(), longestName))
}
