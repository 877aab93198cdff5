package identity

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

func TestTokenLivesUntilItEnds(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	p, out := r.add(t, ada, contract.TokenCreateInput{PrincipalID: "agent:bot", Kind: writ.Agent, Name: "bot", ExpiresIn: abi.Duration(time.Hour)})
	if p.ID != "agent:bot" || len(p.Roles) != 0 || p.Strength != writ.StrengthToken ||
		strings.Join(p.Capabilities, " ") != "control-plane.core control-plane.audit" || !strings.Contains(p.Source, out.TokenID) {
		t.Errorf("got %+v", p)
	}
	r.now = r.now.Add(time.Hour - 1)
	if _, err := r.Token(t.Context(), out.Token); err != nil {
		t.Errorf("a nanosecond before its end: %v", err)
	}
	r.now = r.now.Add(1)
	_, err := r.Token(t.Context(), out.Token)
	wantCode(t, err, writ.CodeUnauthenticated)
}

func TestTokenIsRevokedAtOnce(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	_, out := r.add(t, ada, contract.TokenCreateInput{PrincipalID: "agent:bot", Kind: writ.Agent})
	for range 2 { // the second time changes nothing
		revoked, err := r.TokenRevoke(as(ada), &contract.TokenRevokeInput{TokenID: out.TokenID, Reason: "leaked"})
		if err != nil || revoked.Status != "revoked" {
			t.Fatalf("got %+v, %v", revoked, err)
		}
		_, err = r.Token(t.Context(), out.Token)
		wantCode(t, err, writ.CodeUnauthenticated)
	}
	_, err := r.TokenRevoke(as(ada), &contract.TokenRevokeInput{TokenID: "none"})
	wantCode(t, err, writ.CodeNotFound)
	list, err := r.TokenList(as(ada), &contract.TokenListInput{})
	if err != nil || len(list.Items) != 1 || list.Items[0].PrincipalID != ada.ID {
		t.Errorf("got %+v, %v", list, err)
	}
	list, err = r.TokenList(as(ada), &contract.TokenListInput{IncludeRevoked: true, PrincipalID: "agent:bot"})
	if err != nil || len(list.Items) != 1 || list.Items[0].RevokedAt == 0 {
		t.Errorf("got %+v, %v", list, err)
	}
}

func TestTokenIsStoredAsAHashOnly(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	_, out := r.add(t, ada, contract.TokenCreateInput{PrincipalID: "agent:bot", Kind: writ.Agent})
	secret := out.Token[strings.LastIndexByte(out.Token, '_')+1:]
	documents, err := r.journal.List(t.Context(), writ.StoreQuery{Tenant: writ.DefaultTenant})
	if err != nil {
		t.Fatal(err)
	}
	records, err := r.journal.Records(t.Context(), writ.RecordQuery{Tenant: writ.DefaultTenant, Stream: writ.SystemStream})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range documents {
		if bytes.Contains(d.Value, []byte(secret)) {
			t.Errorf("%s holds the secret", d.Key)
		}
	}
	for _, record := range records {
		if bytes.Contains(record.Bytes, []byte(secret)) {
			t.Errorf("record %d holds the secret", record.Seq)
		}
	}
}

func TestHostileTokens(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	_, out := r.add(t, ada, contract.TokenCreateInput{PrincipalID: "agent:bot", Kind: writ.Agent})
	other, _ := strings.CutPrefix(out.Token, "writ_")
	tests := map[string]string{
		"empty":          "",
		"truncated":      out.Token[:len(out.Token)-1],
		"longer":         out.Token + "a",
		"new line":       out.Token + "\n",
		"space before":   " " + out.Token,
		"upper case":     strings.ToUpper(out.Token),
		"another secret": out.Token[:len(out.Token)-52] + strings.Repeat("a", 52),
		"one bit":        flip(out.Token, len(out.Token)-1),
		"first bit":      flip(out.Token, len(out.Token)-52),
		"unknown id":     "writ_" + strings.Repeat("a", 16) + out.Token[21:],
		"id of a path":   "writ_../../../../../a_" + out.Token[22:],
		"no mark":        other,
		"unicode":        strings.Replace(out.Token, "_", "＿", 1),
		"cyrillic":       strings.Repeat("а", 37),
		"nul":            out.Token[:30] + "\x00" + out.Token[31:],
		"invalid UTF-8":  out.Token[:30] + "\xff" + out.Token[31:],
		"huge":           strings.Repeat("writ_", 1<<20),
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			p, err := r.Token(t.Context(), text)
			wantCode(t, err, writ.CodeUnauthenticated)
			if p != nil || err.Error() != unauthenticated().Error() {
				t.Errorf("the refusal says more than another: %v, %v", p, err)
			}
		})
	}
	if _, err := r.Token(t.Context(), out.Token); err != nil {
		t.Errorf("the token itself: %v", err)
	}
}

