// Package hook tells receivers outside of events: one HTTP POST for each, signed as
// Standard Webhooks says, at least once and in the order of the journals. How far a
// hook has come is a document of its tenant's store.
package hook

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/egress"
)

// Bounds of a configuration. Each hook reads the journals by itself.
const (
	MaxHooks = 32
	maxURL   = 2048
)

// Hook is one hook as it is configured.
type Hook struct {
	Name         string
	URL          string        // https, or with AllowPrivate http to an address in the house
	Events       []string      // keys of contract.Events
	Secret       string        // name of the secret with which it signs
	Tenant       writ.TenantID // whose events; empty: the default tenant's
	AllowPrivate bool          // the receiver may be at a private or loopback address
	Link         string        // URL for people, with {executionId} and {stepId}; empty: none
	CA           []byte        // PEM of the receiver's authorities; nil: the system's
}

// Secrets is the part of a secret store that signing needs.
type Secrets interface {
	// Secret is the value in force. The caller overwrites it after use.
	Secret(ctx context.Context, tenant writ.TenantID, name string) ([]byte, error)
	// Known are values by name, those in force and old ones whose time is not over.
	Known(ctx context.Context, tenant writ.TenantID) (map[string][][]byte, error)
}

// Options are what a Service works with. Hooks may be empty; Resolver, Jitter and
// Logger may be nil, all others must be set.
type Options struct {
	Hooks   []Hook
	Store   writ.Store
	Notes   writ.Notes
	Journal writ.Journal
	Traces  writ.Traces
	// Tip is the position of the tenant's last record on disk.
	Tip      func(writ.TenantID) (writ.Position, error)
	Secrets  Secrets
	Clock    writ.Clock
	Resolver egress.Resolver // nil: the system's
	Jitter   func() float64  // in [0, 1); nil: random
	Logger   hclog.Logger    // nil: nothing is logged
}

// Service delivers the events of all hooks. It is safe for concurrent use.
type Service struct {
	opts    Options
	workers []*worker // by name
}

// New makes a service that sends nothing before Run. CodeInvalid where an option is
// missing or a hook is not one.
func New(opts Options) (*Service, error) {
	missing := opts.Store == nil || opts.Notes == nil || opts.Journal == nil || opts.Traces == nil
	if missing || opts.Tip == nil || opts.Secrets == nil || opts.Clock == nil {
		return nil, writ.Errorf(writ.CodeInvalid, "hooks", "an option is not set")
	}
	if len(opts.Hooks) > MaxHooks {
		return nil, writ.Errorf(writ.CodeInvalid, "hooks", "there are %d, at most %d", len(opts.Hooks), MaxHooks).WithFix("let one receiver pass events on")
	}
	if opts.Resolver == nil {
		opts.Resolver = egress.System()
	}
	if opts.Jitter == nil {
		opts.Jitter = rand.Float64
	}
	if opts.Logger == nil {
		opts.Logger = hclog.NewNullLogger()
	}
	s := &Service{opts: opts}
	for i := range opts.Hooks {
		w, err := newWorker(&s.opts, opts.Hooks[i])
		if err != nil {
			return nil, err
		}
		s.workers = append(s.workers, w)
	}
	slices.SortFunc(s.workers, func(a, b *worker) int { return strings.Compare(a.hook.Name, b.hook.Name) })
	for i, w := range s.workers {
		if i > 0 && s.workers[i-1].hook.Name == w.hook.Name {
			return nil, writ.Errorf(writ.CodeInvalid, "hook "+w.hook.Name, "is there twice")
		}
	}
	return s, nil
}

// keepEvery is how much a crash can make be sent again of what was taken: a note is a
// sync, which events would otherwise need one each.
const keepEvery = time.Second

// maxReread is how far a hook reads on over what is nothing to it before its place is
// kept: to read that again takes less time than a sync each second.
const maxReread = 10_000

