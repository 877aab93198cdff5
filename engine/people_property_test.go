package engine_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// crowd is everybody who might try, each in another way not to be counted but the
// first four.
var crowd = func() []*writ.Principal {
	human := func(id writ.PrincipalID, roles ...string) *writ.Principal { return person(id, roles...) }
	like := func(p *writ.Principal, change func(*writ.Principal)) *writ.Principal {
		other := *p
		change(&other)
		return &other
	}
	all := []string{"admin", "approver", "finance", "operator", "security", "system"}
	return []*writ.Principal{
		human("human:sec", "security"), human("human:fin", "finance"), human("human:both", "finance", "security"), human("human:root", "admin"),
		human("human:none"), human("human:asker", all...), human("human:dep"),
		like(human("human:sec", all...), func(p *writ.Principal) { p.Strength = writ.StrengthPeer }),
		like(human("human:dee", all...), func(p *writ.Principal) { p.OnBehalfOf = []writ.PrincipalID{"human:asker"} }),
		like(human("agent:bot", all...), func(p *writ.Principal) { p.Kind = writ.Agent }),
		like(human("agent:other", all...), func(p *writ.Principal) { p.Kind = writ.Agent }),
		like(human("tool:hook", all...), func(p *writ.Principal) { p.Kind = writ.Tool }),
		like(human("service:ci", all...), func(p *writ.Principal) { p.Kind = writ.Service }),
		like(human("human:sec", all...), func(p *writ.Principal) { p.Kind = "" }),
		like(human("human:fin", "finance"), func(p *writ.Principal) { p.Strength = writ.StrengthChannel }),
		like(human("human:asker", all...), func(p *writ.Principal) { p.Strength = writ.StrengthChannel }),
		like(human("agent:bot", all...), func(p *writ.Principal) { p.Kind, p.Strength = writ.Agent, writ.StrengthChannel }),
	}
}()

// TestPropertyOnlyPeopleApprove: whatever is said by whom, in which order, however
// time passes and however often the host starts again, the write happens exactly
// where two different people, one of security and one of finance, neither of whom
// asked for it, have said yes in time, and nobody entitled has said no.
func TestPropertyOnlyPeopleApprove(t *testing.T) {
	t.Parallel()
	judge := defaultJudge(t)
	ended := map[writ.ExecutionStatus]int{}
	rapid.Check(t, func(rt *rapid.T) {
		type move struct {
			who      int // in the crowd; below 0: of those that may
			yes      bool
			forWhom  writ.PrincipalID
			wait     time.Duration
			restarts bool
		}
		moves := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) move {
			return move{
				who: rapid.IntRange(-len(crowd), len(crowd)-1).Draw(t, "who"), yes: rapid.IntRange(0, 9).Draw(t, "yes") > 0,
				forWhom:  rapid.SampledFrom([]writ.PrincipalID{"", "", "", "human:sec", "human:asker", "agent:bot"}).Draw(t, "for"),
				wait:     time.Duration(rapid.SampledFrom([]int{0, 0, 0, 1, 4, 8}).Draw(t, "minutes")) * time.Minute,
				restarts: rapid.IntRange(0, 5).Draw(t, "restart") == 0,
			}
		}), 1, 12).Draw(rt, "moves")
		synctest.Test(t, func(t *testing.T) {
			r := newRigWith(t, &rig{judges: judges{changing{judge, setsOfTwo}}})
			for _, absent := range []writ.PrincipalID{"human:sec", "human:asker", "agent:bot"} {
				for _, to := range []writ.PrincipalID{"human:dep", "human:fin", "agent:other", "human:dee"} {
					r.away = append(r.away, writ.Delegation{ID: "dlg", By: absent, To: to, Roles: []string{"finance", "security"}, Until: 1 << 62})
				}
			}
			r.away = r.away[:len(r.away):len(r.away)]
			asking := *agent
			asking.OnBehalfOf = []writ.PrincipalID{"human:asker"}
			id := r.begin(&asking, post)
			item := r.pending(id)
			for _, m := range moves {
				pass(r, m.wait)
				if m.restarts {
					r.reboot()
				}
				p := crowd[max(m.who, -m.who%4)]
				if m.yes {
					_, _ = r.engine.ExecutionApprove(as(p), &contract.ExecutionApproveInput{ExecutionID: id, StepID: item.StepID, ApprovalDigest: item.Digest, For: m.forWhom, Signature: []byte("signed")})
				} else {
					_, _ = r.engine.ExecutionReject(as(p), &contract.ExecutionRejectInput{ExecutionID: id, StepID: item.StepID, For: m.forWhom, Reason: "no"})
				}
				synctest.Wait()
			}
			pass(r, 11*time.Minute) // whatever is still open is over now
			state := r.state(id)
			if approved := lawful(state.Steps[0].Approval); approved != (r.tools.count() == 1) || approved != (state.Status == writ.ExecCompleted) || !state.Status.Final() {
				t.Fatalf("%s after %d calls, lawful %v: %+v", state.Status, r.tools.count(), approved, state.Steps[0].Approval.Decisions)
			}
			r.identical(id)
			ended[state.Status]++
		})
	})
	if ended[writ.ExecCompleted] == 0 || ended[writ.ExecExpired] == 0 || ended[writ.ExecRejected] == 0 {
		t.Errorf("the crowd is too tame: %v", ended)
	}
}

// lawful judges by the decisions alone, in its own words.
func lawful(a *writ.Approval) bool {
	var yes []writ.Decision
	for _, d := range a.Decisions {
		if !d.Approved {
			return false
		}
		kindAndName := []writ.PrincipalID{"human:sec", "human:fin", "human:both", "human:root", "human:dep"}
		if !slices.Contains(kindAndName, d.By) || (d.For != "" && d.For != "human:sec") || d.At >= a.Request.DecideBy {
			return false // somebody was heard who must not be
		}
		yes = append(yes, d)
	}
	for i, one := range yes {
		for k, other := range yes {
			apart := i != k && one.By != other.By && one.For != other.By && one.By != other.For && (one.For == "" || one.For != other.For)
			if apart && slices.Contains(one.Roles, "security") && slices.Contains(other.Roles, "finance") {
				return true
			}
		}
	}
	return false
}
