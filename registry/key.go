package registry

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"io"
	"strings"

	commonv1 "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/writ-run/writ"
)

// KeyKind is an algorithm of signing keys.
type KeyKind string

// The kinds. ECDSA is the default: cosign v2 and v3 cannot verify the Ed25519
// DSSE signatures that they make themselves.
const (
	KeyECDSA   KeyKind = "ecdsa-p256"
	KeyEd25519 KeyKind = "ed25519"
)

// KeyID names a public key: base64 of the SHA-256 of its SubjectPublicKeyInfo,
// which is the hint that cosign writes into a bundle.
type KeyID string

// Fingerprint is the key id for people to compare: SHA-256 in hexadecimal,
// groups of four.
func (id KeyID) Fingerprint() string {
	text := id.hex()
	groups := make([]string, 0, len(text)/4)
	for i := 0; i+4 <= len(text); i += 4 {
		groups = append(groups, text[i:i+4])
	}
	return "SHA256 " + strings.Join(groups, " ")
}

// Valid says whether id has the form of one.
func (id KeyID) Valid() bool { return id.hex() != "" }

// hex is safe in document keys, empty where id is not one.
func (id KeyID) hex() string {
	sum, err := base64.StdEncoding.DecodeString(string(id))
	if err != nil || len(sum) != sha256.Size {
		return ""
	}
	return hex.EncodeToString(sum)
}

// PublicKey is one that bundles are verified with.
type PublicKey struct {
	ID  KeyID
	PEM []byte // PKIX

	verifier signature.Verifier
}

// ParsePublicKey reads a PEM public key, ECDSA P-256 or Ed25519. CodeInvalid for
// anything else.
func ParsePublicKey(pem []byte) (*PublicKey, error) {
	const op = "public key"
	if len(pem) > 8<<10 { // a P-256 key has 178 bytes
		return nil, writ.Errorf(writ.CodeInvalid, op, "the PEM is too long")
	}
	pub, err := cryptoutils.UnmarshalPEMToPublicKey(pem)
	if err != nil {
		return nil, writ.Errorf(writ.CodeInvalid, op, "not a PEM public key").
			WithFix("give the publisher's .pub file; a private key does not belong here")
	}
	return publicKey(pub)
}

func publicKey(pub crypto.PublicKey) (*PublicKey, error) {
	const op = "public key"
	switch key := pub.(type) {
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return nil, writ.Errorf(writ.CodeInvalid, op, "curve %s: want P-256", key.Curve.Params().Name)
		}
	case ed25519.PublicKey:
	default:
		return nil, writ.Errorf(writ.CodeInvalid, op, "want ECDSA P-256 or Ed25519")
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, &writ.Error{Code: writ.CodeInvalid, Op: op, Message: "cannot be encoded", Err: err}
	}
	verifier, err := signature.LoadDefaultVerifier(pub)
	if err != nil {
		return nil, &writ.Error{Code: writ.CodeInvalid, Op: op, Message: "cannot be used", Err: err}
	}
	pem, err := cryptoutils.MarshalPublicKeyToPEM(pub)
	if err != nil {
		return nil, &writ.Error{Code: writ.CodeInvalid, Op: op, Message: "cannot be encoded", Err: err}
	}
	sum := sha256.Sum256(der)
	return &PublicKey{ID: KeyID(base64.StdEncoding.EncodeToString(sum[:])), PEM: pem, verifier: verifier}, nil
}

// Key is a signing key. It is kept out of %v: fmt prints its id.
type Key struct {
	public *PublicKey
	secret crypto.PrivateKey
	signer signature.SignerVerifier
	detail signature.AlgorithmDetails
}

// GenerateKey makes a key; kind "" is KeyECDSA, entropy is crypto/rand.Reader
// outside of tests.
func GenerateKey(kind KeyKind, entropy io.Reader) (*Key, error) {
	switch kind {
	case KeyECDSA, "":
		secret, err := ecdsa.GenerateKey(elliptic.P256(), entropy)
		if err != nil {
			return nil, &writ.Error{Code: writ.CodeInternal, Op: "signing key", Message: "no randomness", Err: err}
		}
		return newKey(secret)
	case KeyEd25519:
		_, secret, err := ed25519.GenerateKey(entropy)
		if err != nil {
			return nil, &writ.Error{Code: writ.CodeInternal, Op: "signing key", Message: "no randomness", Err: err}
		}
		return newKey(secret)
	}
	return nil, writ.Errorf(writ.CodeInvalid, "signing key", "kind %q: want %s or %s", kind, KeyECDSA, KeyEd25519)
}

