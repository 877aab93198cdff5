package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

// take takes one use, with a record of the system journal in an execution's place.
func (r *rig) take(p *writ.Principal, held []writ.GrantUse, ids ...string) ([]writ.GrantUse, error) {
	var taken []writ.GrantUse
	err := r.Take(context.Background(), &writ.Taking{Principal: p, Grants: ids, Held: held}, func(uses []writ.GrantUse, changes []writ.Change) error {
		taken = uses
		_, err := r.journal.Append(context.Background(), &writ.Batch{
			Tenant: writ.DefaultTenant, Stream: writ.SystemStream, Expect: writ.AnySeq, Changes: changes,
			Records: []writ.NewRecord{{Type: writ.RecStepStarted, Time: r.opts.Clock.Now(), Actor: writ.AuditOf(p, "")}},
		})
		return err
	})
	return taken, err
}

// TestUsesAreCountedOnlyWithTheirRecord: what is not written is not used, and what
// was accepted counts before it is on disk.
func TestUsesAreCountedOnlyWithTheirRecord(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	bot := r.bot(t, ada)
	id := r.grant(t, ada, contract.GrantCreateInput{PrincipalID: bot.ID, Capability: get("x"), MaxUses: 2})
	refused := errors.New("the journal refuses")
	err := r.Take(t.Context(), &writ.Taking{Principal: bot, Grants: []string{id}}, func([]writ.GrantUse, []writ.Change) error { return refused })
	if !errors.Is(err, refused) || r.candidates(t, bot, abi.ToolHTTPRequest)[0].Uses != 0 {
		t.Fatalf("%v", err)
	}
	for n := 1; n <= 2; n++ {
		if got, err := r.take(bot, nil, id); err != nil || !slices.Equal(got, []writ.GrantUse{{ID: id, Use: n}}) {
			t.Fatalf("%v %+v", err, got)
		}
		r.forgetGrants(bot.Tenant, bot.ID) // read again from a store that may not show it yet
		if got := r.candidates(t, bot, abi.ToolHTTPRequest)[0]; got.Uses != n {
			t.Errorf("%d uses after %d", got.Uses, n)
		}
	}
	if _, err := r.take(bot, nil, id); !errors.Is(err, writ.ErrGrantSpent) || writ.CodeOf(err) != writ.CodeConflict {
		t.Errorf("a third: %v", err)
	}
	// The attempt that took the last use is not counted against itself, and takes none again.
	mine := []writ.GrantUse{{ID: id, Use: 2}}
	got, err := r.Candidates(t.Context(), bot, usesOf(abi.ToolHTTPRequest), mine)
	if err != nil || got[0].Uses != 1 {
		t.Errorf("%v %+v", err, got)
	}
	if again, err := r.take(bot, mine, id); err != nil || len(again) != 1 || again[0].Use != 2 {
		t.Errorf("%v %+v", err, again)
	}
	if _, err := r.take(bot, nil, "grant_none"); !errors.Is(err, writ.ErrGrantSpent) {
		t.Errorf("one that is not there: %v", err)
	}
	other, err := New(r.opts) // another process, from what is on disk
	if err != nil {
		t.Fatal(err)
	}
	if err := r.journal.Barrier(t.Context(), r.journal.Durable()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.GrantCreate(as(ada), &contract.GrantCreateInput{PrincipalID: ada.ID, Capability: get("y")}); err != nil { // waits for the disk
		t.Fatal(err)
	}
	if grants, err := other.Candidates(t.Context(), bot, usesOf(abi.ToolHTTPRequest), nil); err != nil || grants[0].Uses != 2 {
		t.Errorf("%v %+v", err, grants)
	}
}

func TestUsesAreBounded(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	for uses, code := range map[int]writ.Code{-1: writ.CodeInvalid, 1: "", maxUses: "", maxUses + 1: writ.CodeInvalid} {
		_, err := r.GrantCreate(as(ada), &contract.GrantCreateInput{PrincipalID: ada.ID, Capability: get("x"), MaxUses: uses})
		wantCode(t, err, code)
	}
}

// TestAChainIsBounded: at its longest, and one more.
func TestAChainIsBounded(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	parent := ""
	for range maxDelegation {
		parent = r.grant(t, ada, contract.GrantCreateInput{PrincipalID: ada.ID, Capability: get("x"), Parent: parent})
	}
	if got := r.candidates(t, ada, abi.ToolHTTPRequest); len(got) != maxDelegation+1 { // and the one of the bootstrap
		t.Errorf("%d candidates", len(got))
	}
	_, err := r.GrantCreate(as(ada), &contract.GrantCreateInput{PrincipalID: ada.ID, Capability: get("x"), Parent: parent})
	wantCode(t, err, writ.CodeConflict)
}

// TestNothingIsDelegatedFromWhatIsUsedUp: it would be refused at its first use.
func TestNothingIsDelegatedFromWhatIsUsedUp(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	spent := r.grant(t, ada, contract.GrantCreateInput{PrincipalID: ada.ID, Capability: get("x"), MaxUses: 1})
	in := contract.GrantCreateInput{PrincipalID: ada.ID, Capability: get("x"), Parent: spent, MaxUses: 1}
	r.grant(t, ada, in)
	if _, err := r.take(ada, nil, spent); err != nil {
		t.Fatal(err)
	}
	_, err := r.GrantCreate(as(ada), &in)
	wantCode(t, err, writ.CodeConflict)
}

// family is a model of grants and of what was delegated from them.
type family struct {
	*rig
	t      *rapid.T
	ada    *writ.Principal
	grants map[string]*writ.Grant
	order  []string
}

func (f *family) chain(id string) []*writ.Grant {
	var out []*writ.Grant
	for ; id != ""; id = f.grants[id].Parent {
		g, ok := f.grants[id]
		if !ok {
			return nil
		}
		out = append(out, g)
	}
	return out
}

func (f *family) live(g *writ.Grant) bool { return !g.Expired(f.opts.Clock.Now()) && !g.Spent() }

func (f *family) pick(label string) string {
	if len(f.order) == 0 {
		return ""
	}
	return rapid.SampledFrom(f.order).Draw(f.t, label)
}

// create asks for a grant at random; what is refused changes nothing.
func (f *family) create(n int) {
	drawn := grants(f.t, fmt.Sprint("g", n))
	in := contract.GrantCreateInput{
		PrincipalID: f.ada.ID, Capability: drawn.Capability, Skills: drawn.Skills, MaxRisk: drawn.MaxRisk,
		ExpiresIn:      abi.Duration(time.Duration(rapid.IntRange(0, 4).Draw(f.t, "lasts")) * time.Second),
		MaxUses:        rapid.IntRange(0, 3).Draw(f.t, "maxUses"),
		MaxSensitivity: drawn.MaxSensitivity,
	}
	if rapid.Bool().Draw(f.t, "whole") { // as wide as its parent is a case that random scopes seldom meet
		in.Capability, in.Skills = get("**.x"), nil
	}
	if rapid.IntRange(0, 3).Draw(f.t, "root") > 0 {
		in.Parent = f.pick("parent")
	}
	out, err := f.GrantCreate(as(f.ada), &in)
	if err != nil {
		return
	}
	g := &writ.Grant{ID: out.GrantID, Parent: in.Parent, Principal: f.ada.ID, Tenant: f.ada.Tenant, Capability: in.Capability, Skills: in.Skills, MaxRisk: in.MaxRisk, MaxUses: in.MaxUses, MaxSensitivity: in.MaxSensitivity}
	if in.ExpiresIn > 0 {
		g.Expires = f.opts.Clock.Now().Add(in.ExpiresIn.Std())
	}
	f.grants[g.ID] = g
	f.order = append(f.order, g.ID)
}

func (f *family) revoke() {
	id := f.pick("revoked")
	if id == "" {
		return
	}
	if _, err := f.GrantRevoke(as(f.ada), &contract.GrantRevokeInput{GrantID: id}); err != nil {
		f.t.Fatal(err)
	}
	gone := map[string]bool{}
	for _, other := range f.order {
		gone[other] = slices.ContainsFunc(f.chain(other), func(g *writ.Grant) bool { return g.ID == id })
	}
	for other, is := range gone {
		if is {
			delete(f.grants, other)
		}
	}
	f.order = slices.DeleteFunc(f.order, func(other string) bool { return gone[other] })
}

// use takes one where the whole chain has one, and never otherwise.
func (f *family) use() {
	id := f.pick("used")
	if id == "" {
		return
	}
	able := true
	for _, g := range f.chain(id) {
		able = able && f.live(g)
	}
	uses, err := f.take(f.ada, nil, id)
	if (err == nil) != able {
		f.t.Fatalf("%s was used: %v, and the chain had room: %v", id, err, able)
	}
	for _, use := range uses {
		if f.grants[use.ID].MaxUses != 0 {
			f.grants[use.ID].Uses++
		}
		if use.Use != f.grants[use.ID].Uses {
			f.t.Fatalf("use %d of %+v", use.Use, f.grants[use.ID])
		}
	}
}

// check holds what is offered to a decision against the model: each with all of
// its chain, as long and as often as that, and no wider.
func (f *family) check(delegated *int) {
	offered := map[string]bool{}
	candidates, err := f.Candidates(context.Background(), f.ada, usesOf(abi.ToolHTTPRequest, abi.ToolKVGet), nil)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, g := range candidates {
		offered[g.ID] = true
	}
	call := &writ.CallFacts{Tool: abi.ToolHTTPRequest, Target: writ.Target{
		Host: rapid.SampledFrom([]string{"a.x", "b.x"}).Draw(f.t, "host"), Method: "GET", Path: rapid.SampledFrom([]string{"/a", "/a/b"}).Draw(f.t, "path"),
	}}
	skill := writ.SkillKey(rapid.SampledFrom([]string{"p/a", "p/b"}).Draw(f.t, "skill"))
	now, data := f.opts.Clock.Now(), sensitivities().Draw(f.t, "data")
	for _, id := range f.order {
		chain := f.chain(id)
		if len(chain) > 1 {
			*delegated++
		}
		above := !slices.ContainsFunc(chain[1:], func(g *writ.Grant) bool { return !f.live(g) })
		if want := above && !chain[0].Expired(now); offered[id] != want {
			f.t.Fatalf("%s is offered: %v, want %v", id, offered[id], want)
		}
		for _, g := range chain[1:] {
			reaches := func(g *writ.Grant) bool { return allows(g, call, skill, writ.RiskLow, now) && knows(g, data) }
			if offered[id] && reaches(chain[0]) && !reaches(g) {
				f.t.Fatalf("%+v allows what %+v does not", chain[0], g)
			}
		}
		delete(offered, id)
	}
	if len(offered) != 1 { // the operator's first
		f.t.Fatalf("%v are offered and not there", offered)
	}
}

// TestPropertyChains: whatever is delegated, revoked and used in whatever order, no
// grant is wider, lasts longer or is used more often than any above it.
func TestPropertyChains(t *testing.T) {
	delegated := 0
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(t)
		ada, _ := r.boot(t)
		f := &family{rig: r, t: rt, ada: ada, grants: map[string]*writ.Grant{}}
		for n := range rapid.IntRange(1, 25).Draw(rt, "steps") {
			switch rapid.IntRange(0, 9).Draw(rt, "what") {
			case 0:
				f.revoke()
			case 1:
				r.now = r.now.Add(time.Second)
			case 2, 3, 4:
				f.use()
			default:
				f.create(n)
			}
			f.check(&delegated)
		}
	})
	if delegated == 0 {
		t.Error("nothing was delegated: the property says nothing")
	}
}