// flip replaces one character by another of the alphabet.
func flip(s string, i int) string {
	c := byte('a')
	if s[i] == c {
		c = 'b'
	}
	return s[:i] + string(c) + s[i+1:]
}

func FuzzParseToken(f *testing.F) {
	f.Add("writ_aaaaaaaaaaaaaaaa_" + strings.Repeat("a", 52))
	f.Add("writ_acme_aaaaaaaaaaaaaaaa_" + strings.Repeat("a", 52))
	f.Add("writ__")
	f.Add("writ_\xff")
	f.Fuzz(func(t *testing.T, text string) {
		tenant, id, ok := parseToken(text)
		if !ok {
			return
		}
		middle := id
		if strings.Count(text, "_") == 3 {
			middle = string(tenant) + "_" + id
		} else if tenant != writ.DefaultTenant {
			t.Errorf("%q is of %q", text, tenant)
		}
		if len(id) != 16 || len(tenant) > 32 || len(text) != len("writ_"+middle+"_")+52 || !strings.HasPrefix(text, "writ_"+middle+"_") || strings.ContainsAny(middle, "/.\x00") {
			t.Errorf("%q has the tenant %q and the id %q", text, tenant, id)
		}
	})
}

func TestNobodyHandsOutMoreThanItHas(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	lesser, _ := r.add(t, ada, contract.TokenCreateInput{
		PrincipalID: "human:bob", Kind: writ.Human, Roles: []string{"admin"}, Capabilities: []string{capabilityCore},
	})
	tests := []struct {
		name string
		by   *writ.Principal
		in   contract.TokenCreateInput
		code writ.Code
	}{
		{"more capabilities", lesser, contract.TokenCreateInput{PrincipalID: "service:x", Kind: writ.Service, Capabilities: []string{capabilitySkills}}, writ.CodeForbidden},
		{"more by default", lesser, contract.TokenCreateInput{PrincipalID: "service:x", Kind: writ.Service}, writ.CodeForbidden},
		{"more roles", lesser, contract.TokenCreateInput{PrincipalID: "human:x", Kind: writ.Human, Roles: []string{"approver"}, Capabilities: []string{capabilityCore}}, writ.CodeForbidden},
		{"the host's own role", ada, contract.TokenCreateInput{PrincipalID: "human:x", Kind: writ.Human, Roles: []string{"system"}}, writ.CodeForbidden},
		{"a token of somebody stronger", lesser, contract.TokenCreateInput{PrincipalID: "human:ada"}, writ.CodeForbidden},
		{"a narrow token of somebody stronger", lesser, contract.TokenCreateInput{PrincipalID: "human:ada", Capabilities: []string{capabilityCore}}, writ.CodeForbidden},
		{"roles that the principal has not", ada, contract.TokenCreateInput{PrincipalID: "human:bob", Roles: []string{"approver"}}, writ.CodeInvalid},
		{"capabilities that the principal has not", ada, contract.TokenCreateInput{PrincipalID: "human:bob", Capabilities: []string{capabilityAudit}}, writ.CodeInvalid},
		{"an agent with a role", ada, contract.TokenCreateInput{PrincipalID: "agent:x", Kind: writ.Agent, Roles: []string{"operator"}}, writ.CodeInvalid},
		{"an agent that approves", ada, contract.TokenCreateInput{PrincipalID: "agent:x", Kind: writ.Agent, Capabilities: []string{capabilityApproval}}, writ.CodeInvalid},
		{"an agent with an approver's key", ada, contract.TokenCreateInput{PrincipalID: "agent:x", Kind: writ.Agent, ApproverPublicKeyPEM: "x"}, writ.CodeInvalid},
		{"another kind", ada, contract.TokenCreateInput{PrincipalID: "human:bob", Kind: writ.Agent}, writ.CodeInvalid},
		{"kind and id differ", ada, contract.TokenCreateInput{PrincipalID: "agent:x", Kind: writ.Human}, writ.CodeInvalid},
		{"no kind", ada, contract.TokenCreateInput{PrincipalID: "agent:x"}, writ.CodeInvalid},
		{"an id that is a path", ada, contract.TokenCreateInput{PrincipalID: "agent:../x", Kind: writ.Agent}, writ.CodeInvalid},
		{"acting for itself", ada, contract.TokenCreateInput{PrincipalID: "agent:x", Kind: writ.Agent, OnBehalfOf: []writ.PrincipalID{"agent:x"}}, writ.CodeInvalid},
		{"a long name", ada, contract.TokenCreateInput{PrincipalID: "agent:x", Kind: writ.Agent, Name: strings.Repeat("x", maxName+1)}, writ.CodeInvalid},
		{"no end", ada, contract.TokenCreateInput{PrincipalID: "agent:x", Kind: writ.Agent, ExpiresIn: abi.Duration(maxValidity + 1)}, writ.CodeInvalid},
		{"an end before now", ada, contract.TokenCreateInput{PrincipalID: "agent:x", Kind: writ.Agent, ExpiresIn: -1}, writ.CodeInvalid},
	}
	before := len(r.records(t))
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := r.TokenCreate(as(test.by), &test.in)
			wantCode(t, err, test.code)
		})
	}
	if after := len(r.records(t)); after != before {
		t.Errorf("refusals left %d records", after-before)
	}
	_, err := r.TokenCreate(t.Context(), &contract.TokenCreateInput{PrincipalID: "agent:x", Kind: writ.Agent})
	wantCode(t, err, writ.CodeUnauthenticated)
	p, _ := r.add(t, ada, contract.TokenCreateInput{PrincipalID: "human:bob"})
	if len(p.Capabilities) != 1 || len(p.Roles) != 1 {
		t.Errorf("a second token of a principal: %+v", p)
	}
}

