package keyless

import (
	"net/url"
	"regexp"
	"strings"
	"unicode"

	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// maxMember bounds each member of an identity: a workflow's name with its ref has
// some 150 bytes.
const maxMember = 512

// Identity says which certificates are meant. A zero one is invalid: nothing
// matches it.
type Identity struct {
	Issuer     string `json:"issuer"`               // of the OIDC token, exactly
	SAN        string `json:"san,omitempty"`        // subject alternative name, exactly; or
	SANPattern string `json:"sanPattern,omitempty"` // a Go regular expression of the whole name
	// SourceRepository is demanded of a certificate as it stands. It must be given
	// for a pattern and for a web address: a workflow may be called from anywhere.
	SourceRepository  string `json:"sourceRepository,omitempty"`
	SourceRef         string `json:"sourceRef,omitempty"`         // such as refs/heads/main; empty: any
	RunnerEnvironment string `json:"runnerEnvironment,omitempty"` // such as github-hosted; empty: any
}

// Check is CodeInvalid where the identity could match what nobody meant.
func (i *Identity) Check() error {
	for name, text := range map[string]string{
		"issuer": i.Issuer, "san": i.SAN, "sanPattern": i.SANPattern, "sourceRepository": i.SourceRepository,
		"sourceRef": i.SourceRef, "runnerEnvironment": i.RunnerEnvironment,
	} {
		if len(text) > maxMember || strings.ContainsFunc(text, unicode.IsControl) {
			return at(name, "want at most %d bytes without control characters", maxMember)
		}
	}
	if !webAddress(i.Issuer) {
		return at("issuer", "%q is not a URL", clip(i.Issuer)).WithFix("give the issuer of the OIDC tokens, such as https://token.actions.githubusercontent.com")
	}
	if (i.SAN == "") == (i.SANPattern == "") {
		return at("san", "want either a name or a pattern").WithFix("give the certificate's subject alternative name: an e-mail address or a workflow's URL")
	}
	if _, err := anchored(i.SANPattern); err != nil {
		return at("sanPattern", "not a regular expression: %s", clip(err.Error()))
	}
	if i.SourceRepository == "" && (i.SANPattern != "" || webAddress(i.SAN)) {
		return at("sourceRepository", "is needed: other repositories may run the same workflow").
			WithFix("give the repository that it is built from, such as https://github.com/acme/skills")
	}
	if i.SourceRepository != "" && !webAddress(i.SourceRepository) {
		return at("sourceRepository", "%q is not a URL", clip(i.SourceRepository)).WithFix("write it as the certificate does, such as https://github.com/acme/skills")
	}
	return nil
}

func at(place, format string, args ...any) *writ.Error {
	e := writ.Errorf(writ.CodeInvalid, "identity", format, args...)
	e.Place = place
	return e
}

func webAddress(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

// anchored is the pattern as one of the whole name. It is compiled by itself
// first: `a)|(?:b` would close the group and leave the anchors to its ends.
func anchored(pattern string) (string, error) {
	if pattern == "" {
		return "", nil
	}
	if _, err := regexp.Compile(pattern); err != nil {
		return "", err
	}
	whole := `^(?:` + pattern + `)$`
	_, err := regexp.Compile(whole)
	return whole, err
}

// ID names the identity within a publisher's trust.
func (i *Identity) ID(publisher string) string {
	raw, err := canon.MarshalJSON(map[string]any{"publisher": publisher, "identity": i})
	if err != nil {
		return "" // strings alone always encode
	}
	return "idn_" + canon.SHA256(raw).Hex()[:32]
}

// String is the identity on one line.
func (i *Identity) String() string {
	name := i.SAN
	if name == "" {
		name = i.SANPattern
	}
	return name + " (" + i.Issuer + ")"
}

// Matcher compares certificates with one identity. The zero Matcher matches nothing.
type Matcher struct{ want *verify.CertificateIdentity }

// Compile makes the identity's matcher. The error is that of Check.
func (i *Identity) Compile() (*Matcher, error) {
	if err := i.Check(); err != nil {
		return nil, err
	}
	pattern, err := anchored(i.SANPattern)
	if err != nil {
		return nil, err
	}
	san, err := verify.NewSANMatcher(i.SAN, pattern)
	if err != nil {
		return nil, err
	}
	issuer, err := verify.NewIssuerMatcher(i.Issuer, "")
	if err != nil {
		return nil, err
	}
	want, err := verify.NewCertificateIdentity(san, issuer, certificate.Extensions{
		SourceRepositoryURI: i.SourceRepository, SourceRepositoryRef: i.SourceRef, RunnerEnvironment: i.RunnerEnvironment,
	})
	return &Matcher{&want}, err
}

// Matches reports whether a verified certificate has the identity.
func (m *Matcher) Matches(c *Claims) bool {
	return m != nil && m.want != nil && c != nil && m.want.Verify(c.summary) == nil
}

// Matches is Compile and Matcher.Matches. What Check refuses matches nothing.
func (i *Identity) Matches(c *Claims) bool {
	m, err := i.Compile()
	return err == nil && m.Matches(c)
}

// clip keeps hostile text in messages short and on one line.
func clip(text string) string { return writ.Clip(text, 200) }
