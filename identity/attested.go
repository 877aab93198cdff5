package identity

import (
	"context"
	"crypto/ed25519"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/writ-run/writ"
)

// AttestDecision signs, with the host's key, that a channel's provider vouches for who
// said a word: by way of which channel, as which sender, in which delivery.
// CodeForbidden for anybody but a person whom a channel's provider vouches for,
// CodeUnavailable where the host has no key to sign with.
func (s *Service) AttestDecision(ctx context.Context, p *writ.Principal, word writ.Word, via *writ.Via) ([]byte, error) {
	switch {
	case s.opts.HostKey == nil:
		return nil, writ.Errorf(writ.CodeUnavailable, "approval", "the host has no key to attest it with")
	case p == nil || p.Strength != writ.StrengthChannel:
		return nil, notApproved("nobody said it in a channel")
	case p.Kind != writ.Human:
		return nil, writ.Errorf(writ.CodeForbidden, "approval", "only people decide, and %s is none", p.ID).WithFix("let a member decide who is a person here")
	case via == nil || via.Channel == "" || via.Sender == "" || via.Delivery == "":
		return nil, notApproved("nobody knows by which way it came")
	case word.For != "":
		return nil, notApproved("nobody decides for another in a channel")
	}
	return sealStatement(ctx, s.opts.HostKey, word, predicateChannel, predicate{Approver: p.ID, At: s.opts.Clock.Now(), Via: via})
}

// verifyAttested is VerifyApproval for who is known by a channel: the word is the
// host's own, and says by which way it came.
func (s *Service) verifyAttested(ctx context.Context, p *writ.Principal, word writ.Word, envelope []byte) (*writ.Via, error) {
	if s.opts.HostKey == nil {
		return nil, notApproved("the host has no key to attest it with")
	}
	public, _ := s.opts.HostKey.Public().(ed25519.PublicKey)
	payload, err := openEnvelope(ctx, envelope, []dsse.Verifier{edVerifier{public}})
	if err != nil {
		return nil, err
	}
	st, err := readStatement(payload, predicateChannel)
	if err != nil {
		return nil, err
	}
	via := st.Predicate.Via
	if via == nil || p.Source != "channel:"+string(via.Channel) {
		return nil, notApproved("it was said in another channel")
	}
	return via, st.says(p.ID, word)
}
