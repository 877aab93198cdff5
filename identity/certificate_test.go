package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// authority signs certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, r *rig, parent *authority) *authority {
	t.Helper()
	return issueCert(t, parent, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: r.now.Add(-time.Hour), NotAfter: r.now.Add(30 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
}

func issueCert(t testing.TB, parent *authority, template *x509.Certificate) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, above := key, template
	if parent != nil {
		signer, above = parent.key, parent.cert
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, above, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

// workload is a certificate of an hour for URIs.
func workload(t testing.TB, r *rig, by *authority, change func(*x509.Certificate), uris ...string) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: r.now.Add(-time.Minute), NotAfter: r.now.Add(time.Hour), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	for _, text := range uris {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = append(template.URIs, u)
	}
	if change != nil {
		change(template)
	}
	return issueCert(t, by, template).cert
}

const ciID = "spiffe://prod.example.com/ns/ci/sa/runner"

func certRig(t testing.TB) (*rig, *authority, func(*x509.CertPool)) {
	t.Helper()
	r := newRig(t)
	ca := newAuthority(t, r, nil)
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	s, err := New(Options{Store: r.journal, Journal: r.journal, Clock: r.clock, Entropy: entropy(1), Certificates: &Certificates{
		TrustDomain: "prod.example.com", Roots: func() *x509.CertPool { return roots },
		Rules: []CertificateRule{
			{ID: ciID, Principal: "service:ci"},
			{ID: "spiffe://prod.example.com/bot", Principal: "agent:bot"},
			{ID: "spiffe://prod.example.com/ghost", Principal: "service:ghost"},
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	r.Service = s
	ada, _ := r.boot(t)
	for _, id := range []writ.PrincipalID{"service:ci", "agent:bot"} {
		r.add(t, ada, contract.TokenCreateInput{PrincipalID: id, Kind: kindOf(id), Capabilities: []string{capabilityCore}})
	}
	return r, ca, func(pool *x509.CertPool) { roots = pool }
}

func TestCertificates(t *testing.T) {
	r, ca, setRoots := certRig(t)
	middle := newAuthority(t, r, ca)
	leaf := workload(t, r, ca, nil, ciID)
	for name, chain := range map[string][]*x509.Certificate{
		"directly": {leaf}, "through another": {workload(t, r, middle, nil, ciID), middle.cert},
		"with other names": {workload(t, r, ca, func(c *x509.Certificate) { c.DNSNames = []string{"ci.example.com"} }, ciID)},
		"without purposes": {workload(t, r, ca, func(c *x509.Certificate) { c.ExtKeyUsage = nil }, ciID)},
	} {
		p, err := r.Certificate(t.Context(), chain)
		if err != nil || p.ID != "service:ci" || p.Kind != writ.Service || p.Strength != writ.StrengthMTLS || p.Source != "certificate:"+ciID ||
			!strings.HasPrefix(p.Session, "cert_") || len(p.Roles) != 0 || len(p.Capabilities) != 1 {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	if p, err := r.Certificate(t.Context(), []*x509.Certificate{workload(t, r, ca, nil, "spiffe://prod.example.com/bot")}); err != nil || p.ID != "agent:bot" {
		t.Errorf("%+v, %v", p, err)
	}
	// The connection stays, the hour does not.
	r.now = r.now.Add(time.Hour + time.Second)
	_, err := r.Certificate(t.Context(), []*x509.Certificate{leaf})
	wantCode(t, err, writ.CodeUnauthenticated)
	r.now = r.now.Add(-time.Hour)
	if _, err := r.Certificate(t.Context(), []*x509.Certificate{leaf}); err != nil {
		t.Error(err)
	}
	// Nor does an authority that is taken out.
	setRoots(x509.NewCertPool())
	_, err = r.Certificate(t.Context(), []*x509.Certificate{leaf})
	wantCode(t, err, writ.CodeUnauthenticated)
	setRoots(nil)
	_, err = r.Certificate(t.Context(), []*x509.Certificate{leaf})
	wantCode(t, err, writ.CodeUnauthenticated)
}

func TestHostileCertificates(t *testing.T) {
	r, ca, _ := certRig(t)
	stranger := newAuthority(t, r, nil)
	other := issueCert(t, ca, leafTemplate(r))
	usage := func(u x509.KeyUsage) func(*x509.Certificate) { return func(c *x509.Certificate) { c.KeyUsage = u } }
	long := "spiffe://prod.example.com/" + strings.Repeat("a", 2048)
	for name, chain := range map[string][]*x509.Certificate{
		"none":                   nil,
		"another authority":      {workload(t, r, stranger, nil, ciID)},
		"with its authority":     {workload(t, r, stranger, nil, ciID), stranger.cert},
		"beside a good one":      {workload(t, r, stranger, nil, ciID), workload(t, r, ca, nil, ciID)},
		"signed by itself":       {workload(t, r, nil, nil, ciID)},
		"signed by a workload":   {workload(t, r, other, nil, ciID), other.cert},
		"expired":                {workload(t, r, ca, func(c *x509.Certificate) { c.NotAfter = r.now.Add(-time.Second) }, ciID)},
		"not yet":                {workload(t, r, ca, func(c *x509.Certificate) { c.NotBefore = r.now.Add(time.Second) }, ciID)},
		"two URIs":               {workload(t, r, ca, nil, ciID, "spiffe://prod.example.com/bot")},
		"the same URI twice":     {workload(t, r, ca, nil, ciID, ciID)},
		"a URI beside":           {workload(t, r, ca, nil, ciID, "https://ci.example.com")},
		"no URI":                 {workload(t, r, ca, func(c *x509.Certificate) { c.DNSNames = []string{"ci"} })},
		"the id as common name":  {workload(t, r, ca, func(c *x509.Certificate) { c.Subject.CommonName = ciID })},
		"another trust domain":   {workload(t, r, ca, nil, "spiffe://test.example.com/ns/ci/sa/runner")},
		"another scheme":         {workload(t, r, ca, nil, "https://prod.example.com/ns/ci/sa/runner")},
		"no path":                {workload(t, r, ca, nil, "spiffe://prod.example.com")},
		"the root":               {workload(t, r, ca, nil, "spiffe://prod.example.com/")},
		"no rule":                {workload(t, r, ca, nil, ciID+"2")},
		"a slash more":           {workload(t, r, ca, nil, ciID+"/")},
		"two slashes":            {workload(t, r, ca, nil, "spiffe://prod.example.com//ns/ci/sa/runner")},
		"dots":                   {workload(t, r, ca, nil, "spiffe://prod.example.com/x/../ns/ci/sa/runner")},
		"escaped":                {workload(t, r, ca, nil, "spiffe://prod.example.com/ns/c%69/sa/runner")},
		"a port":                 {workload(t, r, ca, nil, "spiffe://prod.example.com:443/ns/ci/sa/runner")},
		"a user":                 {workload(t, r, ca, nil, "spiffe://x@prod.example.com/ns/ci/sa/runner")},
		"a query":                {workload(t, r, ca, nil, ciID+"?x=1")},
		"an empty query":         {workload(t, r, ca, nil, ciID+"?")},
		"a fragment":             {workload(t, r, ca, nil, ciID+"#x")},
		"in upper case":          {workload(t, r, ca, nil, "spiffe://PROD.example.com/ns/ci/sa/runner")},
		"too long":               {workload(t, r, ca, nil, long)},
		"a signing certificate":  {workload(t, r, ca, func(c *x509.Certificate) { c.IsCA = true }, ciID)},
		"that may sign":          {workload(t, r, ca, usage(x509.KeyUsageDigitalSignature|x509.KeyUsageCertSign), ciID)},
		"that may sign CRLs":     {workload(t, r, ca, usage(x509.KeyUsageDigitalSignature|x509.KeyUsageCRLSign), ciID)},
		"that may only encipher": {workload(t, r, ca, usage(x509.KeyUsageKeyEncipherment), ciID)},
		"without use":            {workload(t, r, ca, usage(0), ciID)},
		"for servers alone":      {workload(t, r, ca, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, ciID)},
		"of nobody who is here":  {workload(t, r, ca, nil, "spiffe://prod.example.com/ghost")},
		"the authority's own":    {ca.cert},
		"an unknown one critical": {workload(t, r, ca, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
		}, ciID)},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := r.Certificate(t.Context(), chain)
			wantCode(t, err, writ.CodeUnauthenticated)
			if p != nil || err == nil || err.Error() != notVouched().Error() {
				t.Errorf("got %+v, %v: every refusal reads the same", p, err)
			}
		})
	}
	_, err := newRig(t).Certificate(t.Context(), []*x509.Certificate{workload(t, r, ca, nil, ciID)})
	wantCode(t, err, writ.CodeUnauthenticated)
}

func leafTemplate(r *rig) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "leaf"}, NotBefore: r.now.Add(-time.Hour), NotAfter: r.now.Add(time.Hour),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
	}
}

func TestCertificateRulesThatAreRefused(t *testing.T) {
	ok := CertificateRule{ID: ciID, Principal: "service:ci"}
	for name, c := range map[string]Certificates{
		"no trust domain":        {Rules: []CertificateRule{ok}},
		"a URL as trust domain":  {TrustDomain: "spiffe://prod.example.com"},
		"in upper case":          {TrustDomain: "Prod.example.com"},
		"the zero rule":          {TrustDomain: "prod.example.com", Rules: []CertificateRule{{}}},
		"another domain":         {TrustDomain: "test.example.com", Rules: []CertificateRule{ok}},
		"a whole domain":         {TrustDomain: "prod.example.com", Rules: []CertificateRule{{ID: "spiffe://prod.example.com/", Principal: "service:ci"}}},
		"a pattern":              {TrustDomain: "prod.example.com", Rules: []CertificateRule{{ID: "spiffe://prod.example.com/*", Principal: "service:ci"}}},
		"twice":                  {TrustDomain: "prod.example.com", Rules: []CertificateRule{ok, {ID: ciID, Principal: "service:other"}}},
		"a person":               {TrustDomain: "prod.example.com", Rules: []CertificateRule{{ID: ciID, Principal: "human:ada"}}},
		"a tool":                 {TrustDomain: "prod.example.com", Rules: []CertificateRule{{ID: ciID, Principal: "tool:x"}}},
		"nobody":                 {TrustDomain: "prod.example.com", Rules: []CertificateRule{{ID: ciID}}},
		"a tenant that is none":  {TrustDomain: "prod.example.com", Rules: []CertificateRule{{ID: ciID, Principal: "service:ci", Tenant: "A"}}},
		"one byte more than may": {TrustDomain: strings.Repeat("a", 256)},
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, c.Check(), writ.CodeInvalid) })
	}
	if err := (&Certificates{TrustDomain: "prod.example.com", Rules: []CertificateRule{ok}}).Check(); err != nil {
		t.Error(err)
	}
	r := newRig(t)
	_, err := New(Options{Store: r.journal, Journal: r.journal, Clock: r.clock, Entropy: entropy(1), Certificates: &Certificates{TrustDomain: "a"}})
	wantCode(t, err, writ.CodeInvalid)
}

func FuzzSPIFFE(f *testing.F) {
	for _, seed := range []string{ciID, "spiffe://a/b", "spiffe://a/..", "spiffe://a//b", "spiffe://a/%2e", "https://a/b", "spiffe://a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		domain, ok := trustDomainOf(id)
		if !ok {
			return
		}
		// What is taken has one reading for every parser of URLs.
		u, err := url.Parse(id)
		if err != nil || u.String() != id || u.Host != domain || u.JoinPath().String() != id || u.Path == "" || fmt.Sprintf("spiffe://%s%s", domain, u.Path) != id {
			t.Errorf("%q: %v, %v", id, u, err)
		}
	})
}
