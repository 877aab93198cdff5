package identity

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// An approval is signed as a DSSE envelope over an in-toto Statement v1.
const (
	statementType     = "https://in-toto.io/Statement/v1"
	payloadType       = "application/vnd.in-toto+json"
	predicateApproval = "https://writ.dev/attestations/approval/v1"
	predicateChannel  = "https://writ.dev/attestations/channel-decision/v1"
	subjectApproval   = "approval"
	maxEnvelope       = 64 << 10 // a real one has about 900 bytes
)

type statement struct {
	Type          string    `json:"_type"`
	Subject       []subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
	Predicate     predicate `json:"predicate"`
}

type subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

type predicate struct {
	Approver writ.PrincipalID `json:"approver"`
	For      writ.PrincipalID `json:"for,omitempty"` // the absent person in whose place the approver decides
	Decision string           `json:"decision"`      // approved, rejected
	At       writ.Time        `json:"at"`
	Via      *writ.Via        `json:"via,omitempty"` // of the host's word alone
}

const (
	decisionApproved = "approved"
	decisionRejected = "rejected"
)

// decisionOf names what a word says.
func decisionOf(word writ.Word) string {
	if word.Rejected {
		return decisionRejected
	}
	return decisionApproved
}

// approverKey is the stored public key of a person.
type approverKey struct {
	Principal writ.PrincipalID `json:"principal"`
	KeyID     string           `json:"keyId"`
	PEM       string           `json:"pem"`
	RevokedAt writ.Time        `json:"revokedAt,omitempty"`
}

// ApproverKey signs approvals. It is kept out of %v.
type ApproverKey struct{ private ed25519.PrivateKey }

// String hides the key from fmt.
func (k *ApproverKey) String() string { return "approver key " + keyID(k.public()) }

// GoString hides the key from fmt.
func (k *ApproverKey) GoString() string { return k.String() }

func (k *ApproverKey) public() ed25519.PublicKey { return k.private.Public().(ed25519.PublicKey) }

// GenerateApproverKey makes an Ed25519 key.
func GenerateApproverKey(entropy io.Reader) (*ApproverKey, error) {
	_, private, err := ed25519.GenerateKey(entropy)
	if err != nil {
		return nil, writ.Errorf(writ.CodeInternal, "approver key", "no randomness: %w", err)
	}
	return &ApproverKey{private: private}, nil
}

