package remote

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// kind is where in the world an address is.
type kind string

const (
	public   kind = "public"
	private  kind = "private"
	loopback kind = "loopback"
	special  kind = "special" // link-local, metadata services, multicast and the like
)

// publicV6 is all of IPv6 that is handed out (RFC 4291 section 2.4, IANA): what maps
// or carries IPv4 is outside of it, or in specialRanges.
var publicV6 = netip.MustParsePrefix("2000::/3")

var privateRanges = parsePrefixes("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")

// specialRanges are of RFC 6890 and its registries, and metadata services elsewhere.
var specialRanges = parsePrefixes(
	"0.0.0.0/8", "168.63.129.16/32", "100.100.100.200/32", "169.254.0.0/16", "192.0.0.0/24", "192.88.99.0/24",
	"224.0.0.0/4", "240.0.0.0/4", "2001::/23", "2002::/16", "fd00:ec2::/32", "fd20:ce::254/128",
)

func parsePrefixes(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		out[i] = netip.MustParsePrefix(text)
	}
	return out
}

func kindOf(addr netip.Addr) kind {
	zoned := addr.Zone() != ""
	addr = addr.Unmap().WithZone("")
	holds := func(p netip.Prefix) bool { return p.Contains(addr) }
	switch {
	case !addr.IsValid() || zoned || slices.ContainsFunc(specialRanges, holds):
		return special
	case addr.IsLoopback():
		return loopback
	case slices.ContainsFunc(privateRanges, holds):
		return private
	case addr.Is6() && !publicV6.Contains(addr):
		return special
	}
	return public
}

// refusedAddress is the error of an address that is not to be reached.
type refusedAddress struct {
	host  string
	kind  kind
	named bool // the reference's own host
}

func (e *refusedAddress) Error() string { return e.host + " is at a " + string(e.kind) + " address" }

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Of one connection: a registry that is slower than this is down.
const (
	dialTimeout = 10 * time.Second
	idleTimeout = 60 * time.Second
)

// dialer connects for one registry. Its own host is where the caller said. Whoever it
// points at, by a redirect or a token service, must be public or of the registry's
// own kind: a registry on the internet leads nobody into the house. What is resolved
// is what is dialled, so a name that changes its mind gains nothing.
type dialer struct {
	own    string // HOST:PORT
	free   bool   // own may be at any address
	lookup func(ctx context.Context, name string) ([]netip.Addr, error)
	dial   dialFunc

	mu      sync.Mutex
	kinds   map[kind]bool // of own, as far as it was dialled
	proxies map[string]bool
}

func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	name, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addrs, err := d.resolve(ctx, name)
	if err != nil {
		return nil, err
	}
	var failed []error
	for _, addr := range addrs {
		if err := d.admit(address, addr); err != nil {
			failed = append(failed, err)
			continue
		}
		timed, cancel := context.WithTimeout(ctx, dialTimeout)
		conn, err := d.dial(timed, network, net.JoinHostPort(addr.String(), port))
		cancel()
		if err == nil {
			return &patientConn{conn}, nil
		}
		failed = append(failed, err)
	}
	return nil, errors.Join(failed...)
}

func (d *dialer) resolve(ctx context.Context, name string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(name); err == nil {
		return []netip.Addr{addr}, nil
	}
	addrs, err := d.lookup(ctx, name)
	if err == nil && len(addrs) == 0 {
		err = &net.DNSError{Err: "no addresses", Name: name, IsNotFound: true}
	}
	return addrs, err
}

func (d *dialer) admit(address string, addr netip.Addr) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	k := kindOf(addr)
	switch {
	case address == d.own && (d.free || k == public):
		d.kinds[k] = true
		return nil
	case d.proxies[address] || k == public || (k != special && d.kinds[k]):
		return nil
	}
	return &refusedAddress{address, k, address == d.own}
}

// usesProxy lets the proxy's own address pass.
func (d *dialer) usesProxy(address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.proxies[address] = true
}

// patientConn gives up on a peer that says nothing for a while.
type patientConn struct{ net.Conn }

func (c *patientConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(idleTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *patientConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(idleTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
