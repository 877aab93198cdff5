package engine_test

import (
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/identity"
	"github.com/writ-run/writ/policy"
	"github.com/writ-run/writ/trace/tracetest"
)

// BenchmarkDecisionAmongGrants is all that the number of an agent's grants for one tool
// has a part in: to find those that concern a step, to judge it by the default bundle,
// to name what it uses and to write the question down.
func BenchmarkDecisionAmongGrants(b *testing.B) {
	for name, prefix := range map[string]string{"apart": "t%04d/", "alike": ""} {
		for _, n := range []int{1, 1000} {
			b.Run(fmt.Sprint(name, "/", n), func(b *testing.B) { decideAmong(b, n, prefix) })
		}
	}
}

func decideAmong(b *testing.B, n int, prefix string) {
	do := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	journal := tracetest.Memory(b, time.Now)
	people, err := identity.New(identity.Options{Store: journal, Journal: journal, Clock: time.Now, Entropy: rand.Reader})
	do(err)
	made, err := people.Bootstrap(b.Context(), "root", nil)
	do(err)
	_, err = people.TokenCreate(as(made.Operator), &contract.TokenCreateInput{PrincipalID: agent.ID, Kind: writ.Agent})
	do(err)
	q := &writ.Question{
		Point: writ.PointStep, Principal: agent, Origin: writ.OriginHuman,
		Step: writ.StepFacts{
			ID: "stp_a", Name: "only", Skill: "test/keep", Effect: abi.EffectWriteLocal, Risk: writ.RiskLow, Attempt: 1,
			Capabilities: []writ.Capability{{Tool: abi.ToolKVPut, Prefixes: []string{"t0000/"}}}, Tools: []string{abi.ToolKVPut},
		},
	}
	for i := range n {
		c := writ.Capability{Tool: abi.ToolKVPut, Prefixes: []string{""}}
		if prefix != "" {
			c.Prefixes[0] = fmt.Sprintf(prefix, i)
		}
		_, err := people.GrantCreate(as(made.Operator), &contract.GrantCreateInput{PrincipalID: agent.ID, Capability: c})
		do(err)
	}
	bundle, err := policy.DefaultBundle()
	do(err)
	judge, err := policy.Compile(b.Context(), bundle, 0)
	do(err)
	b.ReportAllocs()
	for b.Loop() {
		q.Grants, err = people.Candidates(b.Context(), agent, q.Step.Capabilities, nil)
		do(err)
		q.Time = writ.Clock(time.Now).Now()
		if v, err := judge.Judge(b.Context(), q); err != nil || v.Mode != writ.Autonomous {
			b.Fatal(v, err)
		}
		if used := writ.GrantsNeeded(q, nil); len(used) != 1 {
			b.Fatal(used)
		}
		raw, err := canon.MarshalJSON(q)
		do(err)
		b.ReportMetric(float64(len(raw)), "record-bytes")
	}
}