// PublicPEM is the PKIX form that is registered.
func (k *ApproverKey) PublicPEM() ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(k.public())
	if err != nil {
		return nil, writ.Errorf(writ.CodeInternal, "approver key", "cannot be encoded: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

func keyID(public ed25519.PublicKey) string { return canon.SHA256(public).Hex()[:32] }

// workFactor is the logarithm of scrypt's N that OWASP recommends: about a second
// and 128 MiB for each guess. More is refused at opening: a file must not be able
// to ask for gigabytes.
const workFactor = 17

// minPassphrase is what NIST SP 800-63B asks of a memorised secret.
const minPassphrase = 8

// Seal encrypts the key with a passphrase (age, scrypt). CodeInvalid for a
// passphrase under 8 characters.
func (k *ApproverKey) Seal(passphrase []byte) ([]byte, error) {
	if len(passphrase) < minPassphrase {
		return nil, invalid("passphrase", "has fewer than %d characters", minPassphrase).WithFix("choose a longer one")
	}
	recipient, err := age.NewScryptRecipient(string(passphrase))
	if err != nil {
		return nil, writ.Errorf(writ.CodeInternal, "approver key", "cannot be sealed: %w", err)
	}
	recipient.SetWorkFactor(workFactor)
	var out bytes.Buffer
	armored := armor.NewWriter(&out)
	w, err := age.Encrypt(armored, recipient)
	if err != nil {
		return nil, writ.Errorf(writ.CodeInternal, "approver key", "cannot be sealed: %w", err)
	}
	_, err = w.Write(k.private.Seed())
	if err := errors.Join(err, w.Close(), armored.Close()); err != nil {
		return nil, writ.Errorf(writ.CodeInternal, "approver key", "cannot be sealed: %w", err)
	}
	return out.Bytes(), nil
}

// OpenApproverKey decrypts a sealed key. CodeForbidden for a wrong passphrase,
// CodeTampered for a file that is no sealed key.
func OpenApproverKey(sealed, passphrase []byte) (*ApproverKey, error) {
	const op = "approver key"
	if len(passphrase) == 0 {
		return nil, writ.Errorf(writ.CodeForbidden, op, "the passphrase is empty")
	}
	identity, err := age.NewScryptIdentity(string(passphrase))
	if err != nil {
		return nil, writ.Errorf(writ.CodeForbidden, op, "the passphrase cannot be used")
	}
	identity.SetMaxWorkFactor(workFactor + 1)
	r, err := age.Decrypt(armor.NewReader(bytes.NewReader(sealed)), identity)
	var wrong *age.NoIdentityMatchError
	if errors.As(err, &wrong) {
		return nil, writ.Errorf(writ.CodeForbidden, op, "the passphrase is wrong").WithFix("type it again")
	}
	if err != nil {
		return nil, writ.Errorf(writ.CodeTampered, op, "the file is damaged or no approver's key").WithFix("restore it from a copy, or register a new key with `writ token create`")
	}
	seed, err := io.ReadAll(io.LimitReader(r, ed25519.SeedSize+1))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, writ.Errorf(writ.CodeTampered, op, "the file is damaged").WithFix("restore it from a copy")
	}
	return &ApproverKey{private: ed25519.NewKeyFromSeed(seed)}, nil
}

// SignApproval signs that a person approves exactly what has the word's digest.
func (k *ApproverKey) SignApproval(ctx context.Context, approver writ.PrincipalID, word writ.Word, at writ.Time) ([]byte, error) {
	return sealStatement(ctx, k.private, word, predicateApproval, predicate{Approver: approver, For: word.For, At: at})
}

// sealStatement signs what a word says.
func sealStatement(ctx context.Context, private ed25519.PrivateKey, word writ.Word, kind string, said predicate) ([]byte, error) {
	if !word.Digest.Valid() {
		return nil, invalid("approvalDigest", "%q is not a digest", word.Digest)
	}
	said.Decision = decisionOf(word)
	payload, err := canon.MarshalJSON(statement{
		Type: statementType, PredicateType: kind, Predicate: said,
		Subject: []subject{{Name: subjectApproval, Digest: map[string]string{"sha256": word.Digest.Hex()}}},
	})
	if err != nil {
		return nil, err
	}
	signer, err := dsse.NewEnvelopeSigner(edSigner{private})
	if err != nil {
		return nil, writ.Errorf(writ.CodeInternal, "approval", "cannot be signed: %w", err)
	}
	envelope, err := signer.SignPayload(ctx, payloadType, payload)
	if err != nil {
		return nil, writ.Errorf(writ.CodeInternal, "approval", "cannot be signed: %w", err)
	}
	return json.Marshal(envelope)
}

// edSigner is an Ed25519 key in the terms of the dsse package.
type edSigner struct{ private ed25519.PrivateKey }

func (s edSigner) Sign(_ context.Context, data []byte) ([]byte, error) {
	return ed25519.Sign(s.private, data), nil
}

func (s edSigner) KeyID() (string, error) {
	return keyID(s.private.Public().(ed25519.PublicKey)), nil
}

// edVerifier is a public key in the terms of the dsse package.
type edVerifier struct{ public ed25519.PublicKey }

var errSignature = errors.New("the signature does not fit")

func (v edVerifier) Verify(_ context.Context, data, sig []byte) error {
	if !ed25519.Verify(v.public, data, sig) {
		return errSignature
	}
	return nil
}

func (v edVerifier) KeyID() (string, error) { return keyID(v.public), nil }

func (v edVerifier) Public() crypto.PublicKey { return v.public }

func notApproved(format string, args ...any) error {
	return writ.Errorf(writ.CodeForbidden, "approval", format, args...).
		WithFix("approve with `writ exec approve`, which signs with your approver's key")
}

// VerifyApproval implements writ.ApprovalVerifier.
func (s *Service) VerifyApproval(ctx context.Context, p *writ.Principal, word writ.Word, envelope []byte) (*writ.Via, error) {
	switch {
	case p == nil:
		return nil, notApproved("nobody is authenticated")
	case p.Kind != writ.Human:
		return nil, notApproved("%s is a %s: only people approve", p.ID, p.Kind)
	case len(envelope) == 0:
		return nil, notApproved("it is not signed with an approver's key")
	case len(envelope) > maxEnvelope:
		return nil, notApproved("the signature's envelope is larger than %d bytes", maxEnvelope)
	}
	if p.Strength == writ.StrengthChannel {
		return s.verifyAttested(ctx, p, word, envelope)
	}
	keys, err := s.approverKeys(ctx, p)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, notApproved("%s has no registered approver's key", p.ID)
	}
	payload, err := openEnvelope(ctx, envelope, keys)
	if err != nil {
		return nil, err
	}
	st, err := readStatement(payload, predicateApproval)
	if err != nil {
		return nil, err
	}
	if st.Predicate.Via != nil {
		return nil, notApproved("an approver's own signature names no channel")
	}
	return nil, st.says(p.ID, word)
}