func TestWhatTokenReturnsIsTheCallers(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	bot, out := r.add(t, ada, contract.TokenCreateInput{PrincipalID: "agent:bot", Kind: writ.Agent})
	bot.Capabilities[0], bot.Kind = capabilityApproval, writ.Human
	again, err := r.Token(t.Context(), out.Token)
	if err != nil || again.Kind != writ.Agent || again.Capabilities[0] != capabilityCore {
		t.Errorf("got %+v, %v", again, err)
	}
}

// A revocation is never overtaken by a reader that began before it.
func TestRevocationUnderReaders(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	for i := range 8 {
		_, out := r.add(t, ada, contract.TokenCreateInput{PrincipalID: "agent:bot", Kind: writ.Agent})
		r.tokens.Clear()
		stop := make(chan struct{})
		var readers sync.WaitGroup
		for range 4 {
			readers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						if _, err := r.Token(context.Background(), out.Token); err != nil && !writ.IsCode(err, writ.CodeUnauthenticated) {
							t.Error(err)
						}
					}
				}
			})
		}
		if _, err := r.TokenRevoke(as(ada), &contract.TokenRevokeInput{TokenID: out.TokenID}); err != nil {
			t.Fatal(err)
		}
		_, err := r.Token(t.Context(), out.Token)
		wantCode(t, err, writ.CodeUnauthenticated)
		close(stop)
		readers.Wait()
		if _, err = r.Token(t.Context(), out.Token); !writ.IsCode(err, writ.CodeUnauthenticated) {
			t.Fatalf("round %d: the token lives again: %v", i, err)
		}
	}
}