// Run delivers until ctx ends, and then keeps how far each hook has come.
func (s *Service) Run(ctx context.Context) {
	if len(s.workers) == 0 {
		return
	}
	var running sync.WaitGroup
	for _, w := range s.workers {
		running.Go(func() { w.run(ctx) })
	}
	ticker := time.NewTicker(keepEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		most := writ.Position(maxReread)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			running.Wait()
			most = 0
		}
		for _, w := range s.workers {
			w.keep(context.WithoutCancel(ctx), most)
		}
	}
}

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// check completes h and says what is wrong with it.
func (h *Hook) check() (*url.URL, error) {
	op := fmt.Sprintf("hook %.40q", h.Name)
	if !nameForm.MatchString(h.Name) {
		return nil, writ.Errorf(writ.CodeInvalid, op, "is not a name of a hook").WithFix("use up to 32 lower-case letters, digits and dashes")
	}
	op = "hooks." + h.Name
	if h.Tenant = cmp.Or(h.Tenant, writ.DefaultTenant); !nameForm.MatchString(string(h.Tenant)) {
		return nil, writ.Errorf(writ.CodeInvalid, op, "tenant: %.40q is not a name of a tenant", h.Tenant).WithFix("see `writ tenant list`")
	}
	target, err := h.target(op)
	if err != nil {
		return nil, err
	}
	if h.Secret == "" {
		return nil, writ.Errorf(writ.CodeInvalid, op, "names no secret to sign with").WithFix("write secret: NAME, and set it with `writ secret set NAME`")
	}
	if len(h.Events) == 0 {
		return nil, writ.Errorf(writ.CodeInvalid, op, "is for no events").WithFix("write events: [%s]", contract.EventApprovalRequested)
	}
	for _, key := range h.Events {
		if _, ok := contract.LookupEvent(key); ok {
			continue
		}
		unknown := writ.Errorf(writ.CodeInvalid, op, "there is no event %.80q", key)
		if near := contract.NearestEvent(key); near != "" {
			return nil, unknown.WithFix("did you mean %s?", near)
		}
		return nil, unknown.WithFix("docs/contracts/events.md lists them, such as %s", contract.EventApprovalRequested)
	}
	return target, h.checkLink(op)
}

// target never repeats a URL in an error: its path may be a credential.
func (h *Hook) target(op string) (*url.URL, error) {
	u, err := url.Parse(h.URL)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || len(h.URL) > maxURL || (u.Scheme != "https" && u.Scheme != "http"):
		return nil, writ.Errorf(writ.CodeInvalid, op, "has no URL of a receiver").WithFix("write url: https://hooks.example.com/writ")
	case u.User != nil || u.Fragment != "":
		return nil, writ.Errorf(writ.CodeInvalid, op, "its URL holds a user or a fragment").WithFix("leave them out: what is sent is signed")
	case u.Scheme == "http" && !h.AllowPrivate:
		return nil, writ.Errorf(writ.CodeInvalid, op, "would send in the clear").WithFix("write https; http is for a receiver in the house, with allowPrivate: true")
	}
	return u, nil
}

func (h *Hook) checkLink(op string) error {
	if h.Link == "" {
		return nil
	}
	filled := placeholders.Replace(h.Link)
	u, err := url.Parse(filled)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || len(h.Link) > maxURL || strings.ContainsAny(filled, "{}") {
		return writ.Errorf(writ.CodeInvalid, op, "its link is no URL").WithFix("write link: https://console.example.com/executions/{executionId}; there is {stepId} too")
	}
	return nil
}

// find is the hook of this name of the tenant: those of others are nobody's.
func (s *Service) find(tenant writ.TenantID, name string) (*worker, error) {
	for _, w := range s.workers {
		if w.hook.Name == name && w.hook.Tenant == tenant {
			return w, nil
		}
	}
	return nil, writ.Errorf(writ.CodeNotFound, "hook "+writ.Clip(name, 80), "there is no hook of this name").WithFix("see `writ hook list`; the configuration makes them")
}
