package channel

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// Pattern of the path at which providers call, for http.ServeMux.
const Pattern = "/webhooks/{provider}/{channel}"

// retryAfter is what a provider is asked to wait where there is no room, in seconds.
const retryAfter = "10"

// ServeWebhook answers a provider. A delivery is on disk before it is. What is wrong
// with a request is an error: CodeNotFound for a channel that does not exist,
// CodeUnauthenticated where its signature does not hold, CodeInvalid, CodeTooLarge,
// CodeUnavailable where it cannot be kept now and should be sent again.
func (s *Service) ServeWebhook(w http.ResponseWriter, r *http.Request) error {
	tenant, name := named(r.PathValue("provider"), r.PathValue("channel"))
	adapter, c, err := s.find(r.Context(), tenant, name)
	if err != nil {
		return err
	}
	if traits := adapter.Traits(); !slices.Contains(traits.Methods, r.Method) {
		w.Header().Set("Allow", strings.Join(traits.Methods, ", "))
		return writ.Errorf(writ.CodeInvalid, "webhook", "%s is not how %s calls", r.Method, traits.Title).WithFix("use %s", strings.Join(traits.Methods, " or "))
	}
	body, err := bodyOf(w, r, adapter.Traits().MaxBody)
	if err != nil {
		return err
	}
	answer, err := s.receive(r.Context(), tenant, c, &Request{
		Method: r.Method, URL: s.asked(r), Header: r.Header, Body: body, At: s.opts.Clock.Now(),
	})
	if err != nil {
		if writ.IsCode(err, writ.CodeUnavailable) {
			w.Header().Set("Retry-After", retryAfter)
		}
		return err
	}
	if answer.ContentType != "" {
		w.Header().Set("Content-Type", answer.ContentType)
	}
	w.WriteHeader(answer.Status)
	if _, err := w.Write(answer.Body); err != nil {
		return errors.Join(err, http.ErrAbortHandler)
	}
	return nil
}

// receive verifies a request, keeps a delivery and says what to answer.
func (s *Service) receive(ctx context.Context, tenant writ.TenantID, c *contract.Channel, r *Request) (*Answer, error) {
	adapter, err := s.adapterOf(c.Name)
	if err != nil {
		return nil, err
	}
	keys, err := s.ring(ctx, tenant, c)
	if err != nil {
		s.opts.Log.Error("a channel cannot verify what it is sent", "channel", c.Name, "code", writ.CodeOf(err))
		return nil, writ.Errorf(writ.CodeUnavailable, "webhook", "the channel is not ready").WithFix("`writ channel list` says what is missing")
	}
	receipt, err := adapter.Receive(r, keys)
	if err != nil { // the provider is told, and whoever set it up looks here
		s.opts.Log.Info("a request is refused", "channel", c.Name, "why", err)
		return nil, err
	}
	if receipt.Handshake != nil {
		return receipt.Handshake, nil
	}
	if err := bounded(receipt); err != nil {
		return nil, err
	}
	again, err := s.keep(ctx, tenant, c, receipt, r)
	if err != nil {
		return nil, err
	}
	if again {
		s.repeated.Add(1)
		s.opts.Log.Debug("a delivery came again", "channel", c.Name)
	}
	return &receipt.Accepted, nil
}

// Bounds of what is kept beside a body.
const (
	maxKey   = 256
	maxHints = 8
	maxHint  = 256
)

func bounded(r *Receipt) error {
	tooLarge := len(r.Key) > maxKey || len(r.Hints) > maxHints
	for name, value := range r.Hints {
		tooLarge = tooLarge || len(name) > maxHint || len(value) > maxHint
	}
	if tooLarge {
		return writ.Errorf(writ.CodeInvalid, "webhook", "its id or a header is longer than any that providers send")
	}
	return nil
}

// named is the channel that a path names: NAME of the default tenant, TENANT.NAME of
// another.
func named(provider, channel string) (writ.TenantID, writ.ChannelName) {
	tenant := writ.DefaultTenant
	if before, after, ok := strings.Cut(channel, "."); ok {
		tenant, channel = writ.TenantID(before), after
	}
	return tenant, writ.ChannelName(provider + "/" + channel)
}

// find is CodeNotFound in the same words for whatever is not there, a tenant included.
func (s *Service) find(ctx context.Context, tenant writ.TenantID, name writ.ChannelName) (Adapter, *contract.Channel, error) {
	nothing := writ.Errorf(writ.CodeNotFound, "webhook", "there is no such channel").WithFix("`writ channel list` shows where each is reached")
	adapter, err := s.adapterOf(name)
	if err != nil || len(tenant) > maxName || !nameForm.MatchString(string(tenant)) {
		return nil, nil, nothing
	}
	c, err := s.channel(ctx, tenant, name)
	if writ.IsCode(err, writ.CodeNotFound) {
		return nil, nil, nothing
	}
	return adapter, c, err
}

func bodyOf(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, writ.Errorf(writ.CodeTooLarge, "webhook", "the body has more than %d bytes", most).WithFix("send less")
	case err != nil:
		return nil, writ.Errorf(writ.CodeInvalid, "webhook", "the body did not arrive whole").WithFix("send it again")
	}
	return body, nil
}

// asked is the URL as the provider knows it.
func (s *Service) asked(r *http.Request) string {
	if s.opts.PublicURL != "" {
		return strings.TrimSuffix(s.opts.PublicURL, "/") + r.URL.RequestURI()
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host + r.URL.RequestURI()
}
