package policy

import (
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

func TestTheDefaultBundleKeepsTheFloor(t *testing.T) {
	if err := compileDefault(t).keepsFloor(t.Context()); err != nil {
		t.Error(err)
	}
}

// The questions are the same in each process, each is another one, and together
// they meet every tier, author, label, grant and point.
func TestFloorCasesAreWhole(t *testing.T) {
	seen, names := map[string]bool{}, map[string]bool{}
	steps, calls := 0, 0
	for c := range floorCases() {
		raw, err := canon.MarshalJSON(c.question)
		if err != nil {
			t.Fatal(err)
		}
		if seen[string(raw)] || names[c.name] {
			t.Errorf("asked twice: %s", c.name)
		}
		seen[string(raw)], names[c.name] = true, true
		if c.question.Point == writ.PointCall {
			calls++
		} else {
			steps++
		}
		if loosest(c.question, writ.RiskLow).Risk != c.question.Step.Risk {
			t.Errorf("%s: no plan says so", c.name)
		}
	}
	// 21 pairs of effect and tier, 4 authors, 4 kinds of data, 2 states of grants.
	if steps != 21*4*4*2 || calls <= steps {
		t.Errorf("%d questions about steps and %d about calls", steps, calls)
	}
}

const rest = "\ncall := {\"mode\": \"blocked\", \"risk\": \"blocked\", \"reasons\": []}\n"

// answer is a step rule that says so of what holds.
func answer(mode, more, when string) string {
	return `step := {"mode": "` + mode + `", "risk": input.step.risk, "reasons": [{"rule": "mine", "message": "m"}]` + more + `} if ` + when + rest
}

func TestBundlesThatWeakenTheFloor(t *testing.T) {
	const asks = `, "approvals": {"count": 1, "roles": ["approver"], "expiresIn": "1h"}`
	const sane = `input.step.risk in {"low", "medium", "high"}`
	tests := []struct{ name, rules, clamp, question string }{
		{"high by itself", answer("autonomous", "", `input.step.risk != "blocked"`), ClampHighRisk, "risk=high"},
		{"high by itself for automation alone", answer("autonomous", "", `{input.step.risk == "high"; input.origin == "automation"}`), ClampHighRisk, "origin=automation"},
		{"high by itself with grants alone", answer("autonomous", "", `{input.step.risk == "high"; count(input.grants) > 0}`), ClampHighRisk, "grants=true"},
		{"high by itself with secrets alone", answer("autonomous", "", `{input.step.risk == "high"; "secret" in input.taint.labels}`), ClampHighRisk, "data=secret"},
		{"high by itself for one effect alone", answer("autonomous", "", `{input.step.risk == "high"; input.step.effect == "financial"}`), ClampHighRisk, "effect=financial"},
		{"approves the blocked", answer("assist", asks, `input.step.risk == "blocked"`), ClampBlocked, "risk=blocked"},
		{"understates", strings.Replace(answer("assist", asks, sane), "input.step.risk,", `"low",`, 1), ClampRisk, "risk=medium"},
		{"asks nobody", answer("assist", `, "approvals": {"count": 0, "expiresIn": "1h"}`, sane), ClampApprovals, "risk=low"},
		{"waits for ever", answer("assist", `, "approvals": {"count": 1}`, sane), ClampDeadline, "risk=low"},
		{
			"a high-risk call that nobody saw", "step := {\"mode\": \"blocked\", \"risk\": \"blocked\", \"reasons\": []}\n" +
				`call := {"mode": "autonomous", "risk": input.step.risk, "reasons": [{"rule": "mine", "message": "m"}]} if input.step.risk == "high"` + "\n",
			ClampHighRisk, "approvals=0",
		},
		{"tight enough", answer("assist", asks, sane), "", ""},
		{"low by itself", answer("autonomous", "", `input.step.risk == "low"`), "", ""},
		{"silent", answer("autonomous", "", `input.step.risk == "none"`), "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := compiled(t, test.rules, 0).keepsFloor(t.Context())
			if test.clamp == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if !writ.IsCode(err, writ.CodeConflict) {
				t.Fatalf("got %v", err)
			}
			for _, part := range []string{test.clamp, test.question, "rule mine"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in %v", part, err)
				}
			}
		})
	}
}

// What weakens the floor is not activated, whoever signed it and in no layer.
func TestActivateRefusesWhatWeakensTheFloor(t *testing.T) {
	r := newRig(t)
	loose := strictFiles()
	loose["p.rego"] = []byte("package writ\n" + answer("autonomous", "", `input.step.risk != "blocked"`))
	loose["p_test.rego"] = []byte("package writ.p_test\n\nimport data.writ\n\ntest_low if writ.step.mode == \"autonomous\" with input as {\"step\": {\"risk\": \"low\"}}\n")
	active := r.Active().Policy()
	for _, layer := range []writ.Layer{"", writ.LayerOrganisation, writ.LayerTenant} {
		_, err := r.Activate(admin(t), &contract.PolicyActivateInput{Source: source(t, loose, r.private), Layer: layer})
		if !writ.IsCode(err, writ.CodeConflict) || !strings.Contains(err.Error(), "weakens the floor") {
			t.Errorf("%q: got %v", layer, err)
		}
	}
	if r.Active().Policy() != active {
		t.Errorf("%v decides now", r.Active().Policy())
	}
	out, err := r.Test(admin(t), &contract.PolicyTestInput{Source: source(t, loose, nil)})
	if err != nil || out.Status != "failed" || out.Failed != 1 || out.Results[len(out.Results)-1].Name != "writ.floor" {
		t.Errorf("a test does not say so: %+v, %v", out, err)
	}
	if _, err := r.Activate(admin(t), &contract.PolicyActivateInput{Source: source(t, strictFiles(), r.private), Layer: writ.LayerFloor}); !writ.IsCode(err, writ.CodeInvalid) {
		t.Errorf("the floor was replaced: %v", err)
	}
}
