// Package keylesstest is a Sigstore for tests, in this process: a certificate
// authority, a timestamp authority and a log whose clocks the test sets.
package keylesstest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"math/big"
	"net/url"
	"strings"
	"time"

	"github.com/digitorus/timestamp"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	bundlev1 "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	commonv1 "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	rekorv1 "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"google.golang.org/protobuf/encoding/protojson"
)

// The authorities' certificates are valid at any time: the timestamp's library
// signs the machine's time beside the test's. Windows are those of Root.
var always, never = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)

const payloadType = "application/vnd.in-toto+json"

// T is what of a testing.TB is needed; a test script has it too.
type T interface {
	Helper()
	Fatal(args ...any)
}

// Sigstore is one deployment. A root trusts its authorities for a day around the
// moment that it was made for.
type Sigstore struct {
	t          T
	now        time.Time
	root       *x509.Certificate
	issuer     pair
	stamper    pair
	stamperTop *x509.Certificate
	log        *ca.VirtualSigstore
}

type pair struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// New makes a deployment for a moment.
func New(t T, now time.Time) *Sigstore {
	t.Helper()
	s := &Sigstore{t: t, now: now}
	top := s.certify(&x509.Certificate{
		Subject: pkix.Name{CommonName: "test root"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: always, NotAfter: never,
	}, pair{})
	authority := func(name string, usage x509.ExtKeyUsage) pair {
		return s.certify(&x509.Certificate{
			Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
			ExtKeyUsage: []x509.ExtKeyUsage{usage}, NotBefore: always, NotAfter: never,
		}, top)
	}
	s.root, s.issuer = top.cert, authority("test fulcio", x509.ExtKeyUsageCodeSigning)
	stampers := authority("test timestamps", x509.ExtKeyUsageTimeStamping)
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	s.must(err)
	s.stamperTop = stampers.cert
	s.stamper = s.certify(&x509.Certificate{
		Subject: pkix.Name{CommonName: "test timestamp"}, KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: always, NotAfter: never,
		// RFC 3161: the usage is critical and the only one.
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}},
	}, stampers)
	s.log, err = ca.NewVirtualSigstore()
	s.must(err)
	return s
}

func (s *Sigstore) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *Sigstore) certify(template *x509.Certificate, by pair) pair {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	s.must(err)
	if by.key == nil {
		by = pair{template, key}
	}
	return pair{s.certifyKey(template, key.Public(), by), key}
}

func (s *Sigstore) certifyKey(template *x509.Certificate, key crypto.PublicKey, by pair) *x509.Certificate {
	s.t.Helper()
	var err error
	template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62))
	s.must(err)
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, key, by.key)
	s.must(err)
	cert, err := x509.ParseCertificate(der)
	s.must(err)
	return cert
}

// Trusted says what a trusted root of the deployment names besides its
// certificate authority.
type Trusted struct {
	NoTimestamps, Log, CertificateLog bool
}

// Root is a trusted_root.json.
func (s *Sigstore) Root(with Trusted) []byte {
	s.t.Helper()
	from, until := s.now.Add(-24*time.Hour), s.now.Add(24*time.Hour)
	authorities := []root.CertificateAuthority{&root.FulcioCertificateAuthority{
		Root: s.root, Intermediates: []*x509.Certificate{s.issuer.cert}, ValidityPeriodStart: from, ValidityPeriodEnd: until, URI: "https://fulcio.test",
	}}
	var stampers []root.TimestampingAuthority
	if !with.NoTimestamps {
		stampers = append(stampers, &root.SigstoreTimestampingAuthority{
			Root: s.root, Intermediates: []*x509.Certificate{s.stamperTop}, Leaf: s.stamper.cert,
			ValidityPeriodStart: from, ValidityPeriodEnd: until, URI: "https://tsa.test",
		})
	}
	logs, certificateLogs := map[string]*root.TransparencyLog{}, map[string]*root.TransparencyLog{}
	if with.Log {
		logs = s.windowed(s.log.RekorLogs())
	}
	if with.CertificateLog {
		certificateLogs = s.windowed(s.log.CTLogs())
	}
	trusted, err := root.NewTrustedRoot(root.TrustedRootMediaType01, authorities, certificateLogs, stampers, logs)
	s.must(err)
	raw, err := trusted.MarshalJSON()
	s.must(err)
	return raw
}

// windowed gives logs this deployment's window, and ids that are bytes: those of
// the library's own are their hexadecimal text.
func (s *Sigstore) windowed(logs map[string]*root.TransparencyLog) map[string]*root.TransparencyLog {
	for name, log := range logs {
		id, err := hex.DecodeString(name)
		s.must(err)
		log.ID, log.ValidityPeriodStart, log.ValidityPeriodEnd = id, s.now.Add(-24*time.Hour), s.now.Add(24*time.Hour)
	}
	return logs
}

// Subject is whom a certificate names. Members that are empty are not in it.
type Subject struct {
	SAN, Issuer                             string
	Repository, Ref, Digest, Runner, Signer string
}

// Signing is how a statement is signed. The zero one is certified at the
// deployment's moment and stamped a minute later.
type Signing struct {
	CertifiedAt time.Time // the certificate is valid for ten minutes from it
	StampedAt   time.Time
	Unstamped   bool
	Log         bool
	LoggedAt    time.Time // zero: StampedAt
	Timeless    bool      // the log signs no time, as one of version 2
}

