package channel

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// Principals knows who may ask for something here.
type Principals interface {
	// Principal is CodeNotFound for an id that the tenant does not have.
	Principal(ctx context.Context, tenant writ.TenantID, id writ.PrincipalID) (*writ.Principal, error)
}

// Options are what a Service works with. Those without a comment must be set.
type Options struct {
	Store      writ.Store
	Journal    writ.Journal
	Traces     writ.Traces
	Clock      writ.Clock
	Caller     contract.Caller // the operations that messages become
	Principals Principals
	Adapters   []Adapter
	// Secret reads what a provider signs with.
	Secret func(ctx context.Context, tenant writ.TenantID, name string) ([]byte, error)
	// Tenants are those of the host, at each moment.
	Tenants func(ctx context.Context) ([]writ.TenantID, error)

	// Upstreams maps the host of a provider's API to the base URL that serves it; nil: none.
	Upstreams map[string]string
	Client    *http.Client   // with which providers are spoken to; nil: one of this package
	Jitter    func() float64 // from 0 to 1, of how long to wait; nil: random
	Outbox    int            // messages that may wait to be said; 0: 10,000

	PublicURL string       // under which providers reach this host; empty: as each request names it
	Workers   int          // 0: 4
	Pending   int          // deliveries that may wait; 0: a million
	Log       hclog.Logger // nil: none
}

const (
	defaultWorkers = 4
	defaultPending = 1_000_000
	defaultOutbox  = 10_000
)

// Service keeps deliveries and handles them. It is safe for concurrent use.
type Service struct {
	opts     Options
	adapters map[string]Adapter // by provider

	pending atomic.Int64 // deliveries on disk that are not handled
	unsaid  atomic.Int64 // messages on disk that wait to be said

	queueing sync.Mutex // before mu; held while a message gets its place and is appended
	stamped  writ.Time  // the last place

	mu      sync.Mutex
	known   map[writ.TenantID]map[writ.ChannelName]*contract.Channel
	taken   map[place]bool // by a worker, or queued for one
	arrived chan struct{}  // something waits on disk
	done    chan struct{}  // closed, and another made, whenever a delivery or a message came to something
	lanes   map[lane]*laneState
	running *senders // nil: nobody sends
}

// place is where a delivery is kept.
type place struct {
	tenant writ.TenantID
	stream writ.StreamID
}

// New makes a Service. CodeInvalid where an option is missing, or two adapters are of
// one provider.
func New(opts Options) (*Service, error) {
	if opts.Store == nil || opts.Journal == nil || opts.Traces == nil || opts.Clock == nil || opts.Caller == nil ||
		opts.Principals == nil || opts.Secret == nil || opts.Tenants == nil {
		return nil, writ.Errorf(writ.CodeInvalid, "channels", "an option is not set")
	}
	if opts.Workers <= 0 {
		opts.Workers = defaultWorkers
	}
	if opts.Pending <= 0 {
		opts.Pending = defaultPending
	}
	if opts.Outbox <= 0 {
		opts.Outbox = defaultOutbox
	}
	if opts.Jitter == nil {
		opts.Jitter = jitter
	}
	if opts.Log == nil {
		opts.Log = hclog.NewNullLogger()
	}
	s := &Service{
		opts: opts, adapters: map[string]Adapter{}, known: map[writ.TenantID]map[writ.ChannelName]*contract.Channel{},
		taken: map[place]bool{}, arrived: make(chan struct{}, 1), done: make(chan struct{}),
		lanes: map[lane]*laneState{},
	}
	for _, a := range opts.Adapters {
		provider := a.Traits().Provider
		if s.adapters[provider] != nil {
			return nil, writ.Errorf(writ.CodeInvalid, "channels", "two adapters are of %s", provider)
		}
		s.adapters[provider] = a
	}
	return s, nil
}

// keys are what a channel's provider may have signed with.
func (s *Service) keys(ctx context.Context, tenant writ.TenantID, c *contract.Channel) ([][]byte, error) {
	keys := make([][]byte, 0, len(c.Secrets))
	for _, name := range c.Secrets {
		key, err := s.opts.Secret(ctx, tenant, name)
		if err != nil {
			return nil, fmt.Errorf("channel %s: secret %s: %w", c.Name, name, err)
		}
		if len(key) > 0 { // an empty key would be everybody's
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, writ.Errorf(writ.CodeUnavailable, "channel "+string(c.Name), "it has no secret to verify with").WithFix("`writ secret set NAME`, and add the channel with --secret NAME")
	}
	return keys, nil
}
