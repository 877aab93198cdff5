package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/writ-run/writ"
)

const (
	right = "writ_aaaaaaaaaaaaaaaa_" + "right"
	wrong = "writ_aaaaaaaaaaaaaaaa_" + "wrong"
	hello = "192.0.2.1:1000"
)

// keyring knows one token and counts who asks it.
type keyring struct {
	mu    sync.Mutex
	asked int
}

func (k *keyring) Token(_ context.Context, token string) (*writ.Principal, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.asked++; token == right {
		return &writ.Principal{ID: "human:ada", Tenant: "default", Capabilities: []string{"control-plane.audit"}, Strength: writ.StrengthToken}, nil
	}
	return nil, &writ.Error{Code: writ.CodeUnauthenticated, Op: "token", Message: "is not valid"}
}

func (k *keyring) Certificate(context.Context, []*x509.Certificate) (*writ.Principal, error) {
	return nil, &writ.Error{Code: writ.CodeUnauthenticated, Op: "certificate", Message: "is not known"}
}

func (k *keyring) Peer(context.Context, uint32) (*writ.Principal, error) {
	return &writ.Principal{ID: "peer:local", Capabilities: []string{"control-plane.audit"}, Strength: writ.StrengthPeer}, nil
}

// door is a server whose clock stands until a test moves it.
type door struct {
	*Server
	keys keyring
	now  time.Time
}

func newDoor() *door {
	d := &door{now: time.Unix(1_767_225_600, 0)}
	d.Server = NewServer(Options{Auth: &d.keys, Clock: func() time.Time { return d.now }})
	return d
}

// try asks for the metrics, and answers with the status and Retry-After.
func (d *door) try(from, token string) (int, int) {
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.Host, r.RemoteAddr = "localhost", from
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	after, err := strconv.Atoi(w.Header().Get("Retry-After"))
	if err != nil {
		after = 0
	}
	return w.Code, after
}

func (d *door) expect(t *testing.T, from, token string, want [2]int) {
	t.Helper()
	if status, after := d.try(from, token); status != want[0] || after != want[1] {
		t.Errorf("%s with %s: %d, again after %d s; want %d, %d", from, token, status, after, want[0], want[1])
	}
}

// TestWrongTokensWait: thrice for nothing, then a second, two, four, up to a minute.
// What comes too early is refused without being looked at, and does not count.
func TestWrongTokensWait(t *testing.T) {
	d := newDoor()
	for range freeOfToken {
		d.expect(t, hello, wrong, [2]int{401, 0})
	}
	d.expect(t, hello, wrong, [2]int{401, 0}) // the one that begins the delay
	for _, seconds := range []int{1, 2, 4, 8, 16, 32, 60, 60} {
		asked := d.keys.asked
		d.expect(t, hello, wrong, [2]int{429, seconds})
		d.expect(t, hello, right, [2]int{429, seconds}) // from there, it waits as well
		d.now = d.now.Add(time.Duration(seconds)*time.Second - 1)
		d.expect(t, hello, wrong, [2]int{429, 1})
		if d.keys.asked != asked {
			t.Error("what had to wait was looked at")
		}
		d.now = d.now.Add(1)
		d.expect(t, hello, wrong, [2]int{401, 0})
	}
	d.now = d.now.Add(longest)
	d.expect(t, hello, right, [2]int{200, 0})
	d.expect(t, hello, wrong, [2]int{401, 0}) // who has it has shown it: nothing is held against it
	d.expect(t, hello, wrong, [2]int{401, 0})
}

// TestTheRightTokenOfAnotherAddressIsNeverKeptOut: however many guess with its id,
// and also where that address has mistyped it once.
func TestTheRightTokenOfAnotherAddressIsNeverKeptOut(t *testing.T) {
	d := newDoor()
	const holder = "198.51.100.7:1"
	d.expect(t, holder, wrong, [2]int{401, 0})
	for i := range 100 {
		d.try(fmt.Sprintf("203.0.113.%d:1", i%50), wrong)
		d.expect(t, holder, right, [2]int{200, 0})
	}
	// How often others failed makes the delay of each that fails again longer.
	for i := range 20 {
		d.try(fmt.Sprintf("203.0.113.%d:1", 100+i), wrong)
	}
	d.expect(t, "203.0.113.200:1", wrong, [2]int{401, 0})
	d.expect(t, "203.0.113.200:1", wrong, [2]int{429, 60})
}

