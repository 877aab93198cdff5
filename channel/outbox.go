package channel

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

// outboxPrefix of the documents that name messages which wait to be said:
// outbox/PROVIDER/NAME/NANOSECONDS/STREAM, in the order in which they are said.
const outboxPrefix = "outbox/"

// queued is what the document of a message says. It holds all of it: what answers a
// delivery is in the batch of the delivery, and has no stream yet.
type queued struct {
	Stream  writ.StreamID `json:"stream"`
	Key     string        `json:"key"`
	Message Outgoing      `json:"message"`
}

// unsent is what the document of a message says that was given up. Its text is a payload
// alone, and expires as payloads do.
type unsent struct {
	Stream  writ.StreamID    `json:"stream"`
	Channel writ.ChannelName `json:"channel"`
	Thread  string           `json:"thread,omitempty"`
	Code    writ.Code        `json:"code"`
	Why     string           `json:"why"`
}

func laneKey(name writ.ChannelName) string { return outboxPrefix + string(name) + "/" }

func outboxKey(name writ.ChannelName, at writ.Time, stream writ.StreamID) string {
	return fmt.Sprintf("%s%020d/%s", laneKey(name), int64(at), stream)
}

// messageStream is where a message of a channel is kept: one key has one place.
func messageStream(channel writ.ChannelName, key string) writ.StreamID {
	return writ.StreamID(canon.ID("msg", canon.DomainMessage, []byte(channel), []byte(key)))
}

// stamp is the place of the next message in the order of what is said. Whoever holds it
// holds queueing until its batch is appended.
func (s *Service) stamp() writ.Time {
	s.stamped = max(s.stamped+1, s.opts.Clock.Now())
	return s.stamped
}

// document puts a message into the outbox of its channel, at the next place.
func (s *Service) document(name writ.ChannelName, key string, out *Outgoing) (writ.Change, error) {
	stream := messageStream(name, key)
	value, err := canon.MarshalJSON(&queued{Stream: stream, Key: key, Message: *out})
	if err != nil {
		return writ.Change{}, writ.Errorf(writ.CodeInvalid, "message", "it cannot be written as JSON: %w", err)
	}
	return writ.Change{Key: outboxKey(name, s.stamp(), stream), Value: value}, nil
}

// queue puts a message on disk, to be said in its turn. The same key again is the same
// message. The changes come to disk with it. CodeInvalid where the channel says nothing,
// CodeUnavailable where too much waits.
func (s *Service) queue(ctx context.Context, at lane, key string, out *Outgoing, with ...writ.Change) (writ.StreamID, error) {
	if _, err := s.speaker(ctx, at); err != nil {
		return "", err
	}
	if s.fullOf(at) {
		return "", writ.Errorf(writ.CodeUnavailable, "channel "+string(at.channel), "%d messages wait to be said", s.opts.Outbox).
			WithFix("`writ channel outbox` shows them")
	}
	facts := writ.MessageFacts{Channel: at.channel, Key: key, Thread: out.Thread}
	stream := messageStream(at.channel, key)
	ctx = context.WithoutCancel(ctx)
	receipt, err := s.append(ctx, &writ.Batch{Tenant: at.tenant, Stream: stream}, func(batch *writ.Batch) error {
		record, err := queuedRecord(at, &facts, out)
		if err != nil {
			return err
		}
		record.Time = s.opts.Clock.Now()
		change, err := s.document(at.channel, key, out)
		batch.Records, batch.Changes = []writ.NewRecord{record}, append([]writ.Change{change}, with...)
		return err
	})
	again := writ.IsCode(err, writ.CodeConflict)
	if err != nil && !again {
		return "", err
	}
	if err := s.opts.Journal.Barrier(ctx, receipt.Position); err != nil {
		return "", err
	}
	if again && len(with) > 0 {
		return stream, s.opts.Notes.Note(ctx, at.tenant, with...)
	}
	if !again {
		s.count(at, 1)
		s.stir(at)
	}
	return stream, nil
}

// count notes that so many messages more, or fewer, wait in a lane.
func (s *Service) count(at lane, n int) {
	s.unsaid.Add(int64(n))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.depths[at] += n; s.depths[at] <= 0 {
		delete(s.depths, at)
	}
}

// fullOf reports whether as many wait in a lane as may: a channel that stands holds up no
// other.
func (s *Service) fullOf(at lane) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.depths[at] >= s.opts.Outbox
}

// append fills and appends a batch while nobody else queues: what has the earlier place
// is durable first, so that nobody who looks at the outbox misses it.
func (s *Service) append(ctx context.Context, batch *writ.Batch, fill func(*writ.Batch) error) (writ.Receipt, error) {
	s.queueing.Lock()
	defer s.queueing.Unlock()
	if err := fill(batch); err != nil {
		return writ.Receipt{}, err
	}
	return s.opts.Journal.Append(ctx, batch)
}

func queuedRecord(at lane, facts *writ.MessageFacts, out *Outgoing) (writ.NewRecord, error) {
	raw, err := canon.MarshalJSON(out)
	if err != nil {
		return writ.NewRecord{}, writ.Errorf(writ.CodeInvalid, "message", "it cannot be written as JSON: %w", err)
	}
	return writ.NewRecord{
		Type: writ.RecMessageQueued, Actor: actor(at.tenant, at.channel), Body: writ.Body{Message: facts},
		Payloads: []writ.Payload{{Name: writ.PayloadMessage, Data: raw}},
	}, nil
}

