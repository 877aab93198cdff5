package channel

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// Documents of what people are asked in channels. They change by notes: a decision rests
// on the digest of the request, which a reference is made of, and on nothing here.
const (
	askedPrefix  = "asked/"  // asked/EXECUTION/REFERENCE: what is asked and not closed
	askRefPrefix = "askref/" // askref/REFERENCE: what it refers to, for a while after it closed, too
	askInPrefix  = "askin/"  // askin/PROVIDER/NAME/THREAD/REFERENCE: what is asked in a thread
	askOldPrefix = "askold/" // askold/NANOSECONDS/REFERENCE: what is closed, until it is forgotten
)

// question is a request about which people are asked.
type question struct {
	Execution writ.ExecutionID `json:"execution"`
	Step      writ.StepID      `json:"step"`
	Digest    writ.Digest      `json:"digest"`
	Posts     []post           `json:"posts"`
	Told      string           `json:"told"` // how it stood when the posts were last changed
}

// post is where it was asked.
type post struct {
	Channel writ.ChannelName `json:"channel"`
	Thread  string           `json:"thread"`
	Message writ.StreamID    `json:"message"`
	Decides bool             `json:"decides,omitempty"` // it was shown whole, and may be decided there
}

// refers is what a reference means.
type refers struct {
	Execution writ.ExecutionID   `json:"execution"`
	Step      writ.StepID        `json:"step"`
	Digest    writ.Digest        `json:"digest"`
	Channels  []writ.ChannelName `json:"channels"` // in which it may be decided
}

// askedIn is a request of one thread.
type askedIn struct {
	Message  writ.StreamID `json:"message"`
	Decides  bool          `json:"decides,omitempty"` // as its post says
	ClosedAt writ.Time     `json:"closedAt,omitempty"`
}

// reference names a request where its digest is too long: a button of Telegram's holds
// 64 bytes. It is made of the digest, so that it can mean no other.
func reference(digest writ.Digest) string {
	return canon.ID("apr", canon.DomainApproval, []byte(digest))
}

func threadPrefix(name writ.ChannelName, thread string) string {
	return askInPrefix + string(name) + "/" + canon.SHA256([]byte(thread)).Hex() + "/"
}

