package identity

import (
	"strings"
	"testing"

	"github.com/writ-run/writ"
)

// inChannel is a person as a channel's provider vouches for them.
func inChannel(p *writ.Principal, channel string) *writ.Principal {
	out := *p
	out.Source, out.Strength = "channel:"+channel, writ.StrengthChannel
	return &out
}

var via = writ.Via{Channel: "slack/acme", Sender: "T1/U1", Delivery: "dlv_1"}

func attest(t testing.TB, r *rig, p *writ.Principal, word writ.Word) []byte {
	t.Helper()
	out, err := r.AttestDecision(t.Context(), p, word, &via)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAChannelsWordIsTheHosts(t *testing.T) {
	r := newRig(t)
	ada, key := r.boot(t)
	there := inChannel(ada, "slack/acme")
	for _, word := range []writ.Word{{Digest: wanted}, {Digest: wanted, Rejected: true}} {
		got, err := r.VerifyApproval(t.Context(), there, word, attest(t, r, there, word))
		if err != nil || got == nil || *got != via {
			t.Errorf("%+v: %+v, %v", word, got, err)
		}
	}
	bob := r.person(t, ada, "human:bob", mustKey(t, 7))
	bot := *there
	bot.Kind = writ.Agent
	good := attest(t, r, there, writ.Word{Digest: wanted})
	for name, test := range map[string]struct {
		p        *writ.Principal
		word     writ.Word
		envelope []byte
	}{
		"her own key's word":            {there, writ.Word{Digest: wanted}, sign(t, key, ada.ID, wanted)},
		"the host's where she acts":     {ada, writ.Word{Digest: wanted}, good},
		"about another request":         {there, writ.Word{Digest: another}, good},
		"a yes as a no":                 {there, writ.Word{Digest: wanted, Rejected: true}, good},
		"a no as a yes":                 {there, writ.Word{Digest: wanted}, attest(t, r, there, writ.Word{Digest: wanted, Rejected: true})},
		"in another's place":            {there, writ.Word{Digest: wanted, For: bob.ID}, good},
		"of somebody else":              {inChannel(bob, "slack/acme"), writ.Word{Digest: wanted}, good},
		"in another channel":            {inChannel(ada, "slack/other"), writ.Word{Digest: wanted}, good},
		"by who is known by a process":  {&writ.Principal{ID: ada.ID, Tenant: ada.Tenant, Kind: writ.Human, Strength: writ.StrengthPeer, Source: there.Source}, writ.Word{Digest: wanted}, good},
		"of an agent":                   {&bot, writ.Word{Digest: wanted}, good},
		"of nothing":                    {there, writ.Word{}, good},
		"no signature":                  {there, writ.Word{Digest: wanted}, nil},
		"another signature's last byte": {there, writ.Word{Digest: wanted}, []byte(strings.Replace(string(good), `"sig":"`, `"sig":"A`, 1))},
	} {
		if _, err := r.VerifyApproval(t.Context(), test.p, test.word, test.envelope); !writ.IsCode(err, writ.CodeForbidden) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAnotherHostsWordIsNone: only this host attests for this host.
func TestAnotherHostsWordIsNone(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	there, word := inChannel(ada, "slack/acme"), writ.Word{Digest: wanted}
	elsewhere := newRig(t)
	elsewhere.opts.HostKey = append([]byte{}, hostKey()...)
	elsewhere.opts.HostKey[0]++
	envelope := attest(t, elsewhere, there, word)
	wantCode(t, r.verify(t.Context(), there, word, envelope), writ.CodeForbidden)
	r.opts.HostKey = nil
	wantCode(t, r.verify(t.Context(), there, word, envelope), writ.CodeForbidden)
	_, err := r.AttestDecision(t.Context(), there, word, &via)
	wantCode(t, err, writ.CodeUnavailable)
}

func TestTheHostAttestsOnlyWhatAPersonSaidInAChannel(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	there := inChannel(ada, "slack/acme")
	bot := *there
	bot.Kind = writ.Agent
	for name, test := range map[string]struct {
		p    *writ.Principal
		word writ.Word
		via  *writ.Via
		code writ.Code
	}{
		"nobody":             {nil, writ.Word{Digest: wanted}, &via, writ.CodeForbidden},
		"who acts elsewhere": {ada, writ.Word{Digest: wanted}, &via, writ.CodeForbidden},
		"an agent":           {&bot, writ.Word{Digest: wanted}, &via, writ.CodeForbidden},
		"for another":        {there, writ.Word{Digest: wanted, For: "human:bob"}, &via, writ.CodeForbidden},
		"by no way":          {there, writ.Word{Digest: wanted}, nil, writ.CodeForbidden},
		"by no delivery":     {there, writ.Word{Digest: wanted}, &writ.Via{Channel: "slack/acme", Sender: "T1/U1"}, writ.CodeForbidden},
		"about nothing":      {there, writ.Word{}, &via, writ.CodeInvalid},
	} {
		if _, err := r.AttestDecision(t.Context(), test.p, test.word, test.via); !writ.IsCode(err, test.code) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
