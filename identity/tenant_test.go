package identity

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

func TestTenantCreate(t *testing.T) {
	r := newRig(t)
	ada, key := r.boot(t)
	pem, err := key.PublicPEM()
	if err != nil {
		t.Fatal(err)
	}
	out, err := r.TenantCreate(as(ada), &contract.TenantCreateInput{TenantID: "acme", Operator: "ada", ApproverPublicKeyPEM: string(pem), Reason: "a customer"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.Token(t.Context(), out.Token)
	if err != nil || p.Tenant != "acme" || p.ID != "human:ada" || p.ID != ada.ID || !slices.Contains(p.Roles, "admin") {
		t.Errorf("got %+v, %v", p, err)
	}
	if err := r.verify(t.Context(), p, writ.Word{Digest: writ.Digest("sha256:" + strings.Repeat("0", 64))}, nil); writ.CodeOf(err) != writ.CodeForbidden {
		t.Errorf("got %v", err)
	}
	// Of two people of one name, neither holds what the other does.
	for _, who := range []*writ.Principal{ada, p} {
		grants, err := r.Candidates(t.Context(), who, nil, nil)
		if err != nil || len(grants) != 1 || grants[0].Tenant != who.Tenant {
			t.Errorf("%s of %s holds %+v, %v", who.ID, who.Tenant, grants, err)
		}
	}
	// A tenant's admin makes its people and no other's.
	made, bot := r.add(t, p, contract.TokenCreateInput{PrincipalID: "agent:bot", Kind: writ.Agent})
	if made.Tenant != "acme" || !strings.HasPrefix(bot.Token, "writ_acme_") {
		t.Errorf("got %+v", made)
	}
	_, err = r.TokenRevoke(as(ada), &contract.TokenRevokeInput{TokenID: bot.TokenID})
	wantCode(t, err, writ.CodeNotFound)
	for _, text := range []string{
		strings.Replace(bot.Token, "writ_acme_", "writ_", 1), strings.Replace(bot.Token, "writ_acme_", "writ_default_", 1),
		strings.Replace(bot.Token, "writ_acme_", "writ_other_", 1), strings.Replace(bot.Token, "writ_acme_", "writ__", 1),
	} {
		_, err := r.Token(t.Context(), text)
		wantCode(t, err, writ.CodeUnauthenticated)
	}
	tenants, err := r.Tenants(t.Context())
	if err != nil || !slices.Equal(tenants, []writ.TenantID{"default", "acme"}) {
		t.Errorf("got %v, %v", tenants, err)
	}
}

func TestTenantsThatAreRefused(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	out, err := r.TenantCreate(as(ada), &contract.TenantCreateInput{TenantID: "acme", Operator: "eve"})
	if err != nil {
		t.Fatal(err)
	}
	eve, err := r.Token(t.Context(), out.Token)
	if err != nil {
		t.Fatal(err)
	}
	count := len(r.records(t))
	for name, tc := range map[string]struct {
		by   *writ.Principal
		in   contract.TenantCreateInput
		code writ.Code
	}{
		"by another tenant's admin": {eve, contract.TenantCreateInput{TenantID: "third", Operator: "x"}, writ.CodeForbidden},
		"there already":             {ada, contract.TenantCreateInput{TenantID: "acme", Operator: "mallory"}, writ.CodeConflict},
		"the default one":           {ada, contract.TenantCreateInput{TenantID: "default", Operator: "x"}, writ.CodeConflict},
		"no name":                   {ada, contract.TenantCreateInput{Operator: "x"}, writ.CodeInvalid},
		"upper case":                {ada, contract.TenantCreateInput{TenantID: "Third", Operator: "x"}, writ.CodeInvalid},
		"an underscore":             {ada, contract.TenantCreateInput{TenantID: "a_b", Operator: "x"}, writ.CodeInvalid},
		"a path":                    {ada, contract.TenantCreateInput{TenantID: "../x", Operator: "x"}, writ.CodeInvalid},
		"a dot":                     {ada, contract.TenantCreateInput{TenantID: ".", Operator: "x"}, writ.CodeInvalid},
		"a NUL":                     {ada, contract.TenantCreateInput{TenantID: "a\x00b", Operator: "x"}, writ.CodeInvalid},
		"a dash at the end":         {ada, contract.TenantCreateInput{TenantID: "a-", Operator: "x"}, writ.CodeInvalid},
		"one more than 32":          {ada, contract.TenantCreateInput{TenantID: writ.TenantID(strings.Repeat("a", 33)), Operator: "x"}, writ.CodeInvalid},
		"no operator":               {ada, contract.TenantCreateInput{TenantID: "third"}, writ.CodeInvalid},
		"an operator with a colon":  {ada, contract.TenantCreateInput{TenantID: "third", Operator: "human:x"}, writ.CodeInvalid},
		"a key that is none":        {ada, contract.TenantCreateInput{TenantID: "third", Operator: "x", ApproverPublicKeyPEM: "x"}, writ.CodeInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.TenantCreate(as(tc.by), &tc.in)
			wantCode(t, err, tc.code)
		})
	}
	if after := len(r.records(t)); after != count {
		t.Errorf("refusals left %d records", after-count)
	}
	if _, err := r.TenantCreate(as(ada), &contract.TenantCreateInput{TenantID: writ.TenantID(strings.Repeat("a", 32)), Operator: "x"}); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	_, err = r.TenantList(as(eve), &contract.TenantListInput{})
	wantCode(t, err, writ.CodeForbidden)
	_, err = r.TenantList(context.Background(), &contract.TenantListInput{})
	wantCode(t, err, writ.CodeUnauthenticated)
}

// A crash between the tenant's record and its first person leaves what the same
// command finishes, and nobody inside.
func TestATenantWithoutAPersonIsFinished(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	half := change{
		record: writ.RecTenantCreated, facts: writ.SystemFacts{Subject: "acme", Status: "created"},
		documents: map[string]any{tenantPrefix + "acme": &tenancy{Name: "acme", CreatedBy: ada.ID}},
	}
	if err := r.commit(as(ada), ada, half); err != nil {
		t.Fatal(err)
	}
	out, err := r.TenantCreate(as(ada), &contract.TenantCreateInput{TenantID: "acme", Operator: "eve"})
	if err != nil || out.Operator != "human:eve" {
		t.Errorf("got %+v, %v", out, err)
	}
	list, err := r.TenantList(as(ada), &contract.TenantListInput{})
	if err != nil || len(list.Items) != 2 || list.Items[1].TenantID != "acme" {
		t.Errorf("got %+v, %v", list, err)
	}
}
