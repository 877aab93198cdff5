// Package keyless judges and makes signatures whose key lived for minutes and is
// vouched for by a certificate: who signed is an identity, not a key. It tames
// sigstore-go's trusted roots, certificates, timestamps, logs and TUF client.
//
// No root is baked in, and nothing here reads the machine's clock: a signature's
// time is what an authority or a log that the root names has signed.
package keyless

import (
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// MaxRoot bounds a trusted_root.json. That of the public good has about 7 KB.
const MaxRoot = 1 << 20

// Root is a Sigstore trusted root: whose certificates, timestamps and log entries
// count. It is immutable.
type Root struct {
	Digest writ.Digest // of the file
	// What the root names. A signature needs a timestamp or a log's time, an entry
	// in a log where the root has logs, and an embedded timestamp of a certificate
	// log where it has such logs: what is left out cannot be demanded.
	Authorities, TimestampAuthorities, Logs, CertificateLogs int

	material *root.TrustedRoot
	rules    []verify.VerifierOption
}

// ParseRoot reads a trusted_root.json. CodeInvalid where it is not one, or where
// no signature could ever be judged under it; CodeTooLarge above MaxRoot.
func ParseRoot(raw []byte) (*Root, error) {
	const op = "trusted root"
	if len(raw) > MaxRoot {
		return nil, writ.Errorf(writ.CodeTooLarge, op, "has more than %d bytes", MaxRoot)
	}
	material, err := root.NewTrustedRootFromJSON(raw)
	if err != nil {
		return nil, writ.Errorf(writ.CodeInvalid, op, "not a Sigstore trusted root: %s", clip(err.Error())).
			WithFix("give a trusted_root.json, such as `cosign trusted-root create` writes")
	}
	r := &Root{
		Digest: canon.SHA256(raw), material: material,
		Authorities: len(material.FulcioCertificateAuthorities()), TimestampAuthorities: len(material.TimestampingAuthorities()),
		Logs: len(material.RekorLogs()), CertificateLogs: len(material.CTLogs()),
	}
	if r.Authorities == 0 {
		return nil, writ.Errorf(writ.CodeInvalid, op, "it names no certificate authority").
			WithFix("add the certificate chain of your Fulcio: cosign trusted-root create --fulcio ...")
	}
	if r.TimestampAuthorities+r.Logs == 0 {
		return nil, writ.Errorf(writ.CodeInvalid, op, "it names nobody who says when something was signed").
			WithFix("add a timestamp authority: cosign trusted-root create --tsa ...")
	}
	r.rules = []verify.VerifierOption{verify.WithObserverTimestamps(1)}
	if r.Logs > 0 {
		r.rules = append(r.rules, verify.WithTransparencyLog(1))
	}
	if r.CertificateLogs > 0 {
		r.rules = append(r.rules, verify.WithSignedCertificateTimestamps(1))
	}
	return r, nil
}