// ParseKey reads a PEM private key: PKCS 8, SEC 1, or cosign's encrypted form, for
// which passphrase is asked. CodeUnauthenticated where the passphrase is wrong or
// missing, CodeInvalid where it is no key of a known kind.
func ParseKey(pem []byte, passphrase func() ([]byte, error)) (*Key, error) {
	var ask cryptoutils.PassFunc
	if passphrase != nil {
		ask = func(bool) ([]byte, error) { return passphrase() }
	}
	secret, err := cryptoutils.UnmarshalPEMToPrivateKey(pem, ask)
	if err == nil {
		return newKey(secret)
	}
	if bytes.Contains(pem, []byte("ENCRYPTED")) {
		return nil, writ.Errorf(writ.CodeUnauthenticated, "signing key", "the key is encrypted and the passphrase does not open it").
			WithFix("give the passphrase that the key was made with")
	}
	return nil, writ.Errorf(writ.CodeInvalid, "signing key", "not a PEM private key").
		WithFix("make one with writ skill key, or give a cosign or PKCS 8 key file")
}

func newKey(secret crypto.PrivateKey) (*Key, error) {
	signer, ok := secret.(crypto.Signer)
	if !ok {
		return nil, writ.Errorf(writ.CodeInvalid, "signing key", "want ECDSA P-256 or Ed25519")
	}
	public, err := publicKey(signer.Public())
	if err != nil {
		return nil, err
	}
	k := &Key{public: public, secret: secret}
	if k.signer, err = signature.LoadDefaultSignerVerifier(secret); err != nil {
		return nil, &writ.Error{Code: writ.CodeInvalid, Op: "signing key", Message: "cannot be used", Err: err}
	}
	if k.detail, err = signature.GetDefaultAlgorithmDetails(signer.Public()); err != nil {
		return nil, &writ.Error{Code: writ.CodeInvalid, Op: "signing key", Message: "cannot be used", Err: err}
	}
	return k, nil
}

// Public is what others verify with.
func (k *Key) Public() *PublicKey { return k.public }

// String keeps the secret out of logs.
func (k *Key) String() string { return "key " + string(k.public.ID) }

// GoString keeps the secret out of %#v.
func (k *Key) GoString() string { return k.String() }

// PEM is the private key: PKCS 8 or, with a passphrase, the encrypted form of
// cosign, which cosign reads too.
func (k *Key) PEM(passphrase []byte) ([]byte, error) {
	if passphrase == nil {
		der, err := cryptoutils.MarshalPrivateKeyToDER(k.secret)
		if err != nil {
			return nil, &writ.Error{Code: writ.CodeInternal, Op: "signing key", Message: "cannot be encoded", Err: err}
		}
		return cryptoutils.PEMEncode(cryptoutils.PrivateKeyPEMType, der), nil
	}
	sealed, err := cryptoutils.MarshalPrivateKeyToEncryptedDER(k.secret, func(bool) ([]byte, error) { return passphrase, nil })
	if err != nil {
		return nil, &writ.Error{Code: writ.CodeInternal, Op: "signing key", Message: "cannot be encrypted", Err: err}
	}
	return cryptoutils.PEMEncode(cryptoutils.EncryptedSigstorePrivateKeyPEMType, sealed), nil
}

// keypair gives a Key the methods that sigstore-go asks of a signer.
type keypair struct{ *Key }

func (k keypair) GetHashAlgorithm() commonv1.HashAlgorithm { return k.detail.GetProtoHashType() }

func (k keypair) GetSigningAlgorithm() commonv1.PublicKeyDetails {
	return k.detail.GetSignatureAlgorithm()
}

func (k keypair) GetHint() []byte { return []byte(k.public.ID) }

func (k keypair) GetKeyAlgorithm() string {
	if k.detail.GetKeyType() == signature.ED25519 {
		return "ED25519"
	}
	return "ECDSA"
}

func (k keypair) GetPublicKey() crypto.PublicKey { return k.secret.(crypto.Signer).Public() }

func (k keypair) GetPublicKeyPem() (string, error) { return string(k.public.PEM), nil }

// SignData returns the signature and the digest that was signed.
func (k keypair) SignData(_ context.Context, data []byte) ([]byte, []byte, error) {
	sum := data
	if h := k.detail.GetHashType(); h != crypto.Hash(0) {
		hash := h.New()
		hash.Write(data)
		sum = hash.Sum(nil)
	}
	sig, err := k.signer.SignMessage(bytes.NewReader(data))
	return sig, sum, err
}
