package channel

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/writ-run/writ"
)

const (
	// askRemembered is how long a reference is known after what it means is closed: who
	// presses an old button is told what became of it.
	askRemembered = 7 * 24 * time.Hour
	// askSettles is how long after something else was closed in a thread a bare word there
	// may still be meant for that.
	askSettles = time.Minute
)

func askOldKey(at writ.Time, ref string) string {
	return fmt.Sprintf("%s%020d/%s", askOldPrefix, int64(at), ref)
}

var referenceForm = regexp.MustCompile(`^apr_[a-z0-9]{26}$`)

// meantBy is what a reference means in a channel. CodeNotFound where it means nothing, or
// was not shown whole there.
func (s *Service) meantBy(ctx context.Context, at lane, ref string) (*refers, error) {
	nothing := writ.Errorf(writ.CodeNotFound, "approval", "nothing of that name is asked here, or it was too long ago").
		WithFix("look at the message that asks, or at `writ approval list`")
	if !referenceForm.MatchString(ref) {
		return nil, nothing
	}
	raw, err := s.opts.Store.Get(ctx, at.tenant, askRefPrefix+ref)
	if writ.IsCode(err, writ.CodeNotFound) {
		return nil, nothing
	}
	if err != nil {
		return nil, err
	}
	means := &refers{}
	if err := json.Unmarshal(raw, means); err != nil || reference(means.Digest) != ref {
		return nil, writ.Errorf(writ.CodeTampered, askRefPrefix+ref, "the document is not of what it is named after").WithFix("restore the store from a backup")
	}
	for _, name := range means.Channels {
		if name == at.channel {
			return means, nil
		}
	}
	return nil, nothing
}

// said is when a message was said: what a provider brings late is no younger for it.
func (h *heard) said() writ.Time {
	if h.m.At == 0 {
		return h.at
	}
	return min(h.at, h.m.At)
}

// inThread are the requests of a message's thread that are open, or were not closed long
// before it was said, by their names.
func (s *Service) inThread(ctx context.Context, h *heard) (open, lately map[string]askedIn, err error) {
	prefix := threadPrefix(h.channel.Name, h.m.Thread)
	docs, err := s.opts.Store.List(ctx, writ.StoreQuery{Tenant: h.tenant, Prefix: prefix})
	if err != nil {
		return nil, nil, err
	}
	open, lately = map[string]askedIn{}, map[string]askedIn{}
	for i := range docs {
		var in askedIn
		if err := json.Unmarshal(docs[i].Value, &in); err != nil {
			return nil, nil, writ.Errorf(writ.CodeTampered, docs[i].Key, "the document cannot be read").WithFix("restore the store from a backup")
		}
		ref := strings.TrimPrefix(docs[i].Key, prefix)
		if in.ClosedAt == 0 {
			open[ref] = in
		} else if h.said() < in.ClosedAt.Add(askSettles) {
			lately[ref] = in
		}
	}
	return open, lately, nil
}

// maxLooked bounds in how many requests a bare word that is refused is looked for.
const maxLooked = 32

// only is the one request that a bare word in a thread is about, or that it has decided
// already. CodeNotFound where none is open, or none that is decided there; CodeConflict
// where it could be meant for another.
func (s *Service) only(ctx context.Context, h *heard, approved bool) (ref string, err error) {
	open, lately, err := s.inThread(ctx, h)
	if err != nil {
		return "", err
	}
	ref, err = s.meantAlone(ctx, h, open, len(lately) > 0, approved)
	if err == nil {
		return ref, nil
	}
	looked := 0
	for _, all := range []map[string]askedIn{lately, open} {
		for ref := range all {
			if looked++; looked > maxLooked {
				return "", err
			}
			if means, bad := s.meantBy(ctx, lane{h.tenant, h.channel.Name}, ref); bad == nil && s.saidBefore(ctx, h, means, approved) {
				return ref, nil // the host went down before that was noted
			}
		}
	}
	return "", err
}

