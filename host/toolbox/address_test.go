package toolbox

import (
	"context"
	"errors"
	"net/netip"
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
