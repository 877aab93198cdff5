package channel

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/intent"
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
	Freezes    writ.Freezes
	Adapters   []Adapter
	Notes      writ.Notes // of the documents that ask.go names
	// Tip is the position of a tenant's last record on disk.
	Tip func(tenant writ.TenantID) (writ.Position, error)
	// Attest signs for the host that a person said a word in a channel.
	Attest func(ctx context.Context, p *writ.Principal, word writ.Word, via *writ.Via) ([]byte, error)
	// Secret reads what a provider signs with, to verify something. Peek does the same
	// to see whether it is there.
	Secret, Peek func(ctx context.Context, tenant writ.TenantID, name string) ([]byte, error)
	// Tenants are those of the host, at each moment.
	Tenants func(ctx context.Context) ([]writ.TenantID, error)

	// Books has the phrases of the tenants' skills; nil: nothing is meant by words.
	Books *intent.Books
	// May reports whether a live grant of a principal reaches what an action needs, for
	// help alone; nil: nothing is listed.
	May func(ctx context.Context, p *writ.Principal, release *writ.Release, action string) bool

	// Upstreams maps the host of a provider's API to the base URL that serves it; nil: none.
	Upstreams map[string]string
	Client    *http.Client   // with which providers are spoken to at home; nil: one of this package
	Upstream  *http.Client   // and at what stands in for their home; nil: one of this package
	Jitter    func() float64 // from 0 to 1, of how long to wait; nil: random
	Outbox    int            // messages of a channel that may wait to be said; 0: 10,000

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

	pending  atomic.Int64 // deliveries on disk that are not handled
	repeated atomic.Uint64
	unsaid   atomic.Int64  // messages on disk that wait to be said
	given    atomic.Int64  // messages on disk that were given up
	followed chan struct{} // an execution is to be followed

	asking   sync.Mutex // held while people are asked about an execution, before queueing
	telling  sync.Mutex // held while a thread is told how an execution goes, before queueing
	queueing sync.Mutex // before mu; held while a message gets its place and is appended
	stamped  writ.Time  // the last place

	mu      sync.Mutex
	told    map[string]told // by tenant and document
	known   map[writ.TenantID]map[writ.ChannelName]*contract.Channel
	rings   map[ringOf]ring
	tally   map[writ.DeliveryStatus]uint64
	taken   map[place]bool // by a worker, queued for one, or in a row
	rows    map[thread]*row
	firsts  map[place]thread // of the rows
	moved   []thread         // whose first was handled
	arrived chan struct{}    // something waits on disk
	done    chan struct{}    // closed, and another made, whenever a delivery or a message came to something
	lanes   map[lane]*laneState
	depths  map[lane]int // messages that wait
	running *senders     // nil: nobody sends
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
		opts.Principals == nil || opts.Freezes == nil || opts.Notes == nil || opts.Tip == nil || opts.Attest == nil || opts.Secret == nil || opts.Peek == nil || opts.Tenants == nil {
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
		followed: make(chan struct{}, 1), told: map[string]told{}, lanes: map[lane]*laneState{}, depths: map[lane]int{},
		rings: map[ringOf]ring{}, tally: map[writ.DeliveryStatus]uint64{}, taken: map[place]bool{}, rows: map[thread]*row{}, firsts: map[place]thread{}, arrived: make(chan struct{}, 1), done: make(chan struct{}),
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

// Meters are the channels in numbers.
func (s *Service) Meters() contract.ChannelMeters {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := contract.ChannelMeters{
		Waiting: s.pending.Load(), Repeated: s.repeated.Load(), Unsaid: s.unsaid.Load(), GivenUp: s.given.Load(), Messages: map[writ.DeliveryStatus]uint64{},
	}
	for _, status := range []writ.DeliveryStatus{writ.DeliverySubmitted, writ.DeliveryIgnored, writ.DeliveryRefused, writ.DeliveryAnswered, writ.DeliveryDecided} {
		m.Messages[status] = s.tally[status]
	}
	return m
}

// keys are what a channel's provider may have signed with.
func (s *Service) keys(ctx context.Context, tenant writ.TenantID, c *contract.Channel) ([][]byte, error) {
	return keysBy(ctx, s.opts.Peek, tenant, c)
}

func keysBy(ctx context.Context, read func(context.Context, writ.TenantID, string) ([]byte, error), tenant writ.TenantID, c *contract.Channel) ([][]byte, error) {
	keys := make([][]byte, 0, len(c.Secrets))
	for _, name := range c.Secrets {
		key, err := read(ctx, tenant, name)
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

// ringOf is a channel, and ring its keys as they were read in an epoch of its tenant.
type (
	ringOf struct {
		tenant  writ.TenantID
		channel writ.ChannelName
	}
	ring struct {
		keys  [][]byte
		epoch uint64
		until writ.Time
	}
)

// ringLasts bounds how long the keys of a ring are believed: setting a secret moves the
// epoch, and what others keep changes without a word.
const ringLasts = 30 * time.Second

// ring is keys for who verifies. The store of secrets is a sealed file, and whoever
// knows a URL can have it verified.
func (s *Service) ring(ctx context.Context, tenant writ.TenantID, c *contract.Channel) ([][]byte, error) {
	epoch, err := s.opts.Journal.Epoch(ctx, tenant)
	if err != nil {
		return nil, err
	}
	of, now := ringOf{tenant, c.Name}, s.opts.Clock.Now()
	s.mu.Lock()
	r := s.rings[of]
	s.mu.Unlock()
	if r.keys != nil && r.epoch == epoch && now < r.until {
		return r.keys, nil
	}
	keys, err := keysBy(ctx, s.opts.Secret, tenant, c)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.rings[of] = ring{keys, epoch, now.Add(ringLasts)}
	s.mu.Unlock()
	return keys, nil
}
