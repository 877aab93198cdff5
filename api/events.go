package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// writeWait is how long a reader of the stream may be stuck before it is dropped:
// it can come back where it was.
const writeWait = 30 * time.Second

// events answers GET /v1/events: the tenant's CloudEvents as server-sent events,
// from the position after Last-Event-ID on. ?executionId= shows one execution.
func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	if s.opts.Traces == nil || s.stopped() {
		return writ.Errorf(writ.CodeUnavailable, "events", "the host is stopping or keeps no traces").WithFix("try again later")
	}
	after, err := lastEventID(r)
	if err != nil {
		return err
	}
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("X-Accel-Buffering", "no") // or a proxy would hold the events back
	v := visitOf(r)
	st := &stream{
		w: w, control: http.NewResponseController(w), clock: s.opts.Clock, only: r.URL.Query().Get("executionId"),
		names: namer{traces: s.opts.Traces, tenant: v.principal.Tenant, known: map[writ.StreamID]*writ.Execution{}},
	}
	if err := st.comment("writ"); err != nil {
		return aborted(err)
	}
	s.meters.streams.Inc()
	defer s.meters.streams.Dec()
	return s.follow(r.Context(), v, st, after)
}

func lastEventID(r *http.Request) (writ.Position, error) {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, writ.Errorf(writ.CodeInvalid, "Last-Event-ID", "is not a position").
			WithFix("send the id of an event of this stream, or leave the header out")
	}
	return writ.Position(n), nil
}

// follow moves records from the feed to the stream. The feed runs beside it, so
// that a heartbeat, a shutdown and a revoked token are noticed while nothing
// happens.
func (s *Server) follow(ctx context.Context, v *visit, st *stream, after writ.Position) error {
	ctx, cancel := context.WithCancel(ctx)
	records, ended := make(chan *writ.Stored), make(chan error, 1)
	go func() {
		ended <- s.opts.Traces.Feed(ctx, v.principal.Tenant, after, func(rec *writ.Stored) error {
			select {
			case records <- rec:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	running := true
	defer func() {
		cancel()
		if running {
			<-ended
		}
	}()
	beat := time.NewTicker(s.opts.Heartbeat)
	defer beat.Stop()
	for {
		select {
		case rec := <-records:
			if err := st.record(ctx, rec); err != nil {
				return aborted(err)
			}
		case <-beat.C:
			if err := s.stillAllowed(ctx, v); err != nil {
				return err
			}
			if err := st.comment("beat"); err != nil {
				return aborted(err)
			}
		case err := <-ended:
			running = false
			return quiet(err)
		case <-s.stopping:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// stillAllowed authenticates again: a stream must not outlive its token.
func (s *Server) stillAllowed(ctx context.Context, v *visit) error {
	p, err := v.again(ctx)
	if err != nil {
		return err
	}
	if p.ID != v.principal.ID || p.Tenant != v.principal.Tenant {
		return writ.Errorf(writ.CodeForbidden, "events", "the credential is somebody else's now")
	}
	for _, have := range p.Capabilities {
		if have == contract.CapAudit {
			return nil
		}
	}
	return writ.Errorf(writ.CodeForbidden, "events", "the capability was withdrawn")
}

// quiet: a feed that ends because its reader has gone is no failure.
func quiet(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// stream writes server-sent events.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	clock   writ.Clock
	only    string // stream to show; empty: all
	names   namer
}

func (st *stream) record(ctx context.Context, rec *writ.Stored) error {
	if st.only != "" && st.only != string(rec.Stream) {
		return nil
	}
	list := contract.EventsOf(rec, st.names.of(ctx, rec))
	for i := range list {
		data, err := json.Marshal(&list[i])
		if err != nil {
			return err
		}
		// Only the last event of a record carries the id, so that a reader who was
		// cut between two of them gets both again.
		id := ""
		if i == len(list)-1 {
			id = fmt.Sprintf("id: %d\n", rec.Position)
		}
		if err := st.send(fmt.Sprintf("%sevent: %s\ndata: %s\n\n", id, list[i].Type, data)); err != nil {
			return err
		}
	}
	return nil
}

func (st *stream) comment(text string) error { return st.send(": " + text + "\n\n") }

func (st *stream) send(text string) error {
	if err := st.control.SetWriteDeadline(st.clock().Add(writeWait)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := st.w.Write([]byte(text)); err != nil {
		return err
	}
	return st.control.Flush()
}

// namer finds the execution whose steps a record names. It keeps a few, since
// a step's name and skill do not change.
type namer struct {
	traces writ.Traces
	tenant writ.TenantID
	known  map[writ.StreamID]*writ.Execution
}

// maxKnown bounds the memory of one stream; an execution is some kilobytes.
const maxKnown = 64

func (n *namer) of(ctx context.Context, rec *writ.Stored) *writ.Execution {
	if rec.Step == "" || rec.Stream == writ.SystemStream {
		return nil
	}
	exec := n.known[rec.Stream]
	if exec != nil && exec.Step(string(rec.Step)) != nil {
		return exec
	}
	exec, err := n.traces.Execution(ctx, n.tenant, writ.ExecutionID(rec.Stream))
	if err != nil {
		return nil // the event is whole without the names
	}
	if len(n.known) >= maxKnown {
		clear(n.known)
	}
	n.known[rec.Stream] = exec
	return exec
}
