package engine

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"regexp"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

// Bounds of an intent. A chat message or an issue is a few KiB; a webhook body
// is at most 25 MiB at GitHub, but what a plan reads of it is far less.
const (
	maxText     = 64 << 10
	maxMetadata = 1 << 20
)

// IntentSubmit is the handler of contract.IntentSubmit. The answer is given
// once the intent is on disk. The same idempotency key with the same content
// answers with the same execution; with other content it is CodeConflict.
//
// With Run the plan is compiled, verified and started in the same request, and
// all of it becomes durable together. What an earlier request with the same key
// has done already is not done again. CodePlanRejected and CodeBlocked as in
// PlanCompile and ExecutionStart: the execution keeps what was recorded.
//
// CodeFrozen where the caller, its channel or all of its tenant is frozen.
func (e *Engine) IntentSubmit(ctx context.Context, in *contract.IntentSubmitInput) (*contract.IntentSubmitOutput, error) {
	p, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	if !in.Run && (in.Wait || in.Mode != "") {
		return nil, &writ.Error{Code: writ.CodeInvalid, Op: "intent", Place: "run", Message: "wait and mode say how to run, and run is not set", Fix: "set run, or leave them out"}
	}
	mode, err := modeOf(in.Mode)
	if err != nil {
		return nil, err
	}
	intent, err := e.intentOf(p, in)
	if err != nil {
		return nil, err
	}
	if err := e.admits(ctx, p, intent.ChannelKey); err != nil {
		return nil, err
	}
	x, err := e.receive(ctx, p, intent, in)
	if err != nil {
		return nil, err
	}
	if in.Run {
		return e.runSubmitted(ctx, x, submission{p: p, in: in, mode: mode, intent: intent})
	}
	defer x.stop()
	return submitted(intent), x.barrier(ctx)
}

// receive records a new intent, or finds the execution that the same request
// has made before.
func (e *Engine) receive(ctx context.Context, p *writ.Principal, intent *writ.Intent, in *contract.IntentSubmitInput) (*execution, error) {
	raw, err := canon.MarshalJSON(intent)
	if err != nil {
		return nil, &writ.Error{Code: writ.CodeInvalid, Op: "intent", Place: "metadata", Message: err.Error(), Err: err, Fix: "write large integers as strings and keep keys unique"}
	}
	x := e.newExecution(p.Tenant, intent.Execution)
	x.state.Principal, x.state.TraceID, x.state.Workspace = p, intent.TraceID, intent.Workspace
	facts := &writ.IntentFacts{
		ID: intent.ID, Workspace: intent.Workspace, ChannelKey: intent.ChannelKey, Origin: intent.Origin,
		IdempotencyKey: in.IdempotencyKey, Principal: p,
	}
	records := []writ.NewRecord{{
		Type: writ.RecIntentReceived, Time: intent.ReceivedAt, Actor: x.auditOf(p), Body: writ.Body{Intent: facts},
		Payloads: []writ.Payload{{Name: writ.PayloadIntent, Data: raw}},
	}}
	if in.Draft != "" {
		records = append(records, interpreted(facts, in.Draft, in.DraftFormat, in.DraftName))
	}
	x.mu.Lock()
	err = x.append(records...)
	x.mu.Unlock()
	if err != nil {
		x.stop()
		if writ.IsCode(err, writ.CodeConflict) {
			// Whoever sent it may have gone before it was on disk, where it is read from.
			if err := e.Journal.Barrier(ctx, x.position); err != nil {
				return nil, err
			}
			return e.submittedBefore(ctx, p, intent, in)
		}
		return nil, err
	}
	x.intent, x.draft = raw, []byte(in.Draft)
	return x, nil
}

// submission is a request that wants its plan run.
type submission struct {
	p      *writ.Principal
	in     *contract.IntentSubmitInput
	mode   writ.Mode
	intent *writ.Intent
}

