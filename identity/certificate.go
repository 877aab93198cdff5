package identity

import (
	"context"
	"crypto/x509"
	"fmt"
	"regexp"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// Certificates say whose client certificates count: X.509-SVIDs of one SPIFFE
// trust domain.
type Certificates struct {
	TrustDomain string
	Rules       []CertificateRule
	// Roots are the authorities of the trust domain as they are now.
	Roots func() *x509.CertPool
}

// CertificateRule lets one workload in, as a principal that is here already. The
// zero rule is refused.
type CertificateRule struct {
	ID        string           // spiffe://TRUST-DOMAIN/PATH, exactly
	Principal writ.PrincipalID // service:NAME or agent:NAME
	Tenant    writ.TenantID    // empty: writ.DefaultTenant
}

// Forms of the SPIFFE ID specification, sections 2.1 to 2.3. An id in another
// form (escaped, with dots, in upper case) is not normalised but refused, so
// that equal ids are equal bytes.
var (
	trustDomainForm = regexp.MustCompile(`^[a-z0-9._-]{1,255}$`)
	spiffeForm      = regexp.MustCompile(`^spiffe://([a-z0-9._-]{1,255})((?:/[A-Za-z0-9._-]+)+)$`)
)

const maxSPIFFE = 2048 // bytes

// trustDomainOf gives the trust domain of an id with a path.
func trustDomainOf(id string) (string, bool) {
	if len(id) > maxSPIFFE {
		return "", false
	}
	parts := spiffeForm.FindStringSubmatch(id)
	if parts == nil {
		return "", false
	}
	for segment := range strings.SplitSeq(parts[2], "/") {
		if segment == "." || segment == ".." {
			return "", false
		}
	}
	return parts[1], true
}

// Check is CodeInvalid for what could not mean what it says.
func (c *Certificates) Check() error {
	if !trustDomainForm.MatchString(c.TrustDomain) {
		return invalid("tls.trustDomain", "%q is not a trust domain", writ.Clip(c.TrustDomain, maxName)).WithFix("write it as certificates do: prod.example.com of spiffe://prod.example.com/ci")
	}
	seen := map[string]bool{}
	for i, r := range c.Rules {
		place := fmt.Sprintf("tls.rules[%d]", i)
		domain, ok := trustDomainOf(r.ID)
		kind := kindOf(r.Principal)
		switch {
		case !ok:
			return invalid(place, "%q is not the SPIFFE ID of a workload", writ.Clip(r.ID, maxName)).WithFix("write spiffe://%s/PATH", c.TrustDomain)
		case domain != c.TrustDomain:
			return invalid(place, "%s is of another trust domain than %s", r.ID, c.TrustDomain).WithFix("write spiffe://%s/PATH", c.TrustDomain)
		case seen[r.ID]:
			return invalid(place, "%s has a rule already", r.ID).WithFix("leave one of them out")
		case !principalForm.MatchString(string(r.Principal)) || (kind != writ.Service && kind != writ.Agent):
			return invalid(place, "%q is not the id of a service or an agent", r.Principal).WithFix("write service:NAME; people log in")
		case r.Tenant != "" && !tenantForm.MatchString(string(r.Tenant)):
			return invalid(place, "%q is no tenant's name", r.Tenant).WithFix("see `writ tenant list`")
		}
		seen[r.ID] = true
	}
	return nil
}

// Certificate implements writ.Authenticator. The chain is verified for each
// request and not once for a connection: certificates of workloads live for an
// hour, connections for days. Every refusal reads the same.
func (s *Service) Certificate(ctx context.Context, chain []*x509.Certificate) (*writ.Principal, error) {
	c := s.opts.Certificates
	if c == nil || len(chain) == 0 {
		return nil, notVouched()
	}
	leaf := chain[0]
	id, ok := svid(leaf)
	if domain, valid := trustDomainOf(id); !ok || !valid || domain != c.TrustDomain {
		return nil, notVouched()
	}
	if !s.verifies(c.Roots(), chain) {
		return nil, notVouched()
	}
	for _, r := range c.Rules {
		if r.ID != id {
			continue
		}
		tenant := r.Tenant
		if tenant == "" {
			tenant = writ.DefaultTenant
		}
		p, err := s.principal(ctx, tenant, r.Principal)
		if writ.IsCode(err, writ.CodeNotFound) {
			return nil, notVouched()
		}
		if err != nil {
			return nil, err
		}
		p.Source, p.Strength = "certificate:"+id, writ.StrengthMTLS
		p.Session = "cert_" + canon.SHA256(leaf.Raw).Hex()[:32] // which certificate of this workload
		return p, nil
	}
	return nil, notVouched()
}

// svid is the SPIFFE ID of a leaf: X509-SVID, sections 4 and 5.2.
func svid(leaf *x509.Certificate) (string, bool) {
	const signs = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	if leaf.IsCA || leaf.KeyUsage&signs != 0 || leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 || len(leaf.URIs) != 1 {
		return "", false
	}
	return leaf.URIs[0].String(), true
}

// verifies holds the path to an authority, RFC 5280.
func (s *Service) verifies(roots *x509.CertPool, chain []*x509.Certificate) bool {
	if roots == nil {
		return false // nil would be the system's authorities
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: s.opts.Clock(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err == nil
}

func notVouched() *writ.Error {
	return &writ.Error{
		Code: writ.CodeUnauthenticated, Op: "authenticate", Message: "the client certificate is of nobody here",
		Fix: "ask an operator for a rule in tls.rules and a principal of its name; the certificate must have one URI, of the host's trust domain",
	}
}
