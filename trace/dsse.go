package trace

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"errors"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// payloadType is the one that in-toto registers for statements.
const payloadType = "application/vnd.in-toto+json"

// envelopeKey is an Ed25519 key in the terms of DSSE.
type envelopeKey struct {
	private crypto.Signer
	public  ed25519.PublicKey
}

var errSignature = errors.New("the signature is not of this key")

// Sign implements dsse.Signer.
func (k envelopeKey) Sign(_ context.Context, data []byte) ([]byte, error) {
	return k.private.Sign(nil, data, crypto.Hash(0))
}

// Verify implements dsse.Verifier.
func (k envelopeKey) Verify(_ context.Context, data, signature []byte) error {
	if !ed25519.Verify(k.public, data, signature) {
		return errSignature
	}
	return nil
}

// KeyID implements dsse.Verifier.
func (k envelopeKey) KeyID() (string, error) { return dsse.SHA256KeyID(k.public) }

// Public implements dsse.Verifier.
func (k envelopeKey) Public() crypto.PublicKey { return k.public }

// seal signs a statement and returns the envelope in canonical JSON.
func (s *hostSigner) seal(ctx context.Context, statement []byte) ([]byte, error) {
	signer, err := dsse.NewEnvelopeSigner(envelopeKey{s.key, s.public})
	if err != nil {
		return nil, err
	}
	envelope, err := signer.SignPayload(ctx, payloadType, statement)
	if err != nil {
		return nil, err
	}
	return marshalEnvelope(envelope)
}

// marshalEnvelope is the RFC 8785 form: the members are in order, and base64
// holds nothing to escape. The general way takes 50 ms a MiB.
func marshalEnvelope(e *dsse.Envelope) ([]byte, error) {
	return json.Marshal(struct {
		Payload     string           `json:"payload"`
		PayloadType string           `json:"payloadType"`
		Signatures  []dsse.Signature `json:"signatures"`
	}{e.Payload, e.PayloadType, e.Signatures})
}

// unseal verifies an envelope under one of the keys and returns the statement
// and the key. It accepts exactly the bytes that seal writes: an envelope can
// otherwise be altered where nothing is signed.
func unseal(raw []byte, keys []ed25519.PublicKey) ([]byte, ed25519.PublicKey, error) {
	var envelope dsse.Envelope
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&envelope); err != nil {
		return nil, nil, err
	}
	if envelope.PayloadType != payloadType || len(envelope.Signatures) != 1 {
		return nil, nil, errors.New("want one signature over an in-toto statement")
	}
	for _, key := range keys {
		verifier, err := dsse.NewEnvelopeVerifier(envelopeKey{public: key})
		if err != nil {
			return nil, nil, err
		}
		_, statement, err := verifier.VerifyAndDecode(context.Background(), &envelope)
		if err != nil {
			continue
		}
		return statement, key, exactly(raw, statement, &envelope)
	}
	return nil, nil, errors.New("no trusted key has signed it")
}

func exactly(raw, statement []byte, envelope *dsse.Envelope) error {
	again := *envelope
	again.Payload = string(base64Of(statement))
	signature, err := base64Decode(envelope.Signatures[0].Sig)
	if err != nil {
		return err
	}
	again.Signatures = []dsse.Signature{{KeyID: envelope.Signatures[0].KeyID, Sig: string(base64Of(signature))}}
	canonical, err := marshalEnvelope(&again)
	if err != nil {
		return err
	}
	if !bytes.Equal(canonical, raw) {
		return errors.New("the envelope is not in canonical form")
	}
	return nil
}
