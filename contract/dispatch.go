package contract

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// DefaultMaxInput is the size of an input that no option changes: a skill bundle
// of 48 MiB is not sent through an operation, a typical one of 4 MiB is, and
// base64 adds a third.
const DefaultMaxInput = 8 << 20

// Caller makes calls by key: the Dispatcher in this process, the client of
// package api in another.
type Caller interface {
	// Call returns the output's JSON, or a *writ.Error.
	Call(ctx context.Context, key string, in json.RawMessage) (json.RawMessage, error)
}

// DispatcherOptions configure a Dispatcher; the zero value works.
type DispatcherOptions struct {
	MaxInput int64      // bytes; 0: DefaultMaxInput
	Clock    writ.Clock // nil: the system's
}

// Dispatcher checks every call against its contract and hands it to the handler
// that is bound to it. Bind everything before the first Call.
type Dispatcher struct {
	maxInput int64
	clock    writ.Clock

	mu       sync.RWMutex // guards handlers
	handlers map[string]handler
}

type handler struct {
	contract *Contract
	call     func(ctx context.Context, raw json.RawMessage) (any, error)
}

// NewDispatcher makes a Dispatcher without handlers: it refuses every call.
func NewDispatcher(opts DispatcherOptions) *Dispatcher {
	d := &Dispatcher{maxInput: opts.MaxInput, clock: opts.Clock, handlers: map[string]handler{}}
	if d.maxInput <= 0 {
		d.maxInput = DefaultMaxInput
	}
	if d.clock == nil {
		d.clock = time.Now
	}
	return d
}

// Bind gives an operation its handler. Binding twice is a fault of the wiring
// and panics.
func Bind[In, Out any](d *Dispatcher, op *Operation[In, Out], h func(ctx context.Context, in *In) (*Out, error)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, twice := d.handlers[op.Key]; twice {
		panic("contract: " + op.Key + " is bound twice")
	}
	call := func(ctx context.Context, raw json.RawMessage) (any, error) {
		in := new(In)
		if err := json.Unmarshal(raw, in); err != nil {
			return nil, decodeError(op.Key, err)
		}
		out, err := h(ctx, in)
		if err != nil {
			return nil, err
		}
		if out == nil {
			return nil, writ.Errorf(writ.CodeInternal, op.Key, "the handler gave no output")
		}
		return out, nil
	}
	d.handlers[op.Key] = handler{contract: op.Contract, call: call}
}

// Unbound lists the keys of All that have no handler, sorted.
func (d *Dispatcher) Unbound() []string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var keys []string
	for _, c := range All() {
		if _, ok := d.handlers[c.Key]; !ok {
			keys = append(keys, c.Key)
		}
	}
	slices.Sort(keys)
	return keys
}

// Call implements Caller. CodeNotFound for a key that is no contract,
// CodeUnavailable for one without a handler, CodeUnauthenticated without a
// caller in ctx, CodeForbidden where its capability, role or strength does not
// do, CodeTooLarge and CodeInvalid for the input; otherwise what the handler says.
func (d *Dispatcher) Call(ctx context.Context, key string, raw json.RawMessage) (json.RawMessage, error) {
	c, ok := Lookup(key)
	if !ok {
		return nil, unknownKey(key)
	}
	p, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.Permits(p); err != nil {
		return nil, err
	}
	d.mu.RLock()
	h, ok := d.handlers[key]
	d.mu.RUnlock()
	if !ok {
		return nil, writ.Errorf(writ.CodeUnavailable, key, "this host does not serve the operation").
			WithFix("start the part that serves it, or ask another host")
	}
	if raw, err = d.input(c, raw); err != nil {
		return nil, err
	}
	out, err := h.call(ctx, raw)
	if err != nil {
		return nil, err
	}
	return d.output(key, out)
}

func (d *Dispatcher) input(c *Contract, raw json.RawMessage) (json.RawMessage, error) {
	if int64(len(raw)) > d.maxInput {
		return nil, writ.Errorf(writ.CodeTooLarge, c.Key, "the input has %d bytes, more than %d", len(raw), d.maxInput).
			WithFix("send less, or name a path on the server instead of the bytes")
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		raw = json.RawMessage("{}")
	}
	if err := canon.CheckJSON(raw); err != nil {
		return nil, ingressError(c.Key, err)
	}
	return raw, c.CheckInput(raw)
}

func (d *Dispatcher) output(key string, out any) (json.RawMessage, error) {
	if r, ok := out.(interface{ result() *Result }); ok {
		r := r.result()
		if r.Status == "" {
			r.Status = "ok"
		}
		if r.ChangedAt == 0 {
			r.ChangedAt = d.clock.Now()
		}
	}
	fillLists(out)
	raw, err := json.Marshal(out)
	if err != nil {
		return nil, writ.Errorf(writ.CodeInternal, key, "encode the output: %w", err)
	}
	return raw, nil
}

// Invoke makes a typed call through any Caller.
func Invoke[In, Out any](ctx context.Context, c Caller, op *Operation[In, Out], in *In) (*Out, error) {
	raw, err := json.Marshal(in)
	if err != nil {
		return nil, writ.Errorf(writ.CodeInvalid, op.Key, "encode the input: %w", err)
	}
	answer, err := c.Call(ctx, op.Key, raw)
	if err != nil {
		return nil, err
	}
	out := new(Out)
	if err := json.Unmarshal(answer, out); err != nil {
		return nil, writ.Errorf(writ.CodeInternal, op.Key, "decode the output: %w", err)
	}
	return out, nil
}

func unknownKey(key string) error {
	err := writ.Errorf(writ.CodeNotFound, "operation", "there is no contract %q", clip(key))
	if near := Nearest(key, Keys()); near != "" {
		return err.WithFix("did you mean %s?", near)
	}
	return err.WithFix("`writ contract list` shows what there is")
}

func ingressError(key string, err error) error {
	out := writ.Errorf(writ.CodeInvalid, key, "%w", err)
	var input *canon.InputError
	if errors.As(err, &input) {
		out.Place = input.Path
		out.Details = map[string]any{"reason": input.Reason, "offset": input.Offset}
	}
	return out.WithFix("send one JSON object in UTF-8, each key once, integers within 2^53-1")
}

// decodeError is for what the schema lets pass and the Go type does not: a
// number that does not fit, a time that is none.
func decodeError(key string, err error) error {
	out := writ.Errorf(writ.CodeInvalid, key, "%w", err)
	var typed *json.UnmarshalTypeError
	if errors.As(err, &typed) {
		out.Message = fmt.Sprintf("%s: a JSON %s does not fit", typed.Field, typed.Value)
		out.Place = "/" + typed.Field
	}
	return out.WithFix("`writ contract show %s` has the input's schema", key)
}
