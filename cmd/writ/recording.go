package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/engine"
	"github.com/writ-run/writ/host"
)

// recording is one run of an action in a rehearsal with all that it depends on, as
// a file that an author keeps beside the skill.
type recording struct {
	APIVersion string          `json:"apiVersion"` // writ/v1
	Kind       string          `json:"kind"`       // Recording
	Skill      string          `json:"skill"`      // publisher/name@version that ran
	Module     writ.Digest     `json:"module"`
	Action     string          `json:"action"`
	Input      json.RawMessage `json:"input"`
	Seed       []byte          `json:"seed"`
	Clock      writ.Time       `json:"clock"`
	Calls      []recordedCall  `json:"calls"`
	Output     json.RawMessage `json:"output,omitempty"`
	Failure    *abi.Failure    `json:"failure,omitempty"`
	Fuel       uint64          `json:"fuel"`
}

// recordedCall is one tool call. A denied one never reached its tool.
type recordedCall struct {
	Tool      string          `json:"tool"`
	Arguments json.RawMessage `json:"arguments"`
	Denied    bool            `json:"denied,omitempty"`
	Outcome   writ.Outcome    `json:"outcome,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Failure   *abi.Failure    `json:"failure,omitempty"`
	Labels    []writ.Label    `json:"labels,omitempty"`
	At        writ.Time       `json:"at,omitempty"` // of the answer
}

const (
	recordingVersion = "writ/v1"
	recordingKind    = "Recording"
	maxRecording     = 64 << 20 // 10000 calls of a small answer each, or a few large ones
)

// parseRecording refuses what no run has written. CodeInvalid.
func parseRecording(name string, raw []byte) (*recording, error) {
	if err := checkJSON(name, raw); err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	rec := &recording{}
	if err := decoder.Decode(rec); err != nil {
		return nil, usage("%s: %s", name, err).WithFix("record it again: writ skill run ACTION INPUT --record %s", name)
	}
	wrong := ""
	switch {
	case rec.APIVersion != recordingVersion || rec.Kind != recordingKind:
		wrong = fmt.Sprintf("it is %q %q, not %s %s", rec.APIVersion, rec.Kind, recordingVersion, recordingKind)
	case len(rec.Seed) != sha256.Size:
		wrong = fmt.Sprintf("the seed has %d bytes, not %d", len(rec.Seed), sha256.Size)
	case rec.Action == "" || len(rec.Input) == 0:
		wrong = "the action or its input is missing"
	case len(rec.Calls) > host.MaxCalls:
		wrong = fmt.Sprintf("it has %d calls, more than %d", len(rec.Calls), host.MaxCalls)
	case (len(rec.Output) == 0) == (rec.Failure == nil):
		wrong = "want either an output or a failure"
	case rec.Clock <= 0:
		wrong = "the clock is missing"
	}
	for i := range rec.Calls {
		if c := &rec.Calls[i]; wrong == "" && (c.Tool == "" || len(c.Arguments) == 0) {
			wrong = fmt.Sprintf("call %d has no tool or no arguments", i)
		}
	}
	if wrong != "" {
		return nil, usage("%s: %s", name, wrong).WithFix("record it again: writ skill run ACTION INPUT --record %s", name)
	}
	return rec, nil
}

// record writes what an execution of a rehearsal was.
func (a *app) record(ctx context.Context, r *rehearsal, x *contract.Execution, file string) error {
	rec, err := r.recording(ctx, x)
	if err != nil {
		return err
	}
	raw, err := json.MarshalIndent(rec, "", "  ")
	if err != nil {
		return err
	}
	if err := replaceFile(file, append(raw, '\n')); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(a.err, "recorded %s: %d calls, %d fuel\n", file, len(rec.Calls), rec.Fuel)
	return nil
}

// recording reads the last attempt of the one step from the journal.
func (r *rehearsal) recording(ctx context.Context, x *contract.Execution) (*recording, error) {
	stream := writ.StreamID(x.ExecutionID)
	records, err := r.home.journal.Records(ctx, writ.RecordQuery{Tenant: r.agent.Tenant, Stream: stream})
	if err != nil {
		return nil, err
	}
	read, err := r.home.journal.Payloads(ctx, r.agent.Tenant, stream)
	if err != nil {
		return nil, err
	}
	step := &x.Steps[0]
	b := &recorder{read: read, rec: &recording{
		APIVersion: recordingVersion, Kind: recordingKind, Skill: string(step.Skill) + "@" + step.Version, Action: step.Action, Calls: []recordedCall{},
	}}
	for i := range records {
		if record := &records[i].Record; record.Step == step.ID {
			b.note(record)
		}
	}
	return b.rec, b.err
}

// recorder turns records into a recording.
type recorder struct {
	rec  *recording
	read writ.PayloadReader
	err  error
}

func (b *recorder) payload(r *writ.Record, name string) []byte {
	ref, ok := r.Payload(name)
	if !ok || b.err != nil {
		return nil
	}
	var data []byte
	data, b.err = b.read(ref)
	return data
}

func (b *recorder) note(r *writ.Record) {
	rec := b.rec
	switch r.Type {
	case writ.RecStepStarted:
		rec.Module, rec.Clock, rec.Calls = r.Body.Started.Module, r.Body.Started.Clock, []recordedCall{}
		rec.Input, rec.Seed = b.payload(r, writ.PayloadInput), b.payload(r, writ.PayloadSeed)
	case writ.RecToolCalled:
		rec.Calls = append(rec.Calls, recordedCall{Tool: r.Body.Call.Tool, Arguments: b.payload(r, writ.PayloadArguments)})
	case writ.RecToolDenied:
		rec.Calls = append(rec.Calls, recordedCall{
			Tool: r.Body.Call.Tool, Arguments: b.payload(r, writ.PayloadArguments), Denied: true, Failure: r.Body.Call.Failure, At: r.Time,
		})
	case writ.RecToolReturned:
		if i := r.Body.Call.Sequence - 1; i >= 0 && i < len(rec.Calls) {
			c := &rec.Calls[i]
			c.Outcome, c.Failure, c.Labels, c.At = r.Body.Call.Outcome, r.Body.Call.Failure, r.Body.Call.Labels, r.Time
			c.Result = b.payload(r, writ.PayloadResult)
		}
	case writ.RecStepCompleted:
		rec.Output, rec.Fuel = b.payload(r, writ.PayloadOutput), r.Body.Ended.Fuel
	case writ.RecStepFailed:
		rec.Failure, rec.Fuel = r.Body.Ended.Failure, r.Body.Ended.Fuel
	}
}

// playback is a recording in the place of the world: its clock, its seed and its
// tools. It answers the recorded calls in their order and no other one.
type playback struct {
	rec *recording

	mu   sync.Mutex
	time time.Time
	next int
}

func newPlayback(rec *recording) *playback { return &playback{rec: rec, time: rec.Clock.Std()} }

// now is the recorded clock, which moves on with each answer.
func (s *playback) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.time
}

// Read gives the recorded seed where the engine draws one, and randomness for
// the ids of a run that nobody looks at again.
func (s *playback) Read(p []byte) (int, error) {
	if len(p) == len(s.rec.Seed) {
		return copy(p, s.rec.Seed), nil
	}
	return io.ReadFull(entropy, p)
}

// Perform implements writ.Toolbox. CodeDiverged ends the run.
func (s *playback) Perform(_ context.Context, permit writ.Permit, call *writ.ToolCall) (*writ.ToolResult, error) {
	if _, err := permit.Covers(&call.CallFacts); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.next < len(s.rec.Calls) && s.rec.Calls[s.next].Denied {
		s.next++
	}
	if s.next == len(s.rec.Calls) {
		return nil, writ.Errorf(writ.CodeDiverged, "tool "+call.Tool, "the recording has no further call")
	}
	c := &s.rec.Calls[s.next]
	if c.Tool != call.Tool || engine.FirstDifference([]byte(c.Arguments), call.Arguments) != nil {
		return nil, writ.Errorf(writ.CodeDiverged, "tool "+call.Tool, "the recording has another call")
	}
	s.next++
	if c.At != 0 {
		s.time = c.At.Std()
	}
	return &writ.ToolResult{Outcome: c.Outcome, Body: c.Result, Failure: c.Failure, Labels: c.Labels}, nil
}

// CheckResult implements writ.Toolbox: nobody resolves anything in a rehearsal.
func (*playback) CheckResult(tool string, _ []byte) error {
	return writ.Errorf(writ.CodeInvalid, "tool "+tool, "a recording takes no answers")
}

// follow lets the home's engine act on the recording.
func (r *rehearsal) follow(ctx context.Context) error {
	if r.played == nil {
		return nil
	}
	options := r.home.engineOptions(r.played)
	options.Entropy = r.played
	return r.useEngine(ctx, options)
}

// useEngine puts another engine in the place of the home's own.
func (r *rehearsal) useEngine(ctx context.Context, options engine.Options) error {
	if err := r.home.engine.Close(ctx); err != nil {
		return err
	}
	var err error
	r.home.engine, err = engine.New(options)
	return err
}

// replayed is what a skill did against a recording.
type replayed struct {
	Identical  bool                       `json:"identical"`
	Difference *contract.ReplayDifference `json:"difference,omitempty"`
	Fuel       uint64                     `json:"fuel"`
	Recorded   uint64                     `json:"recordedFuel"`
}

func (a *app) replayRecording(ctx context.Context, args []string, o *runOptions) error {
	if len(args) > 0 || o.record != "" {
		return usage("--replay takes the action and its input from the recording").WithFix("leave ACTION, INPUT and --record out")
	}
	raw, err := a.readInput(o.replay, maxRecording)
	if err != nil {
		return err
	}
	rec, err := parseRecording(o.replay, raw)
	if err != nil {
		return err
	}
	w, err := a.buildFor(ctx, o, rec.Action)
	if err != nil {
		return err
	}
	r, err := a.rehearseWith(ctx, w, newPlayback(rec))
	if err != nil {
		return err
	}
	defer r.close(ctx)
	x, err := a.rehearseAction(ctx, r, rec.Action, rehearsed{input: rec.Input, approve: true}) // nothing is done
	if err != nil {
		return err
	}
	again, err := r.recording(ctx, x)
	if err != nil {
		return err
	}
	out := &replayed{Difference: rec.differs(again), Fuel: again.Fuel, Recorded: rec.Fuel}
	out.Identical = out.Difference == nil
	if err := a.print(out, func(t *table) { a.replayedTable(t, out) }); err != nil {
		return err
	}
	if !out.Identical {
		return exitError(exitTampered)
	}
	return nil
}

func (a *app) replayedTable(t *table, out *replayed) {
	if d := out.Difference; d != nil {
		t.pair("first difference", d.Field)
		t.pair("recorded", short(d.Recorded))
		t.pair("replayed", short(d.Replayed))
	}
	if out.Fuel != out.Recorded {
		t.pair("fuel", fmt.Sprintf("%d, recorded %d", out.Fuel, out.Recorded))
	}
	t.line("%s", a.status(map[bool]string{true: "identical", false: string(writ.CodeDiverged)}[out.Identical]))
}

// differs is the first difference, in the order in which things happen: the calls
// with their arguments, and what came of it. Another module may use other fuel.
func (rec *recording) differs(again *recording) *contract.ReplayDifference {
	asked := func(calls []recordedCall) []any {
		out := []any{}
		for i := range calls {
			out = append(out, map[string]any{"tool": calls[i].Tool, "arguments": calls[i].Arguments, "denied": calls[i].Denied})
		}
		return out
	}
	if d := engine.FirstDifference(map[string]any{"calls": asked(rec.Calls)}, map[string]any{"calls": asked(again.Calls)}); d != nil {
		return d
	}
	outcome := func(r *recording) map[string]any {
		out := map[string]any{"failure": r.Failure}
		if len(r.Output) > 0 {
			out["output"] = r.Output
		}
		return out
	}
	d := engine.FirstDifference(outcome(rec), outcome(again))
	if d == nil && rec.Module == again.Module {
		d = engine.FirstDifference(map[string]any{"fuel": rec.Fuel}, map[string]any{"fuel": again.Fuel})
	}
	return d
}