// meantAlone is only, of a word that is heard for the first time.
func (s *Service) meantAlone(ctx context.Context, h *heard, open map[string]askedIn, changing, approved bool) (ref string, err error) {
	form := func(ref string) string { return sayForm(approved, ref) }
	var in askedIn
	for ref, in = range open {
	}
	switch {
	case len(open) == 0:
		return "", writ.Errorf(writ.CodeNotFound, "approval", "nothing waits for a decision in this thread")
	case len(open) == 1 && !in.Decides:
		return "", writ.Errorf(writ.CodeNotFound, "approval", "what waits in this thread is not decided here").WithFix("decide it as its message says")
	case len(open) > 1:
		return "", writ.Errorf(writ.CodeConflict, "approval", "%d things wait here", len(open)).WithFix("say which, with the name that its message shows: %s", form("apr_..."))
	case changing:
		return "", writ.Errorf(writ.CodeConflict, "approval", "something else waited here a moment ago").WithFix("look at what waits now, and say: %s", form(ref))
	}
	sent, err := s.sent(ctx, h.tenant, in.Message)
	if err != nil {
		return "", err
	}
	if sent == nil || h.said() < sent.Time {
		return "", writ.Errorf(writ.CodeConflict, "approval", "what waits here was not shown yet").WithFix("look at it first")
	}
	return ref, nil
}

// sent is the record of a message that was said, nil where it was not.
func (s *Service) sent(ctx context.Context, tenant writ.TenantID, message writ.StreamID) (*writ.Stored, error) {
	records, err := s.opts.Traces.Records(ctx, writ.RecordQuery{Tenant: tenant, Stream: message})
	if err != nil && !writ.IsCode(err, writ.CodeNotFound) {
		return nil, err
	}
	for i := range records {
		if records[i].Type == writ.RecMessageSent {
			return &records[i], nil
		}
	}
	return nil, nil
}

// stillAsked is CodeConflict for a message with buttons about a request that is closed:
// people would be asked what nobody can decide any more.
func (s *Service) stillAsked(ctx context.Context, tenant writ.TenantID, out *Outgoing) error {
	if len(out.Buttons) == 0 {
		return nil
	}
	closed := writ.Errorf(writ.CodeConflict, "message", "what it asks is closed").WithFix("`writ channel drop` it: where people were asked, they are told what became of it")
	ref := out.Buttons[0].Press.Value
	raw, err := s.opts.Store.Get(ctx, tenant, askRefPrefix+ref)
	if writ.IsCode(err, writ.CodeNotFound) {
		return closed
	}
	means := &refers{}
	if err == nil {
		err = json.Unmarshal(raw, means)
	}
	if err != nil {
		return err
	}
	_, err = s.opts.Store.Get(ctx, tenant, askedKey(&question{Execution: means.Execution, Digest: means.Digest}))
	if writ.IsCode(err, writ.CodeNotFound) {
		return closed
	}
	return err
}

// forget drops what was closed long ago.
func (s *Service) forget(ctx context.Context, tenant writ.TenantID) error {
	young := askOldKey(s.opts.Clock.Now().Add(-askRemembered), "")
	for {
		docs, err := s.opts.Store.List(ctx, writ.StoreQuery{Tenant: tenant, Prefix: askOldPrefix, Limit: pageSize})
		if err != nil {
			return err
		}
		var changes []writ.Change
		for i := range docs {
			if docs[i].Key >= young {
				break
			}
			var old askedOld
			if err := json.Unmarshal(docs[i].Value, &old); err != nil {
				s.opts.Log.Error("a document of what was asked cannot be read", "document", docs[i].Key) // it goes alone
			}
			changes = append(changes, writ.Change{Key: docs[i].Key})
			for _, key := range old.With {
				if strings.HasPrefix(key, askRefPrefix) || strings.HasPrefix(key, askInPrefix) {
					changes = append(changes, writ.Change{Key: key})
				}
			}
		}
		if len(changes) == 0 {
			return nil
		}
		if err := s.opts.Notes.Note(context.WithoutCancel(ctx), tenant, changes...); err != nil {
			return err
		}
	}
}

// askedOld is a request that is closed, and the documents that go with it.
type askedOld struct {
	With []string `json:"with"`
}