// runSubmitted goes the rest of the way with one wait for the disk.
func (e *Engine) runSubmitted(ctx context.Context, x *execution, s submission) (*contract.IntentSubmitOutput, error) {
	x, err := e.adopt(x)
	if err != nil {
		return nil, err
	}
	out := submitted(s.intent)
	fail := func(err error) (*contract.IntentSubmitOutput, error) {
		if notDurable := x.barrier(ctx); notDurable != nil {
			return nil, notDurable
		}
		return nil, err
	}
	if !x.compiled() {
		catalogue, err := e.Skills.Catalogue(ctx, s.p.Tenant)
		if err != nil {
			return fail(err)
		}
		_, rejected, err := x.compile(s.p, &contract.PlanCompileInput{}, catalogue)
		if err = cmp.Or(err, rejected); err != nil {
			return fail(err)
		}
	}
	status, err := x.launch(ctx, s.p, launch{mode: s.mode, dry: s.in.Mode == contract.RunDry, wait: s.in.Wait})
	if err != nil {
		return fail(err)
	}
	state := x.snapshot()
	out.PlanID, out.DeterministicHash, out.RunID = state.PlanID, state.PlanHash, state.RunID
	out.Status, out.ChangedAt = status, state.UpdatedAt
	if state.Status.Final() {
		e.forget(x) // an execution that had ended before this request is not looked after
	}
	return out, nil
}

func submitted(intent *writ.Intent) *contract.IntentSubmitOutput {
	return &contract.IntentSubmitOutput{
		Result:      contract.Result{Status: string(writ.ExecReceived), ChangedAt: intent.ReceivedAt},
		ExecutionID: intent.Execution, IntentID: intent.ID,
	}
}

func interpreted(facts *writ.IntentFacts, draft, format, name string) writ.NewRecord {
	f := *facts
	f.Principal, f.IdempotencyKey = nil, ""
	f.Source, f.Format, f.Name = "draft", format, name
	if f.Format == "" {
		f.Format = "yaml"
	}
	if f.Name == "" {
		f.Name = "draft." + f.Format
	}
	return writ.NewRecord{
		Type: writ.RecInterpreted, Body: writ.Body{Intent: &f},
		Payloads: []writ.Payload{{Name: writ.PayloadDraft, Data: []byte(draft)}},
	}
}

var traceIDForm = regexp.MustCompile(`^[0-9a-f]{32}$`)

func (e *Engine) intentOf(p *writ.Principal, in *contract.IntentSubmitInput) (*writ.Intent, error) {
	actor, err := p.Claim("actorId", in.ActorID)
	if err != nil {
		return nil, err
	}
	invalid := func(place, message, fix string) error {
		return &writ.Error{Code: writ.CodeInvalid, Op: "intent", Place: place, Message: message, Fix: fix}
	}
	switch {
	case len(in.Text) > maxText:
		return nil, &writ.Error{Code: writ.CodeTooLarge, Op: "intent", Place: "text", Message: "is longer than 64 KiB", Fix: "put long content into metadata"}
	case len(in.Metadata) > maxMetadata:
		return nil, &writ.Error{Code: writ.CodeTooLarge, Op: "intent", Place: "metadata", Message: "is larger than 1 MiB", Fix: "leave out what no plan reads"}
	case len(in.Draft) > writ.MaxDraft:
		return nil, &writ.Error{Code: writ.CodeTooLarge, Op: "intent", Place: "draft", Message: "is larger than 1 MiB", Fix: "split the work into several intents"}
	case in.TraceID != "" && !traceIDForm.MatchString(in.TraceID):
		return nil, invalid("traceId", "is not a W3C trace id", "send 32 lower-case hexadecimal digits, or leave it out")
	case in.WorkspaceID != "" && in.WorkspaceID != p.Workspace:
		return nil, &writ.Error{Code: writ.CodeForbidden, Op: "intent", Place: "workspaceId", Message: "the caller's workspace is " + string(p.Workspace), Fix: "send that, or a credential of the other workspace"}
	}
	origin, err := originOf(p, in)
	if err != nil {
		return nil, err
	}
	metadata := []byte("{}")
	if len(in.Metadata) > 0 {
		if metadata, err = canon.JSON(json.RawMessage(in.Metadata)); err != nil {
			return nil, invalid("metadata", err.Error(), "send canonical-safe JSON: unique keys, integers within 2^53-1")
		}
	}
	intent := &writ.Intent{
		Tenant: p.Tenant, Workspace: p.Workspace, Text: in.Text, Actor: actor, ChannelKey: in.ChannelKey,
		Origin: origin, Metadata: metadata, TraceID: in.TraceID, ReceivedAt: e.Clock.Now(),
	}
	return intent, e.identify(p, in, intent)
}

