package hook

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

// prefix of the documents; the hook's name follows.
const prefix = "hook/"

// maxLetters bounds the list of what was given up: a letter has some 500 bytes.
const maxLetters = 100

// state is a hook's document.
type state struct {
	Config      writ.Digest           `json:"config"` // of the hook that wrote it
	Cursor      writ.Position         `json:"cursor"`
	Disabled    bool                  `json:"disabled,omitempty"`
	Pending     *contract.HookPending `json:"pending,omitempty"`
	Answers     int                   `json:"answers,omitempty"` // of those attempts, how many the receiver itself turned down
	Failure     *contract.HookFailure `json:"failure,omitempty"`
	NextAt      writ.Time             `json:"nextAt,omitempty"`
	Delivered   uint64                `json:"delivered,omitempty"`
	DeliveredAt writ.Time             `json:"deliveredAt,omitempty"`
	Dead        []contract.HookLetter `json:"dead,omitempty"`
	DeadFrom    writ.Position         `json:"deadFrom,omitempty"` // of the oldest that was given up, listed or not
	DeadTotal   uint64                `json:"deadTotal,omitempty"`
}

// settle forgets the event that the hook stood at.
func (s *state) settle() { s.Pending, s.Answers, s.Failure, s.NextAt = nil, 0, nil, 0 }

func (s *state) status() contract.HookStatus {
	switch {
	case s.Disabled:
		return contract.HookDisabled
	case s.Pending != nil && s.Pending.Attempts > 0:
		return contract.HookFailing
	}
	return contract.HookActive
}

// sentBack forgets what was given up after the cursor: it is sent again.
func (s *state) sentBack(cursor writ.Position) {
	s.Cursor, s.Disabled = cursor, false
	s.settle()
	before := len(s.Dead)
	s.Dead = slices.DeleteFunc(slices.Clone(s.Dead), func(l contract.HookLetter) bool { return l.Position > cursor })
	s.DeadTotal -= uint64(before - len(s.Dead))
	if cursor < s.DeadFrom || s.DeadTotal == 0 {
		s.Dead, s.DeadTotal, s.DeadFrom = nil, 0, 0
	}
}

// worker delivers for one hook.
type worker struct {
	opts   *Options
	hook   Hook
	target *url.URL
	client *http.Client
	kinds  map[writ.RecordType]bool
	wants  map[string]bool
	config writ.Digest

	mu    sync.Mutex    // held while the state is written, under no other
	state *state        // nil: not read yet
	dirty bool          // it is not what is stored, but for the cursor
	saved writ.Position // the cursor that is stored
	turn  int           // counts how often the hook was sent back: what an earlier turn knows does not count
	stop  context.CancelFunc
	tally map[outcome]uint64
}

func newWorker(opts *Options, h Hook) (*worker, error) {
	target, err := h.check()
	if err != nil {
		return nil, err
	}
	w := &worker{opts: opts, hook: h, target: target, tally: map[outcome]uint64{}}
	w.kinds, w.wants = h.wanted()
	if w.client, err = h.client(target, opts.Resolver); err != nil {
		return nil, err
	}
	raw, err := canon.MarshalJSON(&h)
	if err != nil {
		return nil, writ.Errorf(writ.CodeInvalid, "hook "+h.Name, "%w", err)
	}
	w.config = canon.SHA256(raw)
	return w, nil
}

// load reads the state where it was not read yet. A hook that is new begins at what
// comes from now on; one that was configured anew tries at once what it stood at. mu
// is held.
func (w *worker) load(ctx context.Context) error {
	if w.state != nil {
		return nil
	}
	s := &state{}
	raw, err := w.opts.Store.Get(ctx, w.hook.Tenant, prefix+w.hook.Name)
	switch {
	case writ.IsCode(err, writ.CodeNotFound):
		if s.Cursor, err = w.opts.Tip(w.hook.Tenant); err != nil {
			return err
		}
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(raw, s); err != nil {
			return &writ.Error{Code: writ.CodeTampered, Op: prefix + w.hook.Name, Message: "the document cannot be read", Err: err, Fix: "restore the store from a backup"}
		}
	}
	if s.Config != w.config {
		s.Config, s.Disabled, w.dirty = w.config, false, true
		s.settle()
	}
	w.state, w.saved = s, s.Cursor
	return nil
}

