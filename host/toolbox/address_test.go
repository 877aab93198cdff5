package toolbox

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
)

// answers is a resolver that gives the i-th answer to the i-th question, and the
// last one from then on. It has none at all where it is empty.
type answers struct {
	list [][]string
	next *counter
}

type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) take() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return c.n - 1
}

func resolving(list ...[]string) answers { return answers{list: list, next: &counter{}} }

func (a answers) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	if len(a.list) == 0 {
		return nil, errors.New("no such host")
	}
	var out []netip.Addr
	for _, text := range a.list[min(a.next.take(), len(a.list)-1)] {
		out = append(out, netip.MustParseAddr(text))
	}
	return out, nil
}

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
		if !reachable(netip.MustParseAddr(text), nil) {
			t.Errorf("%s is public", text)
		}
	}
	for _, text := range private {
		if reachable(netip.MustParseAddr(text), nil) {
			t.Errorf("%s is not public", text)
		}
	}
	if reachable(netip.Addr{}, nil) {
		t.Error("the zero address is not public")
	}
	allowed := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
	for text, want := range map[string]bool{"10.1.2.3": true, "::ffff:10.1.2.3": true, "10.2.0.1": false, "127.0.0.1": false, "1.1.1.1": true} {
		if reachable(netip.MustParseAddr(text), allowed) != want {
			t.Errorf("%s with 10.1.0.0/16 allowed: want %v", text, want)
		}
	}
}

func TestCheckHost(t *testing.T) {
	good := []string{"example.com", "example.com.", "a", "a_b.example", "xn--bcher-kva.example", "1.1.1.1", "::1", "::ffff:127.0.0.1", "1a.example", "3com"}
	bad := []string{
		"", ".", "a..b", ".a", "2130706433", "127.1", "0177.0.0.1", "017700000001", "0x7f000001", "0x7f.1", "127.0.0.1.", "127.0.0.0x1", "1.2.3.4.5", "999.1.1.1",
		"exämple.com", "ⓛocalhost", "127。0。0。1", "a b", "a%2eb", "fe80::1%eth0", "[::1]", "a/b", "a@b", "-\x00",
	}
	for _, host := range good {
		if failure := checkHost(host); failure != nil {
			t.Errorf("%q: %v", host, failure)
		}
	}
	for _, host := range bad {
		if checkHost(host) == nil {
			t.Errorf("%q passes", host)
		}
	}
}

func TestPrefixesAreMasked(t *testing.T) {
	for _, p := range slices.Concat(notPublic, []netip.Prefix{globalUnicast6}) {
		if p != p.Masked() {
			t.Errorf("%s has bits beyond its length", p)
		}
	}
}
