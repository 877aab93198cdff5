//go:build linux

package main

import (
	"encoding/json"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ledger is a server that keeps every request it has seen whole, by
// idempotency key. Now and then it holds its answer back, so that what is
// broken meanwhile is broken between a call and its outcome.
type ledger struct {
	url     string
	server  *http.Server
	holding atomic.Int64

	mu      sync.Mutex // guards what follows
	chance  *rand.Rand
	keys    map[string]*entry
	byToken map[string][]string // token of a body -> keys it came under
}

// entry is what came under one key.
type entry struct {
	method, token string
	requests      int
}

// longestHold is longer than most lives of the daemon.
const longestHold = 300 * time.Millisecond

func openLedger(chance *rand.Rand) (*ledger, error) {
	l := &ledger{chance: chance, keys: map[string]*entry{}, byToken: map[string][]string{}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l.url = "http://" + listener.Addr().String()
	l.server = &http.Server{Handler: l, ReadHeaderTimeout: time.Minute}
	go func() { _ = l.server.Serve(listener) }()
	return l, nil
}

func (l *ledger) close() { _ = l.server.Close() }

// gate lets requests through until it is shut.
type gate struct {
	mu     sync.RWMutex
	closed bool
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

// ServeHTTP implements http.Handler.
func (l *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) { l.serve(w, r, &gate{}) }

// serve notes a request once it is whole, and answers. What comes to a shut gate
// never arrived.
func (l *ledger) serve(w http.ResponseWriter, r *http.Request, g *gate) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender died in the middle of it: there is no effect
	}
	g.mu.RLock()
	if g.closed {
		g.mu.RUnlock()
		panic(http.ErrAbortHandler)
	}
	hold := l.note(r.Header.Get("Idempotency-Key"), r.Method, string(raw))
	g.mu.RUnlock()
	l.holding.Add(1)
	select {
	case <-time.After(hold):
	case <-r.Context().Done():
	}
	l.holding.Add(-1)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{"token": string(raw)})
}

func (l *ledger) note(key, method, token string) (hold time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.keys[key]
	if e == nil {
		e = &entry{method: method, token: token}
		l.keys[key] = e
	}
	e.requests++
	if e.token != token {
		e.token += " and " + token // two bodies under one key: the check shows it
	}
	if !slices.Contains(l.byToken[token], key) {
		l.byToken[token] = append(l.byToken[token], key)
	}
	if l.chance.IntN(2) != 0 {
		return 0
	}
	return time.Duration(l.chance.Int64N(int64(longestHold)))
}

// has says whether the effect with the token took place.
func (l *ledger) has(token string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.byToken[token]) > 0
}

// page is a copy of what a scene's tokens have done.
func (l *ledger) page(tokens map[string]bool) (keys map[string]entry, byToken map[string][]string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	keys, byToken = map[string]entry{}, map[string][]string{}
	for token := range maps.Keys(tokens) {
		for _, key := range l.byToken[token] {
			keys[key] = *l.keys[key]
			byToken[token] = append(byToken[token], key)
		}
	}
	return keys, byToken
}
