package policy

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"maps"
	"slices"

	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/util"

	"github.com/writ-run/writ"
)

// minRSABits is the least that NIST SP 800-131A accepts.
const minRSABits = 2048

// signatureDocument is the .signatures.json of OPA: exactly one JWT.
type signatureDocument struct {
	Signatures []string `json:"signatures"`
}

// Sign returns the .signatures.json of the bundle, as `opa sign` writes it. The
// key is a private key in PEM (PKCS 8: Ed25519, ECDSA P-256 or RSA). CodeInvalid.
func (b *Bundle) Sign(keyID string, privateKeyPEM []byte) ([]byte, error) {
	const op = "policy sign"
	block, _ := pem.Decode(privateKeyPEM)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, writ.Errorf(writ.CodeInvalid, op, "the key is not a PKCS 8 private key in PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, writ.Errorf(writ.CodeInvalid, op, "the key cannot be read")
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, writ.Errorf(writ.CodeInvalid, op, "the key cannot sign")
	}
	algorithm, err := algorithmOf(signer.Public())
	if err != nil {
		return nil, err
	}
	files, err := b.fileInfos()
	if err != nil {
		return nil, writ.Errorf(writ.CodeInvalid, op, "%w", err)
	}
	token, err := bundle.GenerateSignedToken(files, bundle.NewSigningConfig(string(privateKeyPEM), algorithm, ""), keyID)
	if err != nil {
		return nil, writ.Errorf(writ.CodeInternal, op, "%w", err)
	}
	return json.Marshal(signatureDocument{Signatures: []string{token}})
}

// Verify checks the bundle's signature against the keys (public keys in PEM, by
// the operator's name for them) and returns the name of the one that signed. It
// is CodeTampered where no key is given, where the signature is missing or of
// another key, and where a file differs from what was signed, is missing or new.
func (b *Bundle) Verify(keys map[string]string) (string, error) {
	op := "policy " + string(b.digest)
	if len(keys) == 0 {
		return "", writ.Errorf(writ.CodeTampered, op, "no key is trusted to sign policies").
			WithFix("add the publisher's public key (PEM) to the configuration under policy.keys")
	}
	if _, signed := b.files[signatureFile]; !signed {
		return "", writ.Errorf(writ.CodeTampered, op, "is not signed").
			WithFix("sign it: `writ policy build DIR --key KEY.key --to bundle.tar.gz`")
	}
	var last error
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		public, err := parsePublic(name, keys[name])
		if err != nil {
			return "", err
		}
		algorithm, err := algorithmOf(public)
		if err != nil {
			return "", err
		}
		// The key decides the algorithm and not the signature's header.
		config := map[string]*bundle.KeyConfig{name: {Key: keys[name], Algorithm: algorithm}}
		_, last = b.reader().WithBundleVerificationConfig(bundle.NewVerificationConfig(config, name, "", nil)).Read()
		if last == nil {
			return name, nil
		}
	}
	return "", &writ.Error{
		Code: writ.CodeTampered, Op: op, Message: "the signature does not verify: " + clean(last.Error(), maxText), Err: last,
		Fix: "get the bundle again from its publisher, or check policy.keys",
	}
}

func (b *Bundle) fileInfos() ([]bundle.FileInfo, error) {
	hasher, err := bundle.NewSignatureHasher(bundle.SHA256)
	if err != nil {
		return nil, err
	}
	infos := []bundle.FileInfo{}
	for _, name := range b.names() {
		if name == signatureFile {
			continue
		}
		var value any = b.files[name]
		if bundle.IsStructuredDoc(name) {
			if err := util.Unmarshal(b.files[name], &value); err != nil {
				return nil, err
			}
		}
		sum, err := hasher.HashFile(value)
		if err != nil {
			return nil, err
		}
		infos = append(infos, bundle.NewFile(name, hex.EncodeToString(sum), string(bundle.SHA256)))
	}
	return infos, nil
}

func parsePublic(name, text string) (any, error) {
	if block, _ := pem.Decode([]byte(text)); block != nil && block.Type == "PUBLIC KEY" {
		if key, err := x509.ParsePKIXPublicKey(block.Bytes); err == nil {
			return key, nil
		}
	}
	return nil, writ.Errorf(writ.CodeInvalid, "policy key "+name, "is not a public key in PEM")
}

func algorithmOf(public any) (string, error) {
	switch key := public.(type) {
	case ed25519.PublicKey:
		return "EdDSA", nil
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() {
			return "ES256", nil
		}
	case *rsa.PublicKey:
		if key.N.BitLen() >= minRSABits {
			return "PS256", nil
		}
	}
	return "", writ.Errorf(writ.CodeInvalid, "policy key", "want Ed25519, ECDSA P-256 or RSA of %d bits", minRSABits)
}