const noteTimeout = 10 * time.Second

// write stores the state. mu is held.
func (w *worker) write(ctx context.Context) error {
	change, err := w.change()
	if err == nil {
		// Also when the daemon stops, which a disk that hangs must not keep from it.
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
		defer cancel()
		err = w.opts.Notes.Note(bounded, w.hook.Tenant, change)
	}
	if w.dirty = err != nil; !w.dirty {
		w.saved = w.state.Cursor
	}
	return err
}

func (w *worker) change() (writ.Change, error) {
	raw, err := canon.MarshalJSON(w.state)
	return writ.Change{Key: prefix + w.hook.Name, Value: raw}, err
}

// keep stores what is not stored yet: what came of events, and a cursor that has gone
// on by more than most.
func (w *worker) keep(ctx context.Context, most writ.Position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state == nil || (!w.dirty && w.state.Cursor <= w.saved+most) {
		return
	}
	if err := w.write(ctx); err != nil {
		w.opts.Logger.Error("how far a hook has come cannot be kept", "hook", w.hook.Name, "code", writ.CodeOf(err))
	}
}

// errTurn ends a turn: the hook was sent back, or disabled.
var errTurn = errors.New("the hook goes on elsewhere")

// restAfterFault is how long a hook rests whose journals cannot be read.
const restAfterFault = time.Minute

// run follows the journals until ctx ends.
func (w *worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := w.follow(ctx); err != nil && !errors.Is(err, errTurn) && ctx.Err() == nil {
			w.opts.Logger.Error("a hook cannot follow the journals", "hook", w.hook.Name, "code", writ.CodeOf(err))
			pause(ctx, restAfterFault)
		}
	}
}

// follow is one turn: from where the hook stands until it is sent back.
func (w *worker) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t, after, disabled, err := w.begin(ctx, cancel)
	if err != nil {
		return err
	}
	if disabled {
		<-ctx.Done()
		return nil
	}
	err = w.opts.Traces.Feed(ctx, w.hook.Tenant, after, func(rec *writ.Stored) error { return w.record(ctx, t, rec) })
	if ctx.Err() != nil {
		return nil // it ends, or was sent back
	}
	return err
}

func (w *worker) begin(ctx context.Context, cancel context.CancelFunc) (turn int, after writ.Position, disabled bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.load(ctx); err != nil {
		return 0, 0, false, err
	}
	w.stop = cancel
	if w.dirty { // a hook that is new: where it begins must not move with a restart
		err = w.write(ctx)
	}
	return w.turn, w.state.Cursor, w.state.Disabled, err
}

// alter changes the state where the turn is still the same one. What must not be
// forgotten is stored at once.
func (w *worker) alter(ctx context.Context, turn int, now bool, fn func(*state)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.turn != turn {
		return errTurn
	}
	fn(w.state)
	if now {
		return w.write(ctx)
	}
	w.dirty = true
	return nil
}

// pass goes on to the next record.
func (w *worker) pass(turn int, position writ.Position) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.turn != turn {
		return errTurn
	}
	w.state.Cursor = position
	return nil
}

// record delivers what a record means to the hook.
func (w *worker) record(ctx context.Context, turn int, rec *writ.Stored) error {
	if w.kinds[rec.Type] {
		var exec *writ.Execution
		if rec.Stream != writ.SystemStream {
			// What a step is called is not in each record. The event is whole without.
			exec, _ = w.opts.Traces.Execution(ctx, w.hook.Tenant, writ.ExecutionID(rec.Stream))
		}
		for _, e := range contract.EventsOf(rec, exec) {
			if !w.wants[e.Type] {
				continue
			}
			body, err := w.messageOf(rec, &e, exec)
			if err != nil {
				return err
			}
			if err := w.deliver(ctx, turn, &parcel{rec, &e, body}); err != nil {
				return err
			}
		}
	}
	return w.pass(turn, rec.Position)
}

