package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/writ-run/writ/egress"
)

// TestWhereChannelsConnect: to no address in the house that the operator has not named.
func TestWhereChannelsConnect(t *testing.T) {
	var mu sync.Mutex
	var from []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		from = append(from, r.RemoteAddr)
	}))
	t.Cleanup(server.Close)
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	get := func(c *http.Client) error {
		response, err := c.Get(server.URL)
		if err == nil {
			err = response.Body.Close()
		}
		return err
	}
	reachable := func(c *config) func(netip.Addr) bool {
		private, err := c.private()
		if err != nil {
			t.Fatal(err)
		}
		return func(addr netip.Addr) bool { return egress.Reachable(addr, private) }
	}
	for _, private := range [][]string{nil, {"10.0.0.0/8"}} {
		if err := get(talksTo(reachable(&config{Private: private}))); !errors.Is(err, egress.ErrRefused) {
			t.Errorf("%v: %v", private, err)
		}
	}
	if len(from) != 0 {
		t.Fatalf("%q came", from)
	}
	for name, c := range map[string]*http.Client{"an upstream": talksTo(nil), "allowed": talksTo(reachable(&config{Private: []string{"127.0.0.0/8"}}))} {
		if err := errors.Join(get(c), get(c)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	slices.Sort(from)
	if len(from) != 4 || len(slices.Compact(from)) != 4 {
		t.Errorf("a connection was held: %q", from)
	}
}