// TestASourceThatTriesManyIdsWaits: at what is free, and one more.
func TestASourceThatTriesManyIdsWaits(t *testing.T) {
	d := newDoor()
	other := func(i int) string { return fmt.Sprintf("writ_%016d_x", i) }
	for i := range freeOfSource + 1 {
		d.expect(t, hello, other(i), [2]int{401, 0})
	}
	d.expect(t, hello, other(99), [2]int{429, 1})
	d.expect(t, hello, "no token at all", [2]int{401, 0}) // malformed: nothing is tried
	d.expect(t, hello, "opaque", [2]int{429, 1})
	d.expect(t, "192.0.2.2:1000", right, [2]int{200, 0})
	d.now = d.now.Add(time.Second)
	d.expect(t, hello, "opaque", [2]int{401, 0})
	d.expect(t, hello, right, [2]int{429, 2})
	d.now = d.now.Add(forgetAfter)
	for i := range freeOfSource + 1 {
		d.expect(t, hello, other(i), [2]int{401, 0})
	}
}

// TestABadTokenInALoopDoesNotKeepItsNeighboursOut: one that never gives up is asked
// once a minute, and a minute forgives two.
func TestABadTokenInALoopDoesNotKeepItsNeighboursOut(t *testing.T) {
	d := newDoor()
	for range 2 * 3600 {
		d.now = d.now.Add(time.Second)
		d.try("127.0.0.1:1", wrong)
	}
	const neighbour = "writ_bbbbbbbbbbbbbbbb_x"
	if wait := d.throttle.wait(pair{"127.0.0.1", tokenID(neighbour)}); wait != 0 {
		t.Errorf("a neighbour waits %s", wait)
	}
}

func TestSources(t *testing.T) {
	for from, want := range map[string]string{
		"192.0.2.1:1":            "192.0.2.1",
		"[::ffff:192.0.2.1]:1":   "192.0.2.1",
		"[2001:db8:1:2:3::4]:1":  "2001:db8:1:2::/64",
		"[2001:db8:1:2::ff]:9":   "2001:db8:1:2::/64",
		"[fe80::1%eth0]:1":       "fe80::/64",
		"":                       "unknown",
		"nonsense":               "unknown",
		"192.0.2.1":              "192.0.2.1",
		"[2001:db8:1:3::ff]:900": "2001:db8:1:3::/64",
	} {
		if got := sourceOf(&http.Request{RemoteAddr: from}); got != want {
			t.Errorf("%q is %q, want %q", from, got, want)
		}
	}
}

func TestTokenIDs(t *testing.T) {
	for token, want := range map[string]string{
		"writ_acme_aaaaaaaaaaaaaaaa_x": "acme_aaaaaaaaaaaaaaaa", "writ_" + strings.Repeat("a", 32) + "_aaaaaaaaaaaaaaaa_x": strings.Repeat("a", 32) + "_aaaaaaaaaaaaaaaa",
		"writ_" + strings.Repeat("a", 33) + "_aaaaaaaaaaaaaaaa_x": "", "writ_acme_aaaaaaaaaaaaaaaa": "", "writ_aaaaaaaaaaaaaaaa_x_y": "",
		right: "aaaaaaaaaaaaaaaa", "good": "", "": "", "writ_short_x": "", "writ_aaaaaaaaaaaaaaaa": "",
		"writ_" + strings.Repeat("a", 17) + "_x": "", "other_aaaaaaaaaaaaaaaa_x": "",
	} {
		if got := tokenID(token); got != want {
			t.Errorf("%q has the id %q, want %q", token, got, want)
		}
	}
}

// TestMemoryIsBounded: a flood of sources and ids, and the last of them is known.
func TestMemoryIsBounded(t *testing.T) {
	d := newDoor()
	var last pair
	for i := range maxRemembered + 100 {
		d.now = d.now.Add(time.Millisecond)
		last = pair{fmt.Sprint("s", i), fmt.Sprint("t", i)}
		d.throttle.failed(last)
	}
	for name, n := range map[string]int{"sources": len(d.throttle.sources), "tokens": len(d.throttle.tokens), "pairs": len(d.throttle.pairs)} {
		if n != maxRemembered {
			t.Errorf("%d %s, want %d", n, name, maxRemembered)
		}
	}
	if d.throttle.sources[last.source] == nil || d.throttle.pairs[last] == nil {
		t.Error("the last one was forgotten")
	}
}

