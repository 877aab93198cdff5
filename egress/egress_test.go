package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
)

func TestReachable(t *testing.T) {
	public := []string{"1.1.1.1", "8.8.8.8", "140.82.121.3", "100.63.255.255", "100.128.0.0", "172.32.0.1", "2606:4700::1111", "2a00:1450::1", "::ffff:1.1.1.1"}
	private := []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "100.127.255.255", "127.0.0.1", "127.255.255.255",
		"168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1",
		"192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1",
		"64:ff9b::7f00:1", "64:ff9b::1.1.1.1", "64:ff9b:1::7f00:1", "100::1", "2001::1", "2001:20::1", "2001:db8::1",
		"2002:7f00:1::", "2002:a00:1::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1",
		"ff02::1", "ff0e::1", "4000::1", "8000::1", "2606:4700::1111%eth0",
	}
	for _, text := range public {
		if !Reachable(netip.MustParseAddr(text), nil) {
			t.Errorf("%s is public", text)
		}
	}
	for _, text := range private {
		if Reachable(netip.MustParseAddr(text), nil) {
			t.Errorf("%s is not public", text)
		}
	}
	if Reachable(netip.Addr{}, nil) {
		t.Error("the zero address is not public")
	}
	allowed := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
	for text, want := range map[string]bool{"10.1.2.3": true, "::ffff:10.1.2.3": true, "10.2.0.1": false, "127.0.0.1": false, "1.1.1.1": true} {
		if Reachable(netip.MustParseAddr(text), allowed) != want {
			t.Errorf("%s with 10.1.0.0/16 allowed: want %v", text, want)
		}
	}
}

func TestPrefixesAreMasked(t *testing.T) {
	for _, p := range slices.Concat(notPublic, inHouse, metadata, []netip.Prefix{globalUnicast6}) {
		if p != p.Masked() {
			t.Errorf("%s has bits beyond its length", p)
		}
	}
}

func TestPrivate(t *testing.T) {
	for text, want := range map[string]bool{
		"127.0.0.1": true, "10.1.2.3": true, "172.31.0.1": true, "192.168.1.1": true, "100.64.0.1": true, "::1": true, "fd12::1": true, "::ffff:127.0.0.1": true,
		"169.254.169.254": false, "100.100.100.200": false, "fd00:ec2::254": false, "fd20:ce::254": false, "fe80::1": false, "fe80::1%eth0": false,
		"0.0.0.0": false, "::": false, "224.0.0.1": false, "255.255.255.255": false, "168.63.129.16": false, "1.1.1.1": false, "2606:4700::1111": false,
	} {
		if Private(netip.MustParseAddr(text)) != want {
			t.Errorf("%s: want %v", text, want)
		}
	}
	if Private(netip.Addr{}) {
		t.Error("the zero address is not private")
	}
}

// names is a resolver of one answer.
type names []netip.Addr

func (n names) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) { return n, nil }

func TestTheZeroDialerReachesNothing(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	address := listener.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	home := netip.MustParseAddr("127.0.0.1")
	everybody := func(netip.Addr) bool { return true }
	for name, c := range map[string]struct {
		dialer  Dialer
		address string
		want    error
	}{
		"zero":                        {Dialer{}, address, ErrRefused},
		"zero, a name":                {Dialer{}, "localhost:" + port, ErrResolve},
		"a name of no address":        {Dialer{Resolver: names{}, Admit: everybody}, "a.test:" + port, ErrResolve},
		"one of two is refused":       {Dialer{Resolver: names{home, netip.MustParseAddr("169.254.169.254")}, Admit: Private}, "a.test:" + port, ErrRefused},
		"no port":                     {Dialer{Admit: everybody}, "127.0.0.1", ErrConnect},
		"admitted, by its address":    {Dialer{Admit: Private}, address, nil},
		"admitted, by a name of both": {Dialer{Resolver: names{home, home}, Admit: Private}, "a.test:" + port, nil},
	} {
		conn, err := c.dialer.Dial(t.Context(), "tcp", c.address)
		if !errors.Is(err, c.want) || (err == nil) != (conn != nil) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if conn != nil {
			_ = conn.Close()
		}
	}
}