// Sign makes the JSON of a Sigstore bundle.
func (s *Sigstore) Sign(statement []byte, who Subject, how Signing) []byte {
	s.t.Helper()
	orElse := func(at *time.Time, other time.Time) {
		if at.IsZero() {
			*at = other
		}
	}
	orElse(&how.CertifiedAt, s.now)
	orElse(&how.StampedAt, how.CertifiedAt.Add(time.Minute))
	orElse(&how.LoggedAt, how.StampedAt)
	leaf := s.certify(s.template(who, how.CertifiedAt), s.issuer)
	digest := crypto.SHA256.New()
	digest.Write(dsse.PAE(payloadType, statement))
	sig, err := leaf.key.Sign(rand.Reader, digest.Sum(nil), crypto.SHA256)
	s.must(err)
	out := &bundlev1.Bundle{MediaType: "application/vnd.dev.sigstore.bundle.v0.3+json"}
	(&sign.DSSEData{Data: statement, PayloadType: payloadType}).Bundle(out, sig, nil, 0)
	out.VerificationMaterial = &bundlev1.VerificationMaterial{
		Content: &bundlev1.VerificationMaterial_Certificate{Certificate: &commonv1.X509Certificate{RawBytes: leaf.cert.Raw}},
	}
	if !how.Unstamped {
		out.VerificationMaterial.TimestampVerificationData = &bundlev1.TimestampVerificationData{
			Rfc3161Timestamps: []*commonv1.RFC3161SignedTimestamp{{SignedTimestamp: s.stamp(sig, how.StampedAt)}},
		}
	}
	if how.Log {
		out.VerificationMaterial.TlogEntries = []*rekorv1.TransparencyLogEntry{s.entry(leaf.cert, statement, sig, &how)}
	}
	raw, err := protojson.Marshal(out)
	s.must(err)
	return raw
}

func (s *Sigstore) entry(leaf *x509.Certificate, statement, sig []byte, how *Signing) *rekorv1.TransparencyLogEntry {
	s.t.Helper()
	envelope := &dsse.Envelope{
		PayloadType: payloadType, Payload: base64.StdEncoding.EncodeToString(statement),
		Signatures: []dsse.Signature{{Sig: base64.StdEncoding.EncodeToString(sig)}},
	}
	entry, err := s.log.GenerateTlogEntry(leaf, envelope, sig, how.LoggedAt.Unix(), true)
	s.must(err)
	out := entry.TransparencyLogEntry()
	// What the generator leaves out: the kind, and the promise, which signs the time.
	out.KindVersion = &rekorv1.KindVersion{Kind: "dsse", Version: "0.0.1"}
	if how.Timeless {
		return out
	}
	id, err := s.log.RekorLogID()
	s.must(err)
	promise, err := s.log.RekorSignPayload(tlog.RekorPayload{
		Body: base64.StdEncoding.EncodeToString(out.GetCanonicalizedBody()), IntegratedTime: how.LoggedAt.Unix(), LogIndex: out.GetLogIndex(), LogID: id,
	})
	s.must(err)
	out.InclusionPromise = &rekorv1.InclusionPromise{SignedEntryTimestamp: promise}
	return out
}

func (s *Sigstore) stamp(sig []byte, at time.Time) []byte {
	s.t.Helper()
	request, err := timestamp.CreateRequest(bytes.NewReader(sig), &timestamp.RequestOptions{Hash: crypto.SHA256})
	s.must(err)
	return s.answer(request, at)
}

func (s *Sigstore) answer(request []byte, at time.Time) []byte {
	s.t.Helper()
	asked, err := timestamp.ParseRequest(request)
	s.must(err)
	stamp := timestamp.Timestamp{
		HashAlgorithm: asked.HashAlgorithm, HashedMessage: asked.HashedMessage, Time: at, Policy: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2},
	}
	response, err := stamp.CreateResponseWithOpts(s.stamper.cert, s.stamper.key, crypto.SHA256)
	s.must(err)
	return response
}

func (s *Sigstore) template(who Subject, from time.Time) *x509.Certificate {
	s.t.Helper()
	template := &x509.Certificate{
		NotBefore: from, NotAfter: from.Add(10 * time.Minute), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	if strings.Contains(who.SAN, "://") {
		name, err := url.Parse(who.SAN)
		s.must(err)
		template.URIs = []*url.URL{name}
	} else {
		template.EmailAddresses = []string{who.SAN}
	}
	for _, extension := range []struct {
		id    asn1.ObjectIdentifier
		value string
	}{
		{certificate.OIDIssuerV2, who.Issuer},
		{certificate.OIDSourceRepositoryURI, who.Repository},
		{certificate.OIDSourceRepositoryRef, who.Ref},
		{certificate.OIDSourceRepositoryDigest, who.Digest},
		{certificate.OIDRunnerEnvironment, who.Runner},
		{certificate.OIDBuildSignerURI, who.Signer},
	} {
		if extension.value == "" {
			continue
		}
		value, err := asn1.MarshalWithParams(extension.value, "utf8")
		s.must(err)
		template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: extension.id, Value: value})
	}
	return template
}
