// Package egress connects to hosts that somebody else named, and says which addresses
// such a connection may go to.
package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"
)

// Resolver turns a host name into addresses; *net.Resolver is one. It is an
// interface so that tests can answer as a hostile name server does.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// System is the resolver of the machine.
func System() Resolver { return &net.Resolver{PreferGo: true} }

// connectTimeout bounds one address, so that a dead first one leaves time for
// the second.
const connectTimeout = 5 * time.Second

// globalUnicast6 is all of IPv6 that is handed out (RFC 4291 section 2.4, IANA).
// Loopback, mapped and compatible IPv4, NAT64, unique local, link-local and
// multicast addresses are outside of it.
var globalUnicast6 = netip.MustParsePrefix("2000::/3")

// notPublic are the special-purpose ranges (RFC 6890 and its registries) and
// what else must not be reached.
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

// Reachable reports whether what is not trusted may reach the address: it is public,
// or in a range that the operator allowed.
func Reachable(addr netip.Addr, allowed []netip.Prefix) bool {
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

// Private reports whether the address is one of a network in the house: loopback,
// RFC 1918, RFC 6598 or a unique local one. Metadata services are not, wherever they
// answer.
func Private(addr netip.Addr) bool {
	if addr.Zone() != "" {
		return false
	}
	addr = addr.Unmap()
	holds := func(p netip.Prefix) bool { return p.Contains(addr) }
	return slices.ContainsFunc(inHouse, holds) && !slices.ContainsFunc(metadata, holds)
}

// inHouse are the ranges of Private.
var inHouse = prefixes("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")

// metadata are services of clouds that hand out credentials inside those ranges.
var metadata = prefixes("100.100.100.200/32", "fd00:ec2::/32", "fd20:ce::254/128")

// Errors of a Dialer, told apart by identity.
var (
	ErrResolve = errors.New("the host's name cannot be resolved")
	ErrRefused = errors.New("the host's address is not public")
	ErrConnect = errors.New("the host cannot be reached")
)

// Dialer resolves, checks and connects in one go: the address that was checked
// is the one that is dialled, so a name that changes its mind gains nothing. The
// zero Dialer reaches nothing.
type Dialer struct {
	Resolver Resolver
	Admit    func(netip.Addr) bool // nil: none
}

// Dial has the form of net.Dialer.DialContext, for TCP. Its errors are the three
// above, or those of ctx.
func (d *Dialer) Dial(ctx context.Context, _, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, ErrConnect
	}
	addrs, err := d.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	// One address that is not public spoils the answer: a name that points to
	// both sides is how rebinding looks.
	for _, addr := range addrs {
		if d.Admit == nil || !d.Admit(addr) {
			return nil, ErrRefused
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
	return nil, ErrConnect
}

func (d *Dialer) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	if d.Resolver == nil {
		return nil, ErrResolve
	}
	addrs, err := d.Resolver.LookupNetIP(ctx, "ip", host)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil || len(addrs) == 0 {
		return nil, ErrResolve
	}
	return addrs, nil
}
