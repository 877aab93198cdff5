package keyless

import (
	"crypto/x509"
	"errors"
	"time"

	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// Claims are what a certificate's authority vouches for, once a bundle has been
// verified under a root.
type Claims struct {
	Issuer, SAN       string
	SourceRepository  string // URL; empty members: the certificate does not say
	SourceRef         string
	SourceDigest      string // commit
	RunnerEnvironment string
	BuildSigner       string    // URI of the workflow that ran
	SignedAt          writ.Time // the latest of the verified times
	Root              writ.Digest

	summary certificate.Summary
}

// Signer tells signers apart: two certificates of one identity are one signer.
func (c *Claims) Signer() string { return c.SAN + " (" + c.Issuer + ")" }

func claimsOf(summary certificate.Summary) *Claims {
	return &Claims{
		Issuer: summary.Issuer, SAN: summary.SubjectAlternativeName, SourceRepository: summary.SourceRepositoryURI,
		SourceRef: summary.SourceRepositoryRef, SourceDigest: summary.SourceRepositoryDigest,
		RunnerEnvironment: summary.RunnerEnvironment, BuildSigner: summary.BuildSignerURI, summary: summary,
	}
}

// ErrNoRoot is the answer where no root is trusted: an empty list accepts nothing.
var ErrNoRoot = errors.New("no Sigstore root is trusted")

// Verify judges the signature, the certificate's chain at the signed time, the
// timestamps and the log entries of a bundle that is about a SHA-256 digest, under
// the first root that accepts it. Who signed is not judged: ask Identity.Matches.
func Verify(b *bundle.Bundle, digest []byte, roots []*Root) (*Claims, *intoto.Statement, error) {
	return judge(b, verify.WithArtifactDigest("sha256", digest), roots)
}

func judge(b *bundle.Bundle, artifact verify.ArtifactPolicyOption, roots []*Root) (*Claims, *intoto.Statement, error) {
	if len(roots) == 0 {
		return nil, nil, ErrNoRoot
	}
	if b.GetVerificationMaterial().GetPublicKey() != nil {
		return nil, nil, errors.New("the bundle is signed with a key")
	}
	var failed []error
	for _, r := range roots {
		verifier, err := verify.NewVerifier(r.material, r.rules...)
		if err != nil {
			return nil, nil, err
		}
		result, err := verifier.Verify(b, verify.NewPolicy(artifact, verify.WithoutIdentitiesUnsafe()))
		if err != nil {
			failed = append(failed, err)
			continue
		}
		if result.Signature == nil || result.Signature.Certificate == nil || result.Statement == nil || len(result.VerifiedTimestamps) == 0 {
			return nil, nil, errors.New("no certificate, statement or time was verified")
		}
		claims := claimsOf(*result.Signature.Certificate)
		claims.Root = r.Digest
		latest := time.Time{}
		for _, t := range result.VerifiedTimestamps {
			if t.Timestamp.After(latest) {
				latest = t.Timestamp
			}
		}
		claims.SignedAt = canon.TimeOf(latest)
		return claims, result.Statement, nil
	}
	return nil, nil, errors.Join(failed...)
}

// Unverified reads what a bundle's certificate says of itself; nil where there is
// none. Nothing of it may be believed.
func Unverified(b *bundle.Bundle) *Claims {
	raw := b.GetVerificationMaterial().GetCertificate().GetRawBytes()
	if raw == nil {
		return nil
	}
	return unverified(raw)
}

func unverified(der []byte) *Claims {
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil
	}
	summary, err := certificate.SummarizeCertificate(leaf)
	if err != nil {
		return nil
	}
	return claimsOf(summary)
}