// identify derives the ids: from the caller and its idempotency key where there
// is one, so that a repeated request finds the execution it made before.
func (e *Engine) identify(p *writ.Principal, in *contract.IntentSubmitInput, intent *writ.Intent) error {
	unique := []byte(in.IdempotencyKey)
	if len(unique) == 0 {
		random, err := e.draw(16)
		if err != nil {
			return err
		}
		unique = append([]byte{0}, random...) // no key starts with NUL: the schema refuses it
	}
	intent.ID = writ.IntentID(canon.ID("int", canon.DomainIntent, []byte(p.Tenant), []byte(p.Workspace), []byte(p.ID), unique))
	intent.Execution = writ.ExecutionID(canon.ID("exe", canon.DomainExecution, []byte(p.Tenant), []byte(intent.ID)))
	if intent.TraceID == "" {
		sum := canon.Hash(canon.DomainExecution, []byte("trace"), []byte(intent.Execution))
		intent.TraceID = hex.EncodeToString(sum[:16])
	}
	return nil
}

var originOfKind = map[writ.PrincipalKind]writ.Origin{
	writ.Human: writ.OriginHuman, writ.Service: writ.OriginAutomation, writ.Agent: writ.OriginModel,
}

// authorOf is the origin of a draft that somebody gives to an intent of this
// origin: the words are never trusted more than who wrote them.
func authorOf(intent writ.Origin, kind writ.PrincipalKind) writ.Origin {
	if own := cmp.Or(originOfKind[kind], writ.OriginChannel); intent.Label().Trusted() && !own.Label().Trusted() {
		return own
	}
	return intent
}

// originOf lets a caller say only that the words are less trusted than its own.
func originOf(p *writ.Principal, in *contract.IntentSubmitInput) (writ.Origin, error) {
	own := originOfKind[p.Kind]
	if in.ChannelKey != "" {
		own = writ.OriginChannel
	}
	if own == "" {
		own = writ.OriginChannel
	}
	if in.Origin == "" || in.Origin == own {
		return own, nil
	}
	if in.Origin.Label().Trusted() {
		return "", &writ.Error{
			Code: writ.CodeForbidden, Op: "intent", Place: "origin",
			Message: "a " + string(p.Kind) + " cannot vouch that the words are of origin " + string(in.Origin),
			Fix:     "leave origin out, or say model or channel",
		}
	}
	return in.Origin, nil
}

// submittedBefore finds the execution of a repeated submission. CodeConflict
// where the key was used for something else.
func (e *Engine) submittedBefore(ctx context.Context, p *writ.Principal, intent *writ.Intent, in *contract.IntentSubmitInput) (*execution, error) {
	x, err := e.load(ctx, p.Tenant, intent.Execution)
	if err != nil {
		return nil, err
	}
	var stored writ.Intent
	if err := json.Unmarshal(x.intent, &stored); err != nil {
		return nil, writ.Errorf(writ.CodeTampered, "intent "+string(intent.ID), "the stored intent does not decode: %w", err)
	}
	intent.ReceivedAt, intent.TraceID = stored.ReceivedAt, stored.TraceID
	raw, err := canon.MarshalJSON(intent)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(raw, x.intent) || (in.Draft != "" && x.state.PlanID == "" && in.Draft != string(x.draft)) {
		x.stop()
		return nil, &writ.Error{
			Code: writ.CodeConflict, Op: "intent " + string(intent.ID), Place: "idempotencyKey",
			Message: "the key was used for another intent", Fix: "use a new key for new content",
		}
	}
	return x, nil
}