// TestTheSocketIsThrottledToo: its owner's tokens are, and a peer, who shows none,
// is not.
func TestTheSocketIsThrottledToo(t *testing.T) {
	d := newDoor()
	path := filepath.Join(t.TempDir(), "w.sock")
	l, err := ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Serve(ctx, l) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	ask := func(token string) int {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://socket/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode
	}
	for range freeOfToken + 1 {
		if got := ask(wrong); got != 401 {
			t.Fatalf("got %d", got)
		}
	}
	if got := ask(wrong); got != 429 {
		t.Errorf("got %d", got)
	}
	if got := ask(""); got != 200 {
		t.Errorf("a peer: %d", got)
	}
	d.expect(t, hello, right, [2]int{200, 0})
	if invalid, throttled := d.failures(t, "unix", "invalid"), d.failures(t, "unix", "throttled"); invalid != freeOfToken+1 || throttled != 1 {
		t.Errorf("%v invalid, %v throttled", invalid, throttled)
	}
}

// failures reads the metric.
func (d *door) failures(t *testing.T, door, reason string) float64 {
	t.Helper()
	families, err := d.meters.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	want := prometheus.Labels{"door": door, "reason": reason}
	for _, family := range families {
		if family.GetName() != "writ_authentication_failures_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			fits := true
			for _, label := range m.GetLabel() {
				fits = fits && want[label.GetName()] == label.GetValue()
			}
			if fits {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// TestThrottleUnderLoad: run under -race, and whatever the order, the free attempts
// are a bound on what is looked at while the clock stands.
func TestThrottleUnderLoad(t *testing.T) {
	d := newDoor()
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() {
			for range 50 {
				d.try(fmt.Sprintf("192.0.2.%d:1", i%4), wrong)
			}
		})
	}
	all.Wait()
	// Each of the four may have had all its eight callers at the keys when it was stopped.
	if most := 4 * (freeOfSource + 1 + 8); d.keys.asked > most {
		t.Errorf("%d were looked at, at most %d could be", d.keys.asked, most)
	}
	d.expect(t, "192.0.2.9:1", right, [2]int{200, 0})
}

// TestCertificatesThatFailWait: as many as tokens without an id, and together with
// them.
func TestCertificatesThatFailWait(t *testing.T) {
	d := newDoor()
	come := func() int {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Host, r.RemoteAddr, r.TLS = "localhost", hello, &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{}}}
		w := httptest.NewRecorder()
		d.ServeHTTP(w, r)
		return w.Code
	}
	for range freeOfSource {
		if got := come(); got != 401 {
			t.Fatalf("got %d", got)
		}
	}
	d.expect(t, hello, "opaque", [2]int{401, 0})
	if got := come(); got != 429 {
		t.Errorf("got %d", got)
	}
	d.expect(t, "192.0.2.2:1000", right, [2]int{200, 0})
}

// TestLoginsShareTheirRoom: each source has its own, up to as many as are told apart,
// and the one past that has what all further ones share.
func TestLoginsShareTheirRoom(t *testing.T) {
	now := time.Unix(1_767_225_600, 0)
	h := newThrottle(func() time.Time { return now })
	for i := range maxLogins {
		if wait := h.login(fmt.Sprint(i)); wait != 0 {
			t.Fatalf("source %d waits %s", i, wait)
		}
	}
	for range freeLogins {
		if wait := h.login("one more"); wait != 0 {
			t.Fatalf("waits %s", wait)
		}
	}
	if wait := h.login("another"); wait != loginEvery || len(h.logins) != maxLogins+1 {
		t.Errorf("waits %s, %d are told apart", wait, len(h.logins))
	}
	now = now.Add(freeLogins * loginEvery)
	if wait := h.login("another"); wait != 0 || len(h.logins) != 1 {
		t.Errorf("waits %s, %d are told apart", wait, len(h.logins))
	}
}
