package channel_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/channel"
)

// TestWhoConnects: the operator says where an upstream is, and a provider's home is where
// its name leads.
func TestWhoConnects(t *testing.T) {
	home, upstream := &http.Client{}, &http.Client{}
	for want, upstreams := range map[*http.Client]map[string]string{
		home:     {"other.example.com": "http://127.0.0.1:1"},
		upstream: {"talk.example.com": "http://127.0.0.1:1"},
	} {
		r, p := newTalk(t)
		r.opts.Client, r.opts.Upstream, r.opts.Upstreams = home, upstream, upstreams
		r.restart()
		var got *http.Client
		p.check = func(a *channel.Account) { got = a.Client }
		if _, err := r.Say(t.Context(), writ.DefaultTenant, &writ.Saying{Channel: "talk/a", Text: "x"}); err != nil || got != want {
			t.Errorf("%v: another client, %v", upstreams, err)
		}
	}
}

// TestWhyThereIsNoConnectionIsSaid, and never the token with it.
func TestWhyThereIsNoConnectionIsSaid(t *testing.T) {
	for why, want := range map[string]string{
		"the host's address is not public": "nothing was sent: the host's address is not public",
		"a name of s3cret is not known":    "nothing was sent",
	} {
		dial := func(context.Context, string, string) (net.Conn, error) { return nil, errors.New(why) }
		account := &channel.Account{Token: []byte("s3cret"), Client: &http.Client{Transport: &http.Transport{DialContext: dial}}}
		attempt := account.NewAttempt(t.Context(), "https://talk.example.com", "talk")
		request, err := http.NewRequest(http.MethodPost, "https://talk.example.com/say", nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = attempt.Do(request, func([]byte) string { return "" })
		if !writ.IsCode(err, writ.CodeUnavailable) || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