// following is how an execution is followed, nil where it is not.
func (s *Service) following(ctx context.Context, tenant writ.TenantID, id writ.ExecutionID) (*following, error) {
	key := followPrefix + string(id)
	raw, err := s.opts.Store.Get(ctx, tenant, key)
	if writ.IsCode(err, writ.CodeNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return readFollowing(key, raw)
}

// asks reports whether people may be asked something in a tenant, or still are.
func (s *Service) asks(ctx context.Context, tenant writ.TenantID) bool {
	all, err := s.channels(ctx, tenant)
	if err != nil {
		return true // what is not known may be
	}
	for _, c := range all {
		if c.Decides || c.AskIn != "" {
			return true
		}
	}
	docs, err := s.opts.Store.List(ctx, writ.StoreQuery{Tenant: tenant, Prefix: askedPrefix, Limit: 1})
	return err != nil || len(docs) > 0
}

// askStatuses are those of executions of which a step may wait.
var askStatuses = []writ.ExecutionStatus{writ.ExecAwaitingApproval, writ.ExecRunning, writ.ExecPaused, writ.ExecIndeterminate}

// askRooms asks, in the rooms that there are, about whatever waits.
func (s *Service) askRooms(ctx context.Context, tenant writ.TenantID, ask func(writ.ExecutionID) error) error {
	all, err := s.channels(ctx, tenant)
	if err != nil {
		return err
	}
	rooms := 0
	for _, c := range all {
		if c.AskIn != "" {
			rooms++
		}
	}
	if rooms == 0 {
		return nil
	}
	for _, status := range askStatuses {
		query := writ.ExecutionQuery{Tenant: tenant, Status: status, Limit: pageSize}
		for {
			page, err := s.opts.Traces.Executions(ctx, query)
			if err != nil {
				return err
			}
			for _, e := range page.Items {
				if !slices.ContainsFunc(e.Steps, waits) {
					continue
				}
				if err := ask(e.ID); err != nil {
					return err
				}
			}
			if query.Cursor = page.Next; query.Cursor == "" {
				break
			}
		}
	}
	return nil
}

// waits reports whether a step waits for people.
func waits(st writ.StepState) bool {
	return st.Status == writ.StepAwaitingApproval && st.Approval != nil && st.Approval.Open()
}

// askOf brings what people are asked about an execution up to how it stands: asks what
// was not asked, and changes what was said where something was decided. Each message is
// known by what it says, so that it is said once however often this begins again; what
// cannot be said now is said when everything is looked at again.
func (s *Service) askOf(ctx context.Context, tenant writ.TenantID, id writ.ExecutionID) error {
	s.asking.Lock()
	defer s.asking.Unlock()
	err := s.askAll(ctx, tenant, id)
	switch code := writ.CodeOf(err); code {
	case writ.CodeTampered, writ.CodeNotFound, writ.CodeUnreplayable, writ.CodeInvalid, writ.CodeTooLarge:
		s.opts.Log.Error("nobody can be asked about an execution", "execution", id, "code", code)
		return nil
	case writ.CodeUnavailable: // such as a full outbox, which keeps no thread from being told
		s.opts.Log.Warn("people are asked later about an execution", "execution", id, "why", err)
		return nil
	}
	return err
}

func (s *Service) askAll(ctx context.Context, tenant writ.TenantID, id writ.ExecutionID) error {
	open, err := s.askedOf(ctx, tenant, id)
	if err != nil {
		return err
	}
	e, err := s.opts.Traces.Execution(ctx, tenant, id)
	if writ.IsCode(err, writ.CodeNotFound) {
		return s.drop(ctx, tenant, open)
	}
	if err != nil {
		return err
	}
	changed := slices.ContainsFunc(open, func(a *question) bool { return !a.stands(e) })
	places, err := s.askPlaces(ctx, tenant, id)
	if err != nil {
		return err
	}
	unasked := func(st writ.StepState) bool { return len(unaskedIn(places, open, &st)) > 0 }
	if !changed && !slices.ContainsFunc(e.Steps, unasked) {
		return nil
	}
	requests, err := s.requests(ctx, tenant, id)
	if err != nil {
		return err
	}
	for _, a := range open {
		if err := s.change(ctx, tenant, e, a, requests[a.Digest]); err != nil {
			return err
		}
	}
	for i := range e.Steps {
		st := &e.Steps[i]
		left := unaskedIn(places, open, st)
		if len(left) == 0 {
			continue
		}
		if full := requests[st.Approval.Digest]; full != nil {
			if err := s.ask(ctx, full, askedAs(open, full.Digest), left); err != nil {
				return err
			}
		}
	}
	return nil
}

// drop forgets what was asked about an execution that is kept no longer.
func (s *Service) drop(ctx context.Context, tenant writ.TenantID, open []*question) error {
	for _, a := range open {
		changes, err := s.closing(a)
		if err == nil {
			err = s.opts.Notes.Note(context.WithoutCancel(ctx), tenant, changes...)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// stands reports whether a question stands as people were told.
func (a *question) stands(e *writ.Execution) bool {
	st := e.Step(string(a.Step))
	return st != nil && waits(*st) && !e.Status.Final() && st.Approval.Digest == a.Digest && standing(st.Approval) == a.Told
}

// askedOf is what is asked about an execution and not closed.
func (s *Service) askedOf(ctx context.Context, tenant writ.TenantID, id writ.ExecutionID) ([]*question, error) {
	docs, err := s.opts.Store.List(ctx, writ.StoreQuery{Tenant: tenant, Prefix: askedPrefix + string(id) + "/"})
	if err != nil {
		return nil, err
	}
	out := make([]*question, len(docs))
	for i := range docs {
		out[i] = &question{}
		if err := json.Unmarshal(docs[i].Value, out[i]); err != nil || docs[i].Key != askedKey(out[i]) {
			return nil, writ.Errorf(writ.CodeTampered, docs[i].Key, "the document is not of what it is named after").WithFix("restore the store from a backup")
		}
	}
	return out, nil
}

func askedKey(a *question) string {
	return askedPrefix + string(a.Execution) + "/" + reference(a.Digest)
}

// requests are the approvals of an execution by their digest, each with the whole request
// and what was decided. Of one whose data has expired there is none.
func (s *Service) requests(ctx context.Context, tenant writ.TenantID, id writ.ExecutionID) (map[writ.Digest]*writ.Approval, error) {
	stream := writ.StreamID(id)
	records, err := s.opts.Traces.Records(ctx, writ.RecordQuery{Tenant: tenant, Stream: stream})
	if err != nil {
		return nil, err
	}
	read, err := s.opts.Traces.Payloads(ctx, tenant, stream)
	if err != nil {
		return nil, err
	}
	out := map[writ.Digest]*writ.Approval{}
	for i := range records {
		r := &records[i]
		f := r.Body.Approval
		if f == nil {
			continue
		}
		if r.Type == writ.RecApprovalOpened {
			ref, ok := r.Payload(writ.PayloadRequest)
			if !ok {
				continue
			}
			raw, err := read(ref)
			if writ.IsCode(err, writ.CodeUnreplayable) {
				continue
			}
			a := &writ.Approval{Digest: f.Digest, Status: writ.ApprovalPending}
			if err == nil {
				err = json.Unmarshal(raw, &a.Request)
			}
			if err != nil {
				return nil, err
			}
			out[f.Digest] = a
			continue
		}
		if a := out[f.Digest]; a != nil {
			if a.Status = f.Status; f.Decision != nil {
				a.Decisions = append(a.Decisions, *f.Decision)
			}
			if !a.Open() {
				a.ClosedAt = r.Time
			}
		}
	}
	return out, nil
}

// ask says in each place what is to be decided. a is what is asked elsewhere already, nil
// where nothing is.
func (s *Service) ask(ctx context.Context, full *writ.Approval, a *question, places []askPlace) error {
	r := &full.Request
	if a == nil {
		a = &question{Execution: r.Execution, Step: r.Step, Digest: full.Digest, Told: standing(full)}
	}
	for i := range places {
		if err := s.askHere(ctx, full, a, &places[i]); err != nil {
			return err
		}
	}
	return nil
}

// askHere asks in one place. What leads from the message to the request comes to disk with
// the message: nobody is so fast that their word finds nothing.
func (s *Service) askHere(ctx context.Context, full *writ.Approval, a *question, p *askPlace) error {
	to, ref := lane{full.Request.Tenant, p.channel.Name}, reference(full.Digest)
	v, err := s.speaker(ctx, to)
	if err != nil {
		s.opts.Log.Warn("nobody is asked in a channel", "channel", p.channel.Name, "why", err)
		return nil // whoever looks again finds a channel that speaks, or none
	}
	out, decides := sayAsk(full, p, v)
	key := askKey(ref, p.thread, a.Told)
	message := messageStream(to.channel, key)
	asked := *a
	asked.Posts = append(slices.Clone(a.Posts), post{Channel: to.channel, Thread: p.thread, Message: message, Decides: decides})
	changes, err := asked.noted()
	if err != nil {
		return err
	}
	if _, err := s.queue(ctx, to, key, out, changes...); err != nil {
		return err
	}
	*a = asked
	return nil
}

// noted are the changes by which a request that is open is found: by its execution, by its
// name, and in each thread.
func (a *question) noted() ([]writ.Change, error) {
	ref, means := reference(a.Digest), &refers{Execution: a.Execution, Step: a.Step, Digest: a.Digest}
	changes, err := note(nil, askedKey(a), a)
	for _, p := range a.Posts {
		if err != nil {
			return nil, err
		}
		if p.Decides && !slices.Contains(means.Channels, p.Channel) {
			means.Channels = append(means.Channels, p.Channel)
		}
		changes, err = note(changes, threadPrefix(p.Channel, p.Thread)+ref, &askedIn{Message: p.Message, Decides: p.Decides})
	}
	if err != nil {
		return nil, err
	}
	return note(changes, askRefPrefix+ref, means)
}

// askKey is that of a message about a request which stands so.
func askKey(ref, thread, told string) string {
	return "ask/" + ref + "/" + canon.SHA256([]byte(thread)).Hex() + "/" + told
}

// note adds a document.
func note(changes []writ.Change, key string, v any) ([]writ.Change, error) {
	raw, err := canon.MarshalJSON(v)
	return append(changes, writ.Change{Key: key, Value: raw}), err
}