// answering appends a batch and what is said because of it, waits for the disk and has it
// said. key names the answers among those of the channel.
func (s *Service) answering(ctx context.Context, to lane, batch *writ.Batch, key string, answers []Outgoing) error {
	said := 0
	written, err := s.append(ctx, batch, func(batch *writ.Batch) error {
		documents, err := s.answers(ctx, to, key, answers)
		batch.Changes = append(batch.Changes, documents...)
		said = len(documents)
		return err
	})
	if err != nil {
		return err
	}
	if err := s.opts.Journal.Barrier(ctx, written.Position); err != nil {
		return err
	}
	if said > 0 {
		s.count(to, said)
		s.stir(to)
	}
	return nil
}

// answers are the documents of what is to be said, for the batch that it belongs to; key
// names it among those of its channel. A channel that says nothing answers nothing.
func (s *Service) answers(ctx context.Context, at lane, key string, answers []Outgoing) ([]writ.Change, error) {
	if len(answers) == 0 {
		return nil, nil
	}
	if _, err := s.speaker(ctx, at); err != nil {
		s.opts.Log.Debug("a channel does not answer", "channel", at.channel, "why", err)
		return nil, nil
	}
	changes := make([]writ.Change, len(answers))
	for i := range answers {
		var err error
		if changes[i], err = s.document(at.channel, fmt.Sprintf("%s/%d", key, i), &answers[i]); err != nil {
			return nil, err
		}
	}
	return changes, nil
}

// voice is how a channel speaks.
type voice struct {
	Speaker
	channel *contract.Channel
	base    string
	marks   string // of its provider's Traits
}

// speaker finds it. CodeNotFound, CodeInvalid where the channel says nothing.
func (s *Service) speaker(ctx context.Context, at lane) (*voice, error) {
	c, err := s.channel(ctx, at.tenant, at.channel)
	if err != nil {
		return nil, err
	}
	adapter, err := s.adapterOf(c.Name)
	if err != nil {
		return nil, err
	}
	speaker, ok := adapter.(Speaker)
	switch {
	case !ok:
		return nil, writ.Errorf(writ.CodeInvalid, "channel "+string(c.Name), "nothing can be said by %s", adapter.Traits().Title).WithFix("say it in another channel")
	case c.Token == "":
		return nil, writ.Errorf(writ.CodeInvalid, "channel "+string(c.Name), "it has no token to speak with").WithFix("`writ secret set NAME`, and add the channel again with --token NAME")
	}
	v := &voice{Speaker: speaker, channel: c, marks: adapter.Traits().Marks}
	if home, err := url.Parse(speaker.Home()); err == nil {
		v.base = strings.TrimSuffix(s.opts.Upstreams[home.Host], "/")
	}
	return v, nil
}

// account is CodeUnavailable where its token cannot be read.
func (s *Service) account(ctx context.Context, at lane, v *voice) (*Account, error) {
	token, err := s.opts.Secret(ctx, at.tenant, v.channel.Token)
	if err == nil && len(token) == 0 {
		err = writ.Errorf(writ.CodeUnavailable, "", "is empty")
	}
	if err != nil {
		return nil, writ.Errorf(writ.CodeUnavailable, "channel "+string(at.channel), "the secret %s cannot be read (%s)", v.channel.Token, writ.CodeOf(err)).
			WithFix("`writ secret set %s`", v.channel.Token)
	}
	account := &Account{Token: token, Base: v.base, Client: s.opts.Client}
	if v.base != "" {
		account.Client = s.opts.Upstream
	}
	return account, nil
}

// Say implements writ.Messenger: at once, whatever waits in the outbox.
func (s *Service) Say(ctx context.Context, tenant writ.TenantID, saying *writ.Saying) (string, error) {
	at := lane{tenant, saying.Channel}
	v, err := s.speaker(ctx, at)
	if err != nil {
		return "", err
	}
	if err := s.admits(ctx, at); err != nil {
		return "", err
	}
	account, err := s.account(ctx, at, v)
	if err != nil {
		return "", err
	}
	defer clear(account.Token)
	return v.Send(ctx, account, &Outgoing{Thread: saying.Thread, Text: saying.Text})
}

// messages are a page of what a prefix of the tenant's outboxes lists.
func (s *Service) messages(ctx context.Context, tenant writ.TenantID, prefix, after string) ([]sendable, error) {
	docs, err := s.opts.Store.List(ctx, writ.StoreQuery{Tenant: tenant, Prefix: prefix, After: after, Limit: pageSize})
	if err != nil {
		return nil, err
	}
	out := make([]sendable, len(docs))
	for i := range docs {
		out[i].document = docs[i].Key
		parts := strings.Split(docs[i].Key, "/") // outbox, provider, name, nanoseconds, stream
		if err := json.Unmarshal(docs[i].Value, &out[i].queued); err != nil || len(parts) != 5 || parts[4] != string(out[i].Stream) {
			return nil, writ.Errorf(writ.CodeTampered, docs[i].Key, "the document is not one of the outbox").WithFix("restore the store from a backup")
		}
		out[i].lane = lane{tenant, writ.ChannelName(parts[1] + "/" + parts[2])}
	}
	return out, nil
}

// sendable is a message that waits, as the store names it.
type sendable struct {
	lane
	queued
	document string
}
