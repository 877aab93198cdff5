package channel

import (
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

// channelPrefix of the documents of channels: channel/PROVIDER/NAME.
const channelPrefix = "channel/"

// Bounds of what an admin adds.
const (
	maxChannels = 256 // of a tenant
	maxMembers  = 4096
	maxTriggers = 64
	maxDraft    = 64 << 10
)

var nameForm = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$`)

// adapterOf is the provider of a channel. CodeInvalid where there is none.
func (s *Service) adapterOf(name writ.ChannelName) (Adapter, error) {
	provider, _, _ := strings.Cut(string(name), "/")
	if a := s.adapters[provider]; a != nil {
		return a, nil
	}
	return nil, writ.Errorf(writ.CodeInvalid, "channel "+writ.Clip(string(name), maxName), "there is no provider %q", writ.Clip(provider, maxName)).
		WithFix("one of %s", strings.Join(s.providers(), ", "))
}

func (s *Service) providers() []string {
	out := make([]string, 0, len(s.adapters))
	for provider := range s.adapters {
		out = append(out, provider)
	}
	slices.Sort(out)
	return out
}

// channel finds one of a tenant. CodeNotFound.
func (s *Service) channel(ctx context.Context, tenant writ.TenantID, name writ.ChannelName) (*contract.Channel, error) {
	all, err := s.channels(ctx, tenant)
	if err != nil {
		return nil, err
	}
	if c := all[name]; c != nil {
		return c, nil
	}
	return nil, writ.Errorf(writ.CodeNotFound, "channel "+writ.Clip(string(name), maxName), "there is no such channel").WithFix("`writ channel list` shows those that are there")
}

// channels are a tenant's, read once. They must not be changed.
func (s *Service) channels(ctx context.Context, tenant writ.TenantID) (map[writ.ChannelName]*contract.Channel, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.load(ctx, tenant)
}

// load is channels for who holds mu.
func (s *Service) load(ctx context.Context, tenant writ.TenantID) (map[writ.ChannelName]*contract.Channel, error) {
	if all, ok := s.known[tenant]; ok {
		return all, nil
	}
	docs, err := s.opts.Store.List(ctx, writ.StoreQuery{Tenant: tenant, Prefix: channelPrefix})
	if err != nil {
		return nil, err
	}
	all := make(map[writ.ChannelName]*contract.Channel, len(docs))
	for i := range docs {
		c := &contract.Channel{}
		if err := json.Unmarshal(docs[i].Value, c); err != nil || channelPrefix+string(c.Name) != docs[i].Key {
			return nil, writ.Errorf(writ.CodeTampered, docs[i].Key, "the document is not of what it is named after").WithFix("restore the store from a backup")
		}
		all[c.Name] = c
	}
	if len(all) > 0 || s.exists(ctx, tenant) { // whoever asks for tenants that are none fills no memory
		s.known[tenant] = all
	}
	return all, nil
}

func (s *Service) exists(ctx context.Context, tenant writ.TenantID) bool {
	tenants, err := s.opts.Tenants(ctx)
	return err == nil && slices.Contains(tenants, tenant)
}

// Add is the handler of contract.ChannelAdd. The same name again replaces what was
// there.
func (s *Service) Add(ctx context.Context, in *contract.ChannelAddInput) (*contract.ChannelAddOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	c := in.Channel
	if err := s.check(ctx, by, &c); err != nil {
		return nil, err
	}
	at := s.opts.Clock.Now()
	status := contract.ChannelAdded
	s.mu.Lock()
	defer s.mu.Unlock()
	all, err := s.load(ctx, by.Tenant)
	switch {
	case err != nil:
		return nil, err
	case all[c.Name] != nil:
		status = contract.ChannelReplaced
	case len(all) >= maxChannels:
		return nil, writ.Errorf(writ.CodeConflict, "channel "+string(c.Name), "the tenant has %d channels, and no more are kept", maxChannels).WithFix("remove one: `writ channel remove NAME`")
	}
	document, err := canon.MarshalJSON(&c)
	if err != nil {
		return nil, err
	}
	if err := s.record(ctx, by, writ.SystemFacts{Subject: string(c.Name), Status: status, Reason: in.Reason}, writ.Change{Key: channelPrefix + string(c.Name), Value: document}); err != nil {
		return nil, err
	}
	delete(s.known, by.Tenant) // read again, as it stands on disk
	s.look()
	return &contract.ChannelAddOutput{Result: contract.Result{Status: status, ChangedAt: at}, URL: s.url(by.Tenant, c.Name), VerifyToken: s.token(ctx, by.Tenant, &c)}, nil
}

// check refuses what could not work.
func (s *Service) check(ctx context.Context, by *writ.Principal, c *contract.Channel) error {
	op := "channel " + writ.Clip(string(c.Name), maxName)
	wrong := func(place, fix, format string, args ...any) error {
		e := writ.Errorf(writ.CodeInvalid, op, format, args...).WithFix("%s", fix)
		e.Place = place
		return e
	}
	_, name, _ := strings.Cut(string(c.Name), "/")
	if _, err := s.adapterOf(c.Name); err != nil {
		return err
	}
	switch {
	case !nameForm.MatchString(name):
		return wrong("name", "use lower-case letters, digits and dashes, 64 at most", "%q cannot be a channel's name", writ.Clip(name, maxName))
	case len(c.Secrets) < 1 || len(c.Secrets) > 2:
		return wrong("secrets", "name one secret, or two while one replaces the other", "%d secrets", len(c.Secrets))
	case len(c.Members) > maxMembers:
		return wrong("members", "map groups with a star", "%d members: at most %d", len(c.Members), maxMembers)
	case len(c.Triggers) > maxTriggers:
		return wrong("triggers", "join some with a star at the end", "%d triggers: at most %d", len(c.Triggers), maxTriggers)
	case c.Unmapped != "" && c.Unmapped != contract.UnmappedRefuse && c.Unmapped != contract.UnmappedIgnore:
		return wrong("unmapped", "one of refuse, ignore", "unknown value %q", writ.Clip(string(c.Unmapped), maxName))
	}
	for _, m := range c.Members {
		if m.Sender == "" || len(m.Sender) > maxName {
			return wrong("members", "the provider's own id of the sender, or a star", "a sender has %d bytes: want 1 to %d", len(m.Sender), maxName)
		}
		p, err := s.opts.Principals.Principal(ctx, by.Tenant, m.PrincipalID)
		if err != nil {
			return wrong("members", "`writ token create` makes principals", "there is no principal %q here", writ.Clip(string(m.PrincipalID), maxName))
		}
		if m.Sender == "*" && p.Kind == writ.Human {
			return wrong("members", "map anybody to an agent or a service", "anybody who writes would be %s, a person", p.ID)
		}
	}
	for _, t := range c.Triggers {
		if t.Event == "" || len(t.Event) > maxName || len(t.Draft) == 0 || len(t.Draft) > maxDraft {
			return wrong("triggers", "an event of at most 128 bytes and a draft of at most 64 KiB", "the trigger %q cannot work", writ.Clip(t.Event, maxName))
		}
	}
	if (c.Decides || c.AskIn != "") && c.Token == "" {
		return wrong("token", "name the secret with the token of the bot: --token NAME", "nobody can be asked where nothing is said")
	}
	if len(c.AskIn) > maxThread {
		return wrong("askIn", "name a thread of the provider", "the thread has more than %d bytes", maxThread)
	}
	if _, err := s.keys(ctx, by.Tenant, c); err != nil {
		return err
	}
	return s.checkToken(ctx, by.Tenant, c)
}

// checkToken refuses one with which nothing could be said.
func (s *Service) checkToken(ctx context.Context, tenant writ.TenantID, c *contract.Channel) error {
	if c.Token == "" {
		return nil
	}
	adapter, err := s.adapterOf(c.Name)
	if err != nil {
		return err
	}
	if _, ok := adapter.(Speaker); !ok {
		e := writ.Errorf(writ.CodeInvalid, "channel "+string(c.Name), "nothing can be said by %s", adapter.Traits().Title).WithFix("leave the token out")
		e.Place = "token"
		return e
	}
	account, err := s.account(ctx, lane{tenant, c.Name}, &voice{channel: c})
	if err != nil {
		return err
	}
	clear(account.Token)
	return nil
}

// Remove is the handler of contract.ChannelRemove. What waits of it is refused when its
// turn comes.
func (s *Service) Remove(ctx context.Context, in *contract.ChannelRemoveInput) (*contract.ChannelRemoveOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := s.channel(ctx, by.Tenant, in.Name); err != nil {
		return nil, err
	}
	at := s.opts.Clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.record(ctx, by, writ.SystemFacts{Subject: string(in.Name), Status: contract.ChannelRemoved, Reason: in.Reason}, writ.Change{Key: channelPrefix + string(in.Name)}); err != nil {
		return nil, err
	}
	delete(s.known, by.Tenant)
	return &contract.ChannelRemoveOutput{Result: contract.Result{Status: contract.ChannelRemoved, ChangedAt: at}}, nil
}

// List is the handler of contract.ChannelList.
func (s *Service) List(ctx context.Context, _ *contract.ChannelListInput) (*contract.ChannelListOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	all, err := s.channels(ctx, by.Tenant)
	if err != nil {
		return nil, err
	}
	out := &contract.ChannelListOutput{Result: contract.Result{Status: "ok", ChangedAt: s.opts.Clock.Now()}, Items: make([]contract.ChannelItem, 0, len(all))}
	for _, c := range all {
		item := contract.ChannelItem{Channel: *c, URL: s.url(by.Tenant, c.Name), VerifyToken: s.token(ctx, by.Tenant, c)}
		if _, err := s.keys(ctx, by.Tenant, c); err != nil {
			item.Problem = writ.Clip(err.Error(), maxWhy)
		} else if err := s.checkToken(ctx, by.Tenant, c); err != nil {
			item.Problem = writ.Clip(err.Error(), maxWhy)
		}
		out.Items = append(out.Items, item)
	}
	slices.SortFunc(out.Items, func(a, b contract.ChannelItem) int { return strings.Compare(string(a.Name), string(b.Name)) })
	return out, nil
}

// record appends a change to the tenant's system journal and waits for the disk, even
// if the caller is gone. mu is held.
func (s *Service) record(ctx context.Context, by *writ.Principal, facts writ.SystemFacts, changes ...writ.Change) error {
	ctx = context.WithoutCancel(ctx)
	receipt, err := s.opts.Journal.Append(ctx, &writ.Batch{
		Tenant: by.Tenant, Stream: writ.SystemStream, Expect: writ.AnySeq, Changes: changes,
		Records: []writ.NewRecord{{Type: writ.RecChannelChanged, Time: s.opts.Clock.Now(), Actor: writ.AuditOf(by, ""), Body: writ.Body{System: &facts}}},
	})
	if err != nil {
		return err
	}
	return s.opts.Journal.Barrier(ctx, receipt.Position)
}

// token is what the channel's provider is to be given beside the URL; empty where it
// asks for none, or there is no secret to make it of.
func (s *Service) token(ctx context.Context, tenant writ.TenantID, c *contract.Channel) string {
	adapter, err := s.adapterOf(c.Name)
	challenger, ok := adapter.(Challenger)
	if err != nil || !ok {
		return ""
	}
	keys, err := s.keys(ctx, tenant, c)
	if err != nil {
		return ""
	}
	return challenger.Token(keys[0])
}

// url is where a channel's provider sends to.
func (s *Service) url(tenant writ.TenantID, name writ.ChannelName) string {
	provider, short, _ := strings.Cut(string(name), "/")
	return strings.TrimSuffix(s.opts.PublicURL, "/") + "/webhooks/" + provider + "/" + segment(tenant, short)
}

// segment of the path that names a channel: that of another tenant has the tenant
// before it, which has no dot.
func segment(tenant writ.TenantID, name string) string {
	if tenant == writ.DefaultTenant {
		return name
	}
	return string(tenant) + "." + name
}
