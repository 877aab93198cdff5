package toolbox

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/writ-run/writ/abi"
)

// Resolver turns a host name into addresses; *net.Resolver is one. It is an
// interface so that tests can answer as a hostile name server does.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

func systemResolver() Resolver { return &net.Resolver{PreferGo: true} }

// connectTimeout bounds one address, so that a dead first one leaves time for
// the second.
const connectTimeout = 5 * time.Second

// globalUnicast6 is all of IPv6 that is handed out (RFC 4291 section 2.4, IANA).
// Loopback, mapped and compatible IPv4, NAT64, unique local, link-local and
// multicast addresses are outside of it.
var globalUnicast6 = netip.MustParsePrefix("2000::/3")

// notPublic are the special-purpose ranges (RFC 6890 and its registries) and
// what else must not be reached by a guest.
var notPublic = prefixes(
	"0.0.0.0/8",        // this host
	"10.0.0.0/8",       // private
	"100.64.0.0/10",    // carrier-grade NAT; Alibaba's metadata service
	"127.0.0.0/8",      // loopback
	"168.63.129.16/32", // Azure's host agent, in the midst of public space
	"169.254.0.0/16",   // link-local; the metadata services
	"172.16.0.0/12",    // private
	"192.0.0.0/24",     // protocol assignments; Oracle's metadata service
	"192.0.2.0/24",     // documentation
	"192.88.99.0/24",   // 6to4 relays
	"192.168.0.0/16",   // private
	"198.18.0.0/15",    // benchmarks
	"198.51.100.0/24",  // documentation
	"203.0.113.0/24",   // documentation
	"224.0.0.0/4",      // multicast
	"240.0.0.0/4",      // reserved, broadcast
	"2001::/23",        // protocol assignments; Teredo and ORCHID carry other addresses
	"2001:db8::/32",    // documentation
	"2002::/16",        // 6to4 carries an IPv4 address
	"3fff::/20",        // documentation
)

func prefixes(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		out[i] = netip.MustParsePrefix(text)
	}
	return out
}

// reachable reports whether a guest may reach the address: it is public, or in
// a range that the operator allowed.
func reachable(addr netip.Addr, allowed []netip.Prefix) bool {
	if addr.Zone() != "" {
		return false
	}
	addr = addr.Unmap()
	holds := func(p netip.Prefix) bool { return p.Contains(addr) }
	if slices.ContainsFunc(allowed, holds) {
		return true
	}
	if addr.Is6() && !globalUnicast6.Contains(addr) {
		return false
	}
	return addr.IsValid() && !slices.ContainsFunc(notPublic, holds)
}

// checkHost admits an IP address in its canonical form or a DNS name. A name
// whose last label is a number is what inet_aton would take for an address
// ("127.1", "0x7f000001", "2130706433"), so it is neither.
func checkHost(host string) *abi.Failure {
	if _, err := netip.ParseAddr(host); err == nil && !strings.Contains(host, "%") {
		return nil
	}
	bad := failInvalid("the host is neither an address in its usual form nor a DNS name", "write an internationalised name in its ASCII form (xn--...)")
	name := strings.TrimSuffix(host, ".")
	if name == "" || len(name) > 253 {
		return bad
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return bad
		}
	}
	last := labels[len(labels)-1]
	if strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") {
		return bad
	}
	return nil
}

// Errors of the dialer, told apart by identity.
var (
	errResolve = errors.New("the host's name cannot be resolved")
	errPrivate = errors.New("the host's address is not public")
	errConnect = errors.New("the host cannot be reached")
)

// dialer resolves, checks and connects in one go: the address that was checked
// is the one that is dialled, so a name that changes its mind gains nothing.
type dialer struct {
	resolver Resolver
	allowed  []netip.Prefix
	exempt   bool // an upstream that the operator named
}

func (d *dialer) dial(ctx context.Context, _, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, errConnect
	}
	addrs, err := d.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	// One address that is not public spoils the answer: a name that points to
	// both sides is how rebinding looks.
	for _, addr := range addrs {
		if !d.exempt && !reachable(addr, d.allowed) {
			return nil, errPrivate
		}
	}
	for _, addr := range addrs {
		connector := net.Dialer{Timeout: connectTimeout, KeepAlive: -1}
		conn, err := connector.DialContext(ctx, "tcp", net.JoinHostPort(addr.Unmap().String(), port))
		if err == nil {
			return conn, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return nil, errConnect
}

func (d *dialer) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	addrs, err := d.resolver.LookupNetIP(ctx, "ip", host)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil || len(addrs) == 0 {
		return nil, errResolve
	}
	return addrs, nil
}
