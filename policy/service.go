package policy

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"github.com/writ-run/writ"
)

// Options are what a Service needs.
type Options struct {
	Dir      string // where bundles are kept by digest; created with mode 0700
	Store    writ.Store
	Journal  writ.Journal
	Traces   writ.Traces   // for Explain alone
	Clock    writ.Clock    // of the records
	Tenant   writ.TenantID // empty: writ.DefaultTenant
	Deadline time.Duration // of one decision; zero: DefaultDeadline
	// Keys are public keys in PEM, by the operator's name for them. Empty: no
	// bundle but the binary's own can be activated.
	Keys map[string]string
}

// Service keeps bundles and says which decide: one for the organisation and, once
// one is activated there, one for the tenant. It implements writ.Judges.
type Service struct {
	dir      string
	store    writ.Store
	journal  writ.Journal
	traces   writ.Traces
	clock    writ.Clock
	tenant   writ.TenantID
	deadline time.Duration
	keys     map[string]string
	builtin  *Bundle
	recorded recorded

	active    atomic.Pointer[law]
	switching sync.RWMutex // held while an activation is recorded: its epoch never judges under the law before

	mu     sync.Mutex // guards what follows, and orders activations
	judges map[writ.Digest]*Policy
	laws   map[writ.Digest]*law // of more than one bundle
	proved map[writ.Digest]bool // bundles that this process has found fit
}

var _ writ.Judges = (*Service)(nil)

// Open compiles the bundles that are active. It refuses to fall back to others:
// CodeNotFound where one of them is gone, CodeTampered where it differs from its
// digest, CodeInvalid where an option is missing.
func Open(ctx context.Context, o Options) (*Service, error) {
	if o.Dir == "" || o.Store == nil || o.Journal == nil || o.Clock == nil {
		return nil, writ.Errorf(writ.CodeInvalid, "policy service", "Dir, Store, Journal and Clock must be set")
	}
	if o.Tenant == "" {
		o.Tenant = writ.DefaultTenant
	}
	builtin, err := DefaultBundle()
	if err != nil {
		return nil, err
	}
	s := &Service{
		dir: o.Dir, store: o.Store, journal: o.Journal, traces: o.Traces, clock: o.Clock, tenant: o.Tenant,
		deadline: o.Deadline, keys: o.Keys, builtin: builtin, judges: map[writ.Digest]*Policy{}, laws: map[writ.Digest]*law{}, proved: map[writ.Digest]bool{},
	}
	// A later binary has another bundle; the traces of this one name it all the same.
	if err := s.keep(builtin); err != nil {
		return nil, err
	}
	var parts []part
	for _, layer := range bundleLayers {
		current, err := s.current(ctx, layer)
		if err != nil {
			return nil, err
		}
		judge, err := s.judgeIn(ctx, layer, current)
		if err != nil {
			return nil, err
		}
		if judge != nil {
			parts = append(parts, part{layer, judge})
		}
	}
	inForce, err := newLaw(parts)
	if err != nil {
		return nil, err
	}
	if err := s.keepLaw(inForce); err != nil {
		return nil, err
	}
	s.active.Store(inForce)
	return s, nil
}

// judgeIn is the judge of a layer's activation: without one that of the binary
// for the organisation, and nil for the tenant.
func (s *Service) judgeIn(ctx context.Context, layer writ.Layer, a *activation) (*Policy, error) {
	switch {
	case a != nil:
		return s.judgeOf(ctx, a.Digest)
	case layer == writ.LayerOrganisation:
		return s.judgeOf(ctx, s.builtin.digest)
	}
	return nil, nil
}

// Active implements writ.Judges.
func (s *Service) Active() writ.Judge {
	s.switching.RLock()
	defer s.switching.RUnlock()
	return s.active.Load()
}

// ByDigest implements writ.Judges, for bundles and for lists of layers.
// CodeTampered where what is kept differs from its digest.
func (s *Service) ByDigest(ctx context.Context, digest writ.Digest) (writ.Judge, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	layers, err := s.lawOf(ctx, digest)
	switch {
	case err != nil:
		return nil, err
	case layers != nil:
		return layers, nil
	}
	judge, err := s.judgeOf(ctx, digest)
	if err != nil {
		return nil, err
	}
	return judge, nil
}

// activation is the document of what is active in a layer, of what was before,
// and of when a bundle was last activated.
type activation struct {
	Digest  writ.Digest      `json:"digest"`
	Version string           `json:"version"`
	At      writ.Time        `json:"at"`
	By      writ.PrincipalID `json:"by"`
	Signer  string           `json:"signer"`
	Depth   int              `json:"depth,omitempty"` // how many a rollback can go back
}

func decodeActivation(raw []byte) (*activation, error) {
	var a activation
	if err := json.Unmarshal(raw, &a); err != nil || !a.Digest.Valid() || a.Depth < 0 {
		return nil, writ.Errorf(writ.CodeTampered, "policy service", "the document of an activation does not decode")
	}
	return &a, nil
}

// Documents. Without the first of a layer the binary's bundle decides for the
// organisation, and nothing is said for the tenant.
const (
	activePrefix  = "policy/active"   // of the organisation; with /tenant of the tenant
	bundlePrefix  = "policy/bundle/"  // HEX, when it was last activated; HEX/tenant
	historyPrefix = "policy/history/" // LAYER/DEPTH: what a rollback goes back to
)

// keyIn names the organisation's documents as they were before there were layers.
func keyIn(key string, layer writ.Layer) string {
	if layer == writ.LayerOrganisation {
		return key
	}
	return key + "/" + string(layer)
}

// current is nil where nothing is activated in the layer.
func (s *Service) current(ctx context.Context, layer writ.Layer) (*activation, error) {
	return s.activationAt(ctx, keyIn(activePrefix, layer))
}

// activationAt is nil where there is no such document.
func (s *Service) activationAt(ctx context.Context, key string) (*activation, error) {
	raw, err := s.store.Get(ctx, s.tenant, key)
	if writ.IsCode(err, writ.CodeNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return decodeActivation(raw)
}
