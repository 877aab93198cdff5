package writ_test

import (
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

var web = writ.Capability{Tool: abi.ToolHTTPRequest, Hosts: []string{"api.example.com"}, Methods: []string{"POST"}, Paths: []string{"/**"}}

func posts(t testing.TB, body string) *writ.CallFacts {
	t.Helper()
	args, err := json.Marshal(abi.HTTPRequest{Method: "POST", URL: "https://api.example.com/pay", Body: body})
	if err != nil {
		t.Fatal(err)
	}
	facts, err := writ.CallFactsOf(abi.ToolHTTPRequest, args)
	if err != nil {
		t.Fatal(err)
	}
	return facts
}

func priced(costs ...abi.Cost) writ.Capability {
	c := web
	c.Costs = costs
	return c
}

func TestWhatABodySays(t *testing.T) {
	cents := abi.Cost{Kind: abi.CostSpend, Pointer: "/body/payment/lines/1/amount", Times: 10_000}
	for body, want := range map[string]int64{
		`{"payment":{"lines":[{},{"amount":1250}]}}`:             12_500_000,
		`{"payment":{"lines":[{},{"amount":"1250"}]}}`:           12_500_000,
		`{"payment":{"lines":[{},{"amount":0.5}]}}`:              5_000,
		`{"payment":{"lines":[{},{"amount":"0.00001"}]}}`:        1, // rounded up
		`{"payment":{"lines":[{},{"amount":0}]}}`:                0,
		`{"payment":{"lines":[{},{"amount":1e3}]}}`:              10_000_000, // canonical: 1000
		`{"payment":{"lines":[{},{"amount":900719925474}]}}`:     9_007_199_254_740_000,
		`{"payment":{"lines":[{},{"amount":900719925475}]}}`:     -1,
		`{"payment":{"lines":[{},{"amount":-1}]}}`:               -1,
		`{"payment":{"lines":[{},{"amount":"-0"}]}}`:             -1,
		`{"payment":{"lines":[{},{"amount":true}]}}`:             -1,
		`{"payment":{"lines":[{},{"amount":null}]}}`:             -1,
		`{"payment":{"lines":[{},{"amount":{}}]}}`:               -1,
		`{"payment":{"lines":[{}]}}`:                             -1,
		`{"payment":{"lines":[{},{"amount":1,"amount":9}]}}`:     -1, // which of them counts, nobody knows
		`{"payment":{"lines":[{},{"amount":1}]}} {"payment":{}}`: -1,
		`{"payment":{"lines":[{},{"Amount":1}]}}`:                -1,
		`amount=1250`: -1,
		``:            -1,
	} {
		got, err := writ.CostOf([]writ.Capability{priced(cents)}, posts(t, body))
		if want < 0 {
			if !writ.IsCode(err, writ.CodeInvalid) {
				t.Errorf("%s: %+v, %v", body, got, err)
			}
			continue
		}
		if err != nil || got != (writ.Amounts{Spend: want}) {
			t.Errorf("%s: %+v, %v, want %d", body, got, err, want)
		}
	}
}

// TestTheDearerCounts where two capabilities allow a call, and what does not allow it
// costs nothing.
func TestTheDearerCounts(t *testing.T) {
	elsewhere := priced(abi.Cost{Kind: abi.CostSpend, Amount: 1000})
	elsewhere.Hosts = []string{"other.example.com"}
	all := []writ.Capability{
		web, elsewhere, priced(abi.Cost{Kind: abi.CostSpend, Amount: 5}, abi.Cost{Kind: abi.CostSpend, Amount: 2}),
		priced(abi.Cost{Kind: abi.CostSpend, Amount: 6}, abi.Cost{Kind: abi.CostTokens, Pointer: "/body/n"}),
	}
	if got, err := writ.CostOf(all, posts(t, `{"n":9}`)); err != nil || got != (writ.Amounts{Spend: 7, Tokens: 9}) {
		t.Errorf("%+v, %v", got, err)
	}
	most := priced(abi.Cost{Kind: abi.CostSpend, Amount: writ.MaxAmount})
	if got, err := writ.CostOf([]writ.Capability{most}, posts(t, "")); err != nil || got.Spend != writ.MaxAmount {
		t.Errorf("%+v, %v", got, err)
	}
	most.Costs = append(most.Costs, abi.Cost{Kind: abi.CostSpend, Amount: 1})
	if _, err := writ.CostOf([]writ.Capability{most}, posts(t, "")); !writ.IsCode(err, writ.CodeInvalid) {
		t.Errorf("one past: %v", err)
	}
}

// TestWhatMustCostIsNotThereForLess: neither by narrowing, nor by what a caller and
// its callee share, nor by a grant.
func TestWhatMustCostIsNotThereForLess(t *testing.T) {
	dear, cheap := priced(abi.Cost{Kind: abi.CostSpend, Amount: 9}), priced(abi.Cost{Kind: abi.CostSpend, Amount: 1})
	if writ.CapabilityCovers(&dear, &web) || writ.CapabilityCovers(&dear, &cheap) || !writ.CapabilityCovers(&web, &dear) || !writ.CapabilityCovers(&dear, &dear) {
		t.Error("what costs something covers what costs less")
	}
	for _, pair := range [][2]writ.Capability{{dear, web}, {web, dear}, {dear, dear}} {
		both := writ.IntersectCapabilities(pair[:1], pair[1:])
		if len(both) != 1 || len(both[0].Costs) != 1 || both[0].Costs[0].Amount != 9 {
			t.Errorf("%+v", both)
		}
	}
	if both := writ.IntersectCapabilities([]writ.Capability{web}, []writ.Capability{web, dear}); len(both) != 2 {
		t.Errorf("the dearer of two is left out: %+v", both)
	}
	grant := writ.Grant{Capability: web}
	if !grant.Reaches(&dear) {
		t.Error("a grant that says nothing of costs does not reach")
	}
}

// TestPropertyAmountsNeverBecomeLess: however an amount is written, what it takes is
// what it says, or a refusal.
func TestPropertyAmountsNeverBecomeLess(t *testing.T) {
	rapid.Check(t, func(draw *rapid.T) {
		whole := rapid.StringMatching(`[0-9]{1,14}`).Draw(draw, "whole")
		fraction := rapid.StringMatching(`[0-9]{0,7}`).Draw(draw, "fraction")
		times := rapid.Int64Range(1, 1_000_000_000).Draw(draw, "times")
		text := whole
		if fraction != "" {
			text += "." + fraction
		}
		args, _ := canon.MarshalJSON(map[string]string{"key": "k", "value": text})
		facts, err := writ.CallFactsOf(abi.ToolKVPut, args)
		if err != nil {
			draw.Fatal(err)
		}
		c := writ.Capability{Tool: abi.ToolKVPut, Prefixes: []string{""}, Costs: []abi.Cost{{Kind: abi.CostSpend, Pointer: "/value", Times: times}}}
		got, err := writ.CostOf([]writ.Capability{c}, facts)
		if err != nil {
			return
		}
		exact, ok := new(big.Rat).SetString(text)
		if !ok {
			draw.Fatalf("%s was taken", text)
		}
		exact.Mul(exact, new(big.Rat).SetInt64(times))
		if exact.Cmp(new(big.Rat).SetInt64(got.Spend)) > 0 || exact.Cmp(new(big.Rat).SetInt64(got.Spend-1)) <= 0 {
			draw.Fatalf("%s times %d comes to %d", text, times, got.Spend)
		}
	})
}

func FuzzAmounts(f *testing.F) {
	for _, seed := range []string{`{"a":1}`, `{"a":"1.5"}`, `{"a":1,"a":2}`, `[1]`, `{"a":-1}`, `{"a":1e400}`, ``} {
		f.Add(seed, "/body/a")
	}
	f.Fuzz(func(t *testing.T, body, pointer string) {
		if !strings.HasPrefix(pointer, "/") {
			return
		}
		got, err := writ.CostOf([]writ.Capability{priced(abi.Cost{Kind: abi.CostSpend, Pointer: pointer, Times: 10_000})}, posts(t, body))
		if err == nil && (got.Spend < 0 || got.Spend > writ.MaxAmount) || err != nil && got != (writ.Amounts{}) {
			t.Fatalf("%q at %q: %+v, %v", body, pointer, got, err)
		}
	})
}

// TestSpansBeginWhereThoseOfUTCDo: at their edges, and before 1970.
func TestSpansBeginWhereThoseOfUTCDo(t *testing.T) {
	at := func(text string) writ.Time {
		moment, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		return canon.TimeOf(moment)
	}
	for _, c := range []struct {
		span            writ.BudgetSpan
		in, start, over string
	}{
		{writ.SpanMinute, "2026-03-01T10:59:59.999999999Z", "2026-03-01T10:59:00Z", "2026-03-01T11:00:00Z"},
		{writ.SpanHour, "2026-03-01T11:00:00Z", "2026-03-01T11:00:00Z", "2026-03-01T12:00:00Z"},
		{writ.SpanDay, "2026-02-28T23:59:59.999999999Z", "2026-02-28T00:00:00Z", "2026-03-01T00:00:00Z"},
		{writ.SpanDay, "1969-12-31T23:59:59Z", "1969-12-31T00:00:00Z", "1970-01-01T00:00:00Z"},
	} {
		start := c.span.Start(at(c.in))
		if start != at(c.start) || c.span.End(start).Std() != at(c.over).Std() && c.over != "1970-01-01T00:00:00Z" {
			t.Errorf("%s: %s to %s", c.in, start, c.span.End(start))
		}
	}
	if writ.SpanTotal.Start(at("2026-03-01T11:00:00Z")) != 0 || writ.SpanTotal.End(0) != 0 || writ.BudgetSpan("").Valid() || writ.BudgetKind("").Valid() {
		t.Error("a span that is none, or has no end")
	}
}