func (s *Service) approverKeys(ctx context.Context, p *writ.Principal) ([]dsse.Verifier, error) {
	documents, err := s.opts.Store.List(ctx, writ.StoreQuery{Tenant: p.Tenant, Prefix: approverPrefix + string(p.ID) + "/"})
	if err != nil {
		return nil, err
	}
	var out []dsse.Verifier
	for _, document := range documents {
		var key approverKey
		if err := decode(document, &key); err != nil {
			return nil, err
		}
		public, err := parsePublic([]byte(key.PEM))
		if err != nil {
			return nil, writ.Errorf(writ.CodeTampered, document.Key, "the stored key does not decode")
		}
		if key.RevokedAt == 0 && key.Principal == p.ID {
			out = append(out, edVerifier{public})
		}
	}
	return out, nil
}

// openEnvelope verifies the signature before it looks at the payload.
func openEnvelope(ctx context.Context, raw []byte, keys []dsse.Verifier) ([]byte, error) {
	if err := canon.CheckJSON(raw); err != nil {
		return nil, notApproved("the signature is not a DSSE envelope")
	}
	var envelope dsse.Envelope
	if err := json.Unmarshal(raw, &envelope); err != nil {
		return nil, notApproved("the signature is not a DSSE envelope")
	}
	verifier, err := dsse.NewEnvelopeVerifier(keys...)
	if err != nil {
		return nil, writ.Errorf(writ.CodeInternal, "approval", "no verifier: %w", err)
	}
	if _, err := verifier.Verify(ctx, &envelope); err != nil {
		return nil, notApproved("the signature is not of a registered key of the approver")
	}
	if envelope.PayloadType != payloadType {
		return nil, notApproved("the signature is over %q", clip(envelope.PayloadType))
	}
	payload, err := envelope.DecodeB64Payload()
	if err != nil {
		return nil, notApproved("the signed payload does not decode")
	}
	return payload, nil
}

// readStatement takes a statement of one kind, and nothing that has more in it.
func readStatement(payload []byte, kind string) (*statement, error) {
	if err := canon.CheckJSON(payload); err != nil {
		return nil, notApproved("the signed statement is not clean JSON")
	}
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.DisallowUnknownFields()
	st := &statement{}
	if err := decoder.Decode(st); err != nil || st.Type != statementType || st.PredicateType != kind {
		return nil, notApproved("the signed statement is not of an approval")
	}
	return st, nil
}

// says holds a statement against the word that it is to be.
func (st *statement) says(approver writ.PrincipalID, word writ.Word) error {
	switch {
	case len(st.Subject) != 1 || st.Subject[0].Name != subjectApproval || len(st.Subject[0].Digest) != 1:
		return notApproved("the signed statement has another subject")
	case !word.Digest.Valid() || st.Subject[0].Digest["sha256"] != word.Digest.Hex():
		return notApproved("the signature approves something else")
	case st.Predicate.Approver != approver || st.Predicate.Decision != decisionOf(word):
		return notApproved("the signature is not %s's approval", approver)
	case st.Predicate.For != word.For:
		return notApproved("the signature is in the place of %q, and the request of %q", clip(string(st.Predicate.For)), word.For)
	}
	return nil
}

func clip(s string) string { return writ.Clip(s, 60) }

func parsePublic(text []byte) (ed25519.PublicKey, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "PUBLIC KEY" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, invalid("approverPublicKeyPem", "is not one PEM public key")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	public, ok := parsed.(ed25519.PublicKey)
	if err != nil || !ok {
		return nil, invalid("approverPublicKeyPem", "is not an Ed25519 key")
	}
	return public, nil
}

// registration is the change that registers a person's approver key. CodeConflict
// where it is somebody else's: one person would count as two.
func (s *Service) registration(ctx context.Context, p *writ.Principal, publicPEM []byte) (*change, error) {
	if p.Kind != writ.Human {
		return nil, invalid("approverPublicKeyPem", "%s is a %s: only people approve", p.ID, p.Kind)
	}
	public, err := parsePublic(publicPEM)
	if err != nil {
		return nil, err
	}
	id := keyID(public)
	others, err := s.opts.Store.List(ctx, writ.StoreQuery{Tenant: p.Tenant, Prefix: approverPrefix})
	if err != nil {
		return nil, err
	}
	for _, other := range others {
		if strings.HasSuffix(other.Key, "/"+id) && other.Key != approverPrefix+string(p.ID)+"/"+id {
			return nil, writ.Errorf(writ.CodeConflict, "approver key "+id, "is registered for somebody else").WithFix("make a key of your own with `writ approval key`")
		}
	}
	return &change{
		record: writ.RecPrincipalAdded,
		facts:  writ.SystemFacts{Subject: string(p.ID), Status: "approver key registered", Details: map[string]string{"keyId": id}},
		documents: map[string]any{approverPrefix + string(p.ID) + "/" + id: approverKey{
			Principal: p.ID, KeyID: id, PEM: string(publicPEM),
		}},
	}, nil
}
