package engine_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/host/wasmtest"
)

// sendOwn is a plan whose second step sends what the first one gives out.
const sendOwn = head + `  - {name: own, uses: "test/own#run", with: {a: 1}}
  - {name: send, uses: "test/look#run", with: {method: GET, url: "https://api.example.com/${{ string(steps.own.output.a) }}"}}
`

// sensitiveRig has an action that gives out private data, and one whose call sends
// a secret along.
func sensitiveRig(t *testing.T, most writ.Sensitivity) *rig {
	r := newRig(t)
	r.everybody()
	for i := range r.grants {
		r.grants[i].MaxSensitivity = most
	}
	r.put("look", wasmtest.ToolCaller(abi.ToolHTTPRequest), abi.EffectRead, []writ.Capability{reads}, nil)
	return r
}

// private has own give out private data.
func (r *rig) private() {
	r.put("own", wasmtest.Echo(), abi.EffectNone, nil, func(a *abi.Action) { a.Sensitivity = abi.SensitivityPrivate })
}

// TestDataBeyondAGrantAreNotSent: by default what is private is reached, and where a
// grant is for public data it is not. Nobody is asked then: the step is not covered.
func TestDataBeyondAGrantAreNotSent(t *testing.T) {
	for most, reached := range map[writ.Sensitivity]bool{"": true, writ.SensitivityPublic: false, writ.SensitivityPrivate: true, writ.SensitivitySecret: true} {
		t.Run("a grant for "+string(most), func(t *testing.T) {
			r := sensitiveRig(t, most)
			r.private()
			id := r.submit(service, sendOwn)
			r.compile(service, id)
			_, err := r.engine.ExecutionStart(as(service), &contract.ExecutionStartInput{ExecutionID: id, Wait: true})
			if reached {
				if err != nil {
					t.Fatal(err)
				}
				r.expect(id, writ.ExecAwaitingApproval) // of the call: private data leave with a person's word
				r.approve(approver, id)
				r.expect(id, writ.ExecCompleted)
			} else if !writ.IsCode(err, writ.CodeBlocked) || !r.blockedFor(id, "with data that is private") {
				t.Errorf("it was blocked for something else: %v", err)
			}
			if sent := r.sent(id) == 1; sent != reached {
				t.Errorf("sent: %v", sent)
			}
			r.identical(id)
		})
	}
}

// TestSecretsAreBeyondAGrantThatSaysNothing: what came back where a secret was sent
// along is known when the step that has it is judged for good.
func TestSecretsAreBeyondAGrantThatSaysNothing(t *testing.T) {
	for most, want := range map[writ.Sensitivity]writ.ExecutionStatus{
		"": writ.ExecBlocked, writ.SensitivityPublic: writ.ExecBlocked, writ.SensitivityPrivate: writ.ExecBlocked,
		writ.SensitivitySecret: writ.ExecAwaitingApproval, // secrets and somebody's text: people see the bytes
	} {
		t.Run("a grant for "+string(most), func(t *testing.T) {
			r := sensitiveRig(t, most)
			r.put("own", wasmtest.ToolCaller(abi.ToolKVGet), abi.EffectRead, []writ.Capability{looks}, nil)
			r.tools.fail = func(_ int, call *writ.ToolCall) *writ.ToolResult {
				if call.Tool == abi.ToolKVGet {
					return &writ.ToolResult{Outcome: writ.OutcomeDone, Body: []byte(`{"found":true,"value":"v"}`), Labels: []writ.Label{writ.LabelSecret}}
				}
				return nil
			}
			id := r.begin(service, strings.NewReplacer("{a: 1}", "{key: k}", "output.a", "output.value").Replace(sendOwn))
			r.expect(id, want)
			if r.sent(id) != 0 {
				t.Fatal("it left")
			}
			if want == writ.ExecBlocked && !r.blockedFor(id, "with data that is secret") {
				t.Error("it was blocked for something else")
			}
			r.identical(id)
		})
	}
}

// blockedFor reports whether a step was blocked for want of a grant, in these words.
func (r *rig) blockedFor(id writ.ExecutionID, words string) bool {
	return slices.ContainsFunc(r.records(id), func(record writ.Stored) bool {
		d := record.Body.Decided
		return d != nil && d.Verdict.Mode == writ.Blocked && slices.ContainsFunc(d.Verdict.Reasons, func(r writ.Reason) bool {
			return r.Rule == "grant" && strings.Contains(r.Message, words)
		})
	})
}
