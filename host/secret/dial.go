package secret

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/writ-run/writ"
)

// Of one connection, beside the time of the whole.
const (
	dialTimeout    = 3 * time.Second
	maxVaultHeader = 64 << 10
)

// Errors of a connection, told apart by identity.
var (
	errAddress = errors.New("the address is not one of a server")
	errPlain   = errors.New("plain http leaves the machine")
	errResolve = errors.New("the name cannot be resolved")
)

// clientOf makes the client of one server.
func clientOf(base *url.URL, ca []byte) (*http.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != nil {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(ca) {
			return nil, writ.Errorf(writ.CodeInvalid, "vault provider", "ca: holds no certificate").WithFix("give a file of PEM certificates")
		}
	}
	d := dialer{plain: base.Scheme == "http"}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: d.dial, TLSClientConfig: config, ForceAttemptHTTP2: true, DisableKeepAlives: true,
			DisableCompression: true, MaxResponseHeaderBytes: maxVaultHeader,
		},
		// A redirect would carry the token to where the operator did not send it.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// dialer connects to a server that the operator named, which may be in the house. What
// was checked is what is dialled.
type dialer struct{ plain bool }

func (d dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, errAddress
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil || len(addrs) == 0 {
		return nil, errResolve
	}
	for _, addr := range addrs {
		if err := d.allowed(addr.Unmap()); err != nil {
			return nil, err
		}
	}
	connector := net.Dialer{Timeout: dialTimeout}
	var conn net.Conn
	for _, addr := range addrs {
		if conn, err = connector.DialContext(ctx, network, net.JoinHostPort(addr.Unmap().String(), port)); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// allowed refuses what no server has, metadata services first of all: they answer on
// link-local addresses.
func (d dialer) allowed(addr netip.Addr) error {
	switch {
	case addr.IsUnspecified(), addr.IsMulticast(), addr.IsLinkLocalUnicast(), addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return errAddress
	case d.plain && !addr.IsLoopback():
		return errPlain
	}
	return nil
}

// silent words an error that came in the place of an answer.
func (v *Vault) silent(ctx context.Context, err error) error {
	var certificate *tls.CertificateVerificationError
	switch {
	case ctx.Err() != nil:
		return providerError(writ.CodeTimeout, "did not answer in "+v.opts.Timeout.String(), "see whether "+v.base.Host+" can be reached from here")
	case errors.Is(err, errPlain):
		return providerError(writ.CodeForbidden, "would get the token unencrypted", "write https in its URL: plain http is for loopback alone")
	case errors.Is(err, errAddress):
		return providerError(writ.CodeForbidden, "is at an address that no server has", "correct its URL, or the name server")
	case errors.Is(err, errResolve):
		return providerError(writ.CodeUnavailable, "has a name that cannot be resolved", "see whether "+v.base.Host+" is its name")
	case errors.As(err, &certificate):
		return providerError(writ.CodeUnavailable, "shows a certificate that is not trusted here", "name the authority's certificates as its ca")
	}
	return providerError(writ.CodeUnavailable, "cannot be reached, or its answer broke off", "see whether "+v.base.Host+" can be reached from here")
}
