package identity

import (
	"slices"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

func span(d time.Duration) *abi.Duration { return (*abi.Duration)(&d) }

func TestARotatedTokenOverlapsAndIsGone(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	for _, test := range []struct {
		name    string
		overlap *abi.Duration
		want    time.Duration
	}{
		{"by default", nil, 10 * time.Minute},
		{"none", span(0), 0},
		{"as long as may be", span(24 * time.Hour), 24 * time.Hour},
		{"longer than the token", span(time.Hour), 30 * time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			life := 48 * time.Hour
			if test.name == "longer than the token" {
				life = 30 * time.Minute
			}
			bot, old := r.add(t, ada, contract.TokenCreateInput{PrincipalID: "agent:bot", Kind: writ.Agent, ExpiresIn: abi.Duration(life)})
			out, err := r.TokenRotate(as(bot), &contract.TokenRotateInput{Overlap: test.overlap})
			if err != nil || out.Replaces != old.TokenID || out.PrincipalID != bot.ID || out.ExpiresAt != old.ExpiresAt || out.OldEndsAt.Std().Sub(r.now) != test.want {
				t.Fatalf("%v %+v", err, out)
			}
			next, err := r.Token(t.Context(), out.Token)
			if err != nil || !slices.Equal(next.Capabilities, bot.Capabilities) || next.ID != bot.ID {
				t.Fatalf("%v %+v", err, next)
			}
			if test.want > 0 {
				r.now = r.now.Add(test.want - 1)
				if _, err := r.Token(t.Context(), old.Token); err != nil {
					t.Errorf("a nanosecond before the overlap's end: %v", err)
				}
				r.now = r.now.Add(1)
			}
			_, err = r.Token(t.Context(), old.Token)
			wantCode(t, err, writ.CodeUnauthenticated)
		})
	}
}

func TestTokenRotationsThatAreRefused(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	bot, old := r.add(t, ada, contract.TokenCreateInput{PrincipalID: "agent:bot", Kind: writ.Agent})
	other, _ := r.add(t, ada, contract.TokenCreateInput{PrincipalID: "agent:other", Kind: writ.Agent})
	lesser, _ := r.add(t, ada, contract.TokenCreateInput{PrincipalID: "human:bob", Kind: writ.Human, Roles: []string{"admin"}, Capabilities: []string{capabilityCore}})
	peer, err := r.Peer(t.Context(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	_, revoked := r.add(t, ada, contract.TokenCreateInput{PrincipalID: "agent:bot"})
	if _, err := r.TokenRevoke(as(ada), &contract.TokenRevokeInput{TokenID: revoked.TokenID}); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		by   *writ.Principal
		in   contract.TokenRotateInput
		code writ.Code
	}{
		{"another's", other, contract.TokenRotateInput{TokenID: old.TokenID}, writ.CodeForbidden},
		{"one that is not there, by no admin", other, contract.TokenRotateInput{TokenID: "none"}, writ.CodeForbidden},
		{"one that is not there", ada, contract.TokenRotateInput{TokenID: "none"}, writ.CodeNotFound},
		{"of somebody stronger", lesser, contract.TokenRotateInput{TokenID: ada.Session}, writ.CodeForbidden},
		{"without a token", peer, contract.TokenRotateInput{}, writ.CodeForbidden},
		{"a negative overlap", bot, contract.TokenRotateInput{Overlap: span(-1)}, writ.CodeInvalid},
		{"an overlap of more than a day", bot, contract.TokenRotateInput{Overlap: span(24*time.Hour + 1)}, writ.CodeInvalid},
		{"a longer life, by no admin", bot, contract.TokenRotateInput{ExpiresIn: abi.Duration(time.Hour)}, writ.CodeForbidden},
		{"too long a life", ada, contract.TokenRotateInput{TokenID: old.TokenID, ExpiresIn: abi.Duration(maxValidity + 1)}, writ.CodeInvalid},
		{"a revoked one", ada, contract.TokenRotateInput{TokenID: revoked.TokenID}, writ.CodeConflict},
	}
	before := len(r.records(t))
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := r.TokenRotate(as(test.by), &test.in)
			wantCode(t, err, test.code)
		})
	}
	if after := len(r.records(t)); after != before {
		t.Errorf("refusals left %d records", after-before)
	}
	if _, err := r.TokenRotate(as(bot), &contract.TokenRotateInput{}); err != nil {
		t.Fatal(err)
	}
	_, err = r.TokenRotate(as(bot), &contract.TokenRotateInput{})
	wantCode(t, err, writ.CodeConflict) // a stolen old secret makes no new one
	_, err = r.TokenRotate(t.Context(), &contract.TokenRotateInput{})
	wantCode(t, err, writ.CodeUnauthenticated)
}

// TestAnAdminMakesARotatedTokenLast: and both are in the list.
func TestAnAdminMakesARotatedTokenLast(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	_, old := r.add(t, ada, contract.TokenCreateInput{PrincipalID: "agent:bot", Kind: writ.Agent, ExpiresIn: abi.Duration(time.Hour)})
	out, err := r.TokenRotate(as(ada), &contract.TokenRotateInput{TokenID: old.TokenID, ExpiresIn: abi.Duration(720 * time.Hour)})
	if err != nil || out.ExpiresAt.Std().Sub(r.now) != 720*time.Hour {
		t.Fatalf("%v %+v", err, out)
	}
	list, err := r.TokenList(as(ada), &contract.TokenListInput{PrincipalID: "agent:bot"})
	if err != nil || len(list.Items) != 2 {
		t.Fatalf("%v %+v", err, list)
	}
	for _, k := range list.Items {
		if (k.ReplacedBy != "") != (k.TokenID == old.TokenID) {
			t.Errorf("%+v", k)
		}
	}
}

// TestASessionIsNotRotated: neither by whom it is of nor by an admin. It would come
// out as a token that no provider vouches for and no limit of sessions counts.
func TestASessionIsNotRotated(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	who := &admitted{principal: writ.Principal{
		ID: "human:oidc_x", Kind: writ.Human, Tenant: writ.DefaultTenant, Workspace: writ.DefaultWorkspace, Capabilities: []string{capabilityCore},
	}}
	session, err := r.open(t.Context(), who, &Claims{Issuer: "https://login.example.com", Subject: "1"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	person, err := r.Token(t.Context(), session.Token)
	if err != nil || person.Strength != writ.StrengthOIDC {
		t.Fatalf("%v %+v", err, person)
	}
	for _, by := range []*writ.Principal{person, ada} {
		_, err := r.TokenRotate(as(by), &contract.TokenRotateInput{TokenID: session.SessionID})
		wantCode(t, err, writ.CodeConflict)
	}
	if _, err := r.Token(t.Context(), session.Token); err != nil {
		t.Errorf("the session has ended: %v", err)
	}
}

// TestARotatedTokenKeepsItsTenant: the new one says of which it is, and the old one
// is gone from memory too.
func TestARotatedTokenKeepsItsTenant(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	made, err := r.TenantCreate(as(ada), &contract.TenantCreateInput{TenantID: "acme", Operator: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := r.Token(t.Context(), made.Token)
	if err != nil {
		t.Fatal(err)
	}
	out, err := r.TokenRotate(as(theirs), &contract.TokenRotateInput{Overlap: span(0)})
	if err != nil {
		t.Fatal(err)
	}
	if next, err := r.Token(t.Context(), out.Token); err != nil || next.Tenant != "acme" || next.ID != theirs.ID {
		t.Errorf("%v %+v", err, next)
	}
	_, err = r.Token(t.Context(), made.Token)
	wantCode(t, err, writ.CodeUnauthenticated)
}
