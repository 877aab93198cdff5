// Package api is the HTTP door: every contract is one POST, the events are one
// stream, and everything else describes the host. It authenticates, bounds and
// logs requests; what an operation does is behind a contract.Caller.
package api

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// Options configure a Server. The zero value serves documents and health, and
// refuses everything else.
type Options struct {
	Caller contract.Caller    // operations; nil: all are unavailable
	Auth   writ.Authenticator // nil: nobody is anybody
	Traces writ.Traces        // events; nil: unavailable
	Logins writ.Logins        // sessions for people; nil: unavailable
	// Ready says why the host cannot serve yet; nil: it can.
	Ready func(ctx context.Context) error
	// Hosts are the names, without port, under which TCP clients may address this
	// host besides the loopback ones. Any other Host header is refused, so that a
	// web page cannot rebind its own name to this host.
	Hosts []string
	// Routes are served beside the table of this package: other doors.
	Routes []Route

	MaxBody        int64         // bytes; 0: contract.DefaultMaxInput
	MaxInFlight    int           // requests at a time, streams apart; 0: 512
	MaxStreams     int           // event streams at a time; 0: 256
	RequestTimeout time.Duration // of an operation; 0: 2 minutes
	BodyTimeout    time.Duration // until the body has arrived; 0: 30 seconds
	DrainTimeout   time.Duration // for what is in flight at shutdown; 0: 30 seconds
	Heartbeat      time.Duration // of event streams; 0: 15 seconds

	Log     hclog.Logger         // nil: none
	Metrics *prometheus.Registry // nil: one of its own
	// Findings are those of drift by code, for /metrics; nil: there are none.
	Findings func() map[contract.DriftCode]int
	// Hooks are the notification hooks in numbers, for /metrics; nil: there are none.
	Hooks func() contract.HookMeters
	// Channels are what comes in by them, in numbers; nil: there are none.
	Channels func() contract.ChannelMeters
	Clock    writ.Clock // nil: the system's
	Entropy  io.Reader  // of request ids; nil: crypto/rand
}

// Server is the HTTP door. It is an http.Handler for requests that come over a
// listener of Serve; over any other, callers are TCP clients.
type Server struct {
	opts     Options
	hosts    map[string]bool
	routes   []Route
	mux      *http.ServeMux
	meters   *meters
	throttle *throttle
	flights  chan struct{}
	streams  chan struct{}

	stopping chan struct{} // closed when shutdown begins
	stopOnce sync.Once
}

// NewServer makes a Server.
func NewServer(opts Options) *Server {
	opts = opts.withDefaults()
	s := &Server{
		opts: opts, hosts: map[string]bool{}, mux: http.NewServeMux(), meters: newMeters(&opts),
		flights: make(chan struct{}, opts.MaxInFlight), streams: make(chan struct{}, opts.MaxStreams),
		stopping: make(chan struct{}), throttle: newThrottle(opts.Clock),
	}
	for _, host := range opts.Hosts {
		s.hosts[strings.ToLower(strings.TrimSuffix(host, "."))] = true
	}
	s.routes = append(s.table(), opts.Routes...)
	for _, route := range s.routes {
		s.mux.Handle(route.Method+" "+route.Pattern, s.guard(route))
	}
	s.mux.Handle("/", s.guard(Route{Pattern: "/", Permission: Public, Handler: s.unknown}))
	return s
}

func (o Options) withDefaults() Options {
	orInt := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	orTime := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	if o.MaxBody <= 0 {
		o.MaxBody = contract.DefaultMaxInput
	}
	orInt(&o.MaxInFlight, 512)
	orInt(&o.MaxStreams, 256)
	orTime(&o.RequestTimeout, 2*time.Minute)
	orTime(&o.BodyTimeout, 30*time.Second)
	orTime(&o.DrainTimeout, 30*time.Second)
	orTime(&o.Heartbeat, 15*time.Second)
	if o.Log == nil {
		o.Log = hclog.NewNullLogger()
	}
	if o.Metrics == nil {
		o.Metrics = prometheus.NewRegistry()
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Entropy == nil {
		o.Entropy = rand.Reader
	}
	return o
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Serve answers on the listeners, TCP or Unix, until ctx ends. Then it takes no
// more connections, ends the event streams, waits for the requests in flight at
// most DrainTimeout and returns nil; CodeTimeout where some had to be cut. The
// failure of one listener ends all.
func (s *Server) Serve(ctx context.Context, listeners ...net.Listener) error {
	if len(listeners) == 0 {
		return writ.Errorf(writ.CodeInvalid, "api", "there is no listener").WithFix("name an address or a socket")
	}
	hs := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		// Streams move this deadline with every write.
		WriteTimeout:   s.opts.BodyTimeout + s.opts.RequestTimeout + writeWait,
		IdleTimeout:    2 * time.Minute,
		MaxHeaderBytes: 64 << 10, // the largest honest header is a 4 KiB token
		ConnContext:    connContext,
		ErrorLog:       s.opts.Log.Named("http").StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
	}
	failed := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { failed <- hs.Serve(l) }()
	}
	var cause error
	ended := 0
	select {
	case <-ctx.Done():
	case cause = <-failed:
		ended++
	}
	err := s.drain(ctx, hs)
	for ; ended < len(listeners); ended++ {
		<-failed
	}
	if cause != nil && !errors.Is(cause, http.ErrServerClosed) {
		return writ.Errorf(writ.CodeUnavailable, "api: listener", "%w", cause)
	}
	return err
}

func (s *Server) drain(ctx context.Context, hs *http.Server) error {
	s.stopOnce.Do(func() { close(s.stopping) })
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.DrainTimeout)
	defer cancel()
	if err := hs.Shutdown(ctx); err != nil {
		if cerr := hs.Close(); cerr != nil {
			s.opts.Log.Warn("close", "error", cerr)
		}
		return writ.Errorf(writ.CodeTimeout, "api: shutdown", "requests were cut after %s", s.opts.DrainTimeout)
	}
	return nil
}

func (s *Server) stopped() bool {
	select {
	case <-s.stopping:
		return true
	default:
		return false
	}
}