// parcel is one event on its way.
type parcel struct {
	rec   *writ.Stored
	event *writ.Event
	body  []byte
}

// deliver sends an event until it is taken or given up. Those behind it wait.
func (w *worker) deliver(ctx context.Context, turn int, p *parcel) error {
	for {
		if err := w.due(ctx, turn, p); err != nil {
			return err
		}
		r := w.attempt(ctx, p.event.ID, p.body)
		if ctx.Err() != nil && r.outcome != delivered {
			return ctx.Err()
		}
		done, err := w.after(ctx, turn, p, &r)
		if done || err != nil {
			return err
		}
	}
}

// due waits until the event may be tried (again). What is pending from before a
// restart goes on where it was.
func (w *worker) due(ctx context.Context, turn int, p *parcel) error {
	w.mu.Lock()
	if w.turn != turn {
		w.mu.Unlock()
		return errTurn
	}
	if have := w.state.Pending; have == nil || have.EventID != p.event.ID {
		w.state.settle()
		w.state.Pending = &contract.HookPending{EventID: p.event.ID, Type: p.event.Type, Position: p.rec.Position, Since: w.opts.Clock.Now()}
	}
	at := w.state.NextAt
	w.mu.Unlock()
	if d := at.Std().Sub(w.opts.Clock()); at != 0 && d > 0 {
		pause(ctx, d)
	}
	return ctx.Err()
}

// pause ends early with ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// after notes what came of an attempt, and whether the event is done with.
func (w *worker) after(ctx context.Context, turn int, p *parcel, r *result) (done bool, err error) {
	log := w.opts.Logger.With("hook", w.hook.Name, "event", p.event.ID, "type", p.event.Type)
	n, givenUp := 0, false
	err = w.alter(ctx, turn, r.outcome != delivered, func(s *state) {
		w.tally[r.outcome]++
		s.Pending.Attempts++
		n = s.Pending.Attempts
		if r.outcome == refused || r.outcome == fault {
			s.Answers++
		}
		givenUp = r.exhausted(s.Answers)
		switch {
		case r.outcome == delivered:
			s.settle()
			s.Cursor = p.rec.Position
			s.Delivered, s.DeliveredAt = s.Delivered+1, w.opts.Clock.Now()
		case r.outcome == gone:
			s.Disabled, s.Failure, s.NextAt = true, r.failure, 0
		case givenUp:
			s.bury(p, n, r.failure)
			s.settle()
			s.Cursor = p.rec.Position
		default:
			s.Failure, s.NextAt = r.failure, w.opts.Clock.Now().Add(w.wait(n, r))
		}
	})
	switch {
	case err != nil:
		return false, err
	case r.outcome == delivered:
		log.Debug("an event was delivered", "attempt", n, "status", r.status)
		return true, nil
	case r.outcome == gone:
		log.Warn("the receiver is gone: the hook is disabled until it is configured anew")
		return false, errTurn
	case givenUp:
		log.Error("an event was given up", "attempts", n, "status", r.status, "code", r.failure.Code)
		return true, nil
	}
	log.Warn("an event was not taken", "attempt", n, "status", r.status, "code", r.failure.Code, "message", r.failure.Message)
	return false, nil
}

// bury puts an event on the list of what was given up.
func (s *state) bury(p *parcel, attempts int, failure *contract.HookFailure) {
	letter := contract.HookLetter{EventID: p.event.ID, Type: p.event.Type, Position: p.rec.Position, Attempts: attempts, Failure: *failure}
	if p.rec.Stream != writ.SystemStream {
		letter.ExecutionID = writ.ExecutionID(p.rec.Stream)
	}
	s.DeadTotal++
	if s.DeadFrom == 0 || p.rec.Position < s.DeadFrom {
		s.DeadFrom = p.rec.Position
	}
	s.Dead = append(s.Dead, letter)
	if n := len(s.Dead); n > maxLetters {
		s.Dead = s.Dead[n-maxLetters:]
	}
}
