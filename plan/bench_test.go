package plan

import (
	"encoding/json"
	"testing"

	"github.com/writ-run/writ"
)

const benchStep = "name: last\nuses: acme/github#issue.comment\nwhen: steps.read.output.comments < 10\n" +
	"with: {owner: a, repo: b, number: 1, body: \"Seen ${{ steps.read.output.title }}\"}"

func BenchmarkCompile(b *testing.B) {
	p, req := planner(b), request(draftOf(readStep, benchStep), skills(b))
	for b.Loop() {
		if _, err := p.Compile(req); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkResolveLiteral(b *testing.B) { benchmarkResolve(b, "read", "acme/github") }

func BenchmarkResolveBound(b *testing.B) { benchmarkResolve(b, "last", "acme/github") }

func benchmarkResolve(b *testing.B, name, key string) {
	p, from := planner(b), skills(b)
	c := mustCompile(b, p, request(draftOf(readStep, benchStep), from))
	step, _ := c.Plan.Step(name)
	scope := writ.Scope{
		Intent: json.RawMessage(humanIntent), Release: from.release(b, key),
		Outputs: map[string]json.RawMessage{"read": json.RawMessage(issue)}, Labels: map[string][]writ.Label{"read": {writ.LabelHTTP}},
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Resolve(c.Plan, step, scope); err != nil {
			b.Fatal(err)
		}
	}
}
