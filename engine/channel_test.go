package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

// inChannel is p as a channel's provider vouches for them.
func inChannel(p *writ.Principal) *writ.Principal {
	out := *p
	out.Source, out.Strength = "channel:talk/acme", writ.StrengthChannel
	return &out
}

// asks has whatever people are asked be of a risk, and wants so many of them.
func asks(risk writ.Risk, count int) func(*writ.Question, *writ.Verdict) {
	return func(q *writ.Question, v *writ.Verdict) {
		if v.Mode == writ.Assist {
			v.Risk, v.Approvals = risk, writ.Requirement{Count: count, Roles: []string{"approver"}, ExpiresIn: abi.Duration(time.Hour)}
		}
	}
}

func TestAPersonDecidesInAChannel(t *testing.T) {
	judge := defaultJudge(t)
	for name, yes := range map[string]bool{"yes": true, "no": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRigWith(t, &rig{judges: judges{changing{judge, asks(writ.RiskMedium, 1)}}})
				id := r.begin(agent, post)
				item := r.pending(id)
				there := inChannel(approver)
				if yes {
					r.say(there, id, item)
					r.start(agent, id)
					r.expect(id, writ.ExecCompleted)
				} else {
					in := &contract.ExecutionRejectInput{ExecutionID: id, StepID: item.StepID, ApprovalDigest: item.Digest, Reason: "no"}
					if _, err := r.engine.ExecutionReject(as(there), in); !writ.IsCode(err, writ.CodeForbidden) {
						t.Errorf("a word that nobody attests: %v", err)
					}
					in.Signature = []byte("the host's")
					if _, err := r.engine.ExecutionReject(as(there), in); err != nil {
						t.Fatal(err)
					}
					r.start(agent, id)
					r.expect(id, writ.ExecRejected)
				}
				d := r.state(id).Steps[0].Approval.Decisions
				if len(d) != 1 || d[0].Via == nil || d[0].Via.Channel != "talk/acme" || len(d[0].Signature) == 0 || d[0].By != approver.ID {
					t.Errorf("%+v", d)
				}
				r.identical(id)
			})
		})
	}
}

// TestNobodyDecidesAHighRiskInAChannel: not as the first and not as the last, neither way.
func TestNobodyDecidesAHighRiskInAChannel(t *testing.T) {
	judge := defaultJudge(t)
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(t, &rig{judges: judges{changing{judge, asks(writ.RiskHigh, 2)}}})
		id := r.begin(agent, post)
		item := r.pending(id)
		refused := func(p *writ.Principal) {
			t.Helper()
			if err := r.word(inChannel(p), id, item); !writ.IsCode(err, writ.CodeForbidden) {
				t.Errorf("%s says yes: %v", p.ID, err)
			}
			in := &contract.ExecutionRejectInput{ExecutionID: id, StepID: item.StepID, ApprovalDigest: item.Digest, Reason: "no", Signature: []byte("the host's")}
			if _, err := r.engine.ExecutionReject(as(inChannel(p)), in); !writ.IsCode(err, writ.CodeForbidden) {
				t.Errorf("%s says no: %v", p.ID, err)
			}
		}
		refused(second)
		r.say(approver, id, item)
		refused(second)
		refused(approver)
		r.start(agent, id)
		r.expect(id, writ.ExecAwaitingApproval)
		if r.tools.count() != 0 {
			t.Error("it was done")
		}
		r.say(second, id, item)
		r.start(agent, id)
		r.expect(id, writ.ExecCompleted)
		r.identical(id)
	})
}

// TestAFrozenChannelDecidesNothing: who has taken over the provider's account is held by
// the same freeze as what comes from there, and a person's own word is not.
func TestAFrozenChannelDecidesNothing(t *testing.T) {
	judge := defaultJudge(t)
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(t, &rig{judges: judges{changing{judge, asks(writ.RiskMedium, 1)}}})
		id := r.begin(agent, post)
		item := r.pending(id)
		r.freeze(contract.FreezeSubject{ChannelKey: "talk:*"}, "")
		if err := r.word(inChannel(approver), id, item); !writ.IsCode(err, writ.CodeFrozen) {
			t.Errorf("says yes: %v", err)
		}
		in := &contract.ExecutionRejectInput{ExecutionID: id, StepID: item.StepID, ApprovalDigest: item.Digest, Reason: "no", Signature: []byte("the host's")}
		if _, err := r.engine.ExecutionReject(as(inChannel(approver)), in); !writ.IsCode(err, writ.CodeFrozen) {
			t.Errorf("says no: %v", err)
		}
		r.say(approver, id, item)
		r.start(agent, id)
		r.expect(id, writ.ExecCompleted)
	})
}
