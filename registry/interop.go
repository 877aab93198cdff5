package registry

import (
	"encoding/json"

	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// Statements are the two in-toto statements that Sign would sign, as JSON and by
// predicate type, for signers that Writ does not know: a key in a hardware
// module, a CI's own attestation. What they sign comes back through Attach.
func Statements(file []byte, req SignRequest) (map[string][]byte, error) {
	if req.Clock == nil {
		return nil, writ.Errorf(writ.CodeInvalid, "skill bundle: statements", "a clock is needed")
	}
	if err := req.Provenance.check(); err != nil {
		return nil, err
	}
	about, err := Inspect(file)
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for predicateType, s := range about.statements(&req, req.Clock.Now()) {
		if out[predicateType], err = canon.MarshalJSON(s); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Attach adds a Sigstore bundle that another tool made. It replaces an earlier one
// of the same signer and kind; nobody's trust in it is judged. CodeInvalid where
// it is no Sigstore bundle v0.3 of an in-toto statement about this very file.
func Attach(file, sigstoreBundle []byte, clock writ.Clock) ([]byte, error) {
	const op = "skill bundle: attach"
	about, err := Inspect(file)
	if err != nil {
		return nil, err
	}
	limits := Limits{}.orDefaults()
	if int64(len(sigstoreBundle)) > limits.Document {
		return nil, writ.Errorf(writ.CodeTooLarge, op, "a Sigstore bundle has at most %d bytes", limits.Document)
	}
	bad := func(format string, args ...any) error {
		return writ.Errorf(writ.CodeInvalid, op, format, args...).
			WithFix("sign the statements that `writ skill inspect FILE --export DIR` writes: cosign attest-blob --statement ... --bundle ...")
	}
	var b bundle.Bundle
	if err := b.UnmarshalJSON(sigstoreBundle); err != nil {
		return nil, bad("not a Sigstore bundle: %s", clip(err.Error()))
	}
	envelope := b.GetDsseEnvelope()
	if b.GetMediaType() != mediaSigstore || envelope.GetPayloadType() != payloadType {
		return nil, bad("want a Sigstore bundle v0.3 with an in-toto statement, not %q", clip(b.GetMediaType()))
	}
	s := &intoto.Statement{}
	if !json.Valid(envelope.GetPayload()) || (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(envelope.GetPayload(), s) != nil {
		return nil, bad("the statement cannot be read")
	}
	if subjects := s.GetSubject(); len(subjects) != 1 || subjects[0].GetDigest()["sha256"] != about.Ref.Digest.Hex() {
		return nil, bad("the statement is not about %s", about.Ref.Digest)
	}
	l, issue := open(file, limits)
	if issue != nil {
		return nil, refusal(op, []writ.SkillIssue{*issue})
	}
	if id, identity := unverifiedSigner(sigstoreBundle); id != "" || identity != "" {
		l.drop(string(id)+identity, s.GetPredicateType())
	}
	if len(l.referrers) >= limits.Referrers {
		return nil, writ.Errorf(writ.CodeTooLarge, op, "at most %d documents may be attached", limits.Referrers)
	}
	if err := l.keep(sigstoreBundle, s.GetPredicateType(), clock.Now()); err != nil {
		return nil, err
	}
	return l.tar()
}
