package policy

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

func lawWith(t interface{ Fatal(...any) }, organisation, tenant *Policy) *law {
	parts := []part{{writ.LayerOrganisation, organisation}}
	if tenant != nil {
		parts = append(parts, part{writ.LayerTenant, tenant})
	}
	l, err := newLaw(parts)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func hours(n int) abi.Duration { return abi.Duration(time.Duration(n) * time.Hour) }

func assist(rule string, r writ.Requirement) *writ.Verdict {
	return &writ.Verdict{Mode: writ.Assist, Risk: writ.RiskLow, Approvals: r, Reasons: []writ.Reason{{Rule: rule, Message: rule}}}
}

func TestJoin(t *testing.T) {
	auto := &writ.Verdict{Mode: writ.Autonomous, Risk: writ.RiskLow, Reasons: []writ.Reason{{Rule: "free", Message: "m"}}, Budget: &writ.Budget{Calls: 9}}
	block := &writ.Verdict{Mode: writ.Blocked, Risk: writ.RiskMedium, Reasons: []writ.Reason{{Rule: "no", Message: "m"}}, Budget: &writ.Budget{Calls: 3}}
	one := assist("one", writ.Requirement{Count: 1, Roles: []string{"approver", "lead"}, ExpiresIn: hours(24), EscalateAfter: hours(1), EscalateTo: []string{"admin"}})
	two := assist("two", writ.Requirement{Count: 2, Roles: []string{"approver", "admin"}, ExpiresIn: hours(2)})
	other := assist("other", writ.Requirement{Count: 1, Roles: []string{"security"}, ExpiresIn: hours(1)})
	tests := []struct {
		name                 string
		organisation, tenant *writ.Verdict
		mode                 writ.Mode
		risk                 writ.Risk
		asks                 writ.Requirement
		rules                string
		calls                int
	}{
		{"both allow", auto, auto, writ.Autonomous, writ.RiskLow, writ.Requirement{}, "organisation:free tenant:free", 9},
		{"the tenant blocks", auto, block, writ.Blocked, writ.RiskMedium, writ.Requirement{}, "tenant:no", 3},
		{"the organisation blocks", block, auto, writ.Blocked, writ.RiskMedium, writ.Requirement{}, "organisation:no", 3},
		{"one asks", auto, two, writ.Assist, writ.RiskLow, two.Approvals, "tenant:two", 9},
		{"both ask", one, two, writ.Assist, writ.RiskLow, writ.Requirement{
			Count: 2, Roles: []string{"approver"}, ExpiresIn: hours(2), EscalateAfter: hours(1), EscalateTo: []string{"admin"},
		}, "organisation:one tenant:two", 0},
		{"nobody satisfies both", one, other, writ.Blocked, writ.RiskLow, writ.Requirement{}, "floor:writ.roles organisation:one tenant:other", 0},
		{"the usual role and another", assist("usual", writ.Requirement{Count: 1, ExpiresIn: hours(1)}), other, writ.Blocked, writ.RiskLow, writ.Requirement{}, "floor:writ.roles organisation:usual tenant:other", 0},
	}
	parts := lawWith(t, compileDefault(t), compileDefault(t)).parts
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before, _ := json.Marshal([]any{test.organisation, test.tenant})
			v := join(parts, []*writ.Verdict{test.organisation, test.tenant})
			var rules []string
			for _, r := range v.Reasons {
				rules = append(rules, string(r.Layer)+":"+r.Rule)
			}
			calls := 0
			if v.Budget != nil {
				calls = v.Budget.Calls
			}
			if v.Mode != test.mode || v.Risk != test.risk || !reflect.DeepEqual(v.Approvals, test.asks) || strings.Join(rules, " ") != test.rules || calls != test.calls {
				t.Errorf("got %+v, rules %v, %d calls", v, rules, calls)
			}
			if after, _ := json.Marshal([]any{test.organisation, test.tenant}); !bytes.Equal(before, after) {
				t.Error("joining changes what was joined")
			}
		})
	}
}

// Escalation lets more people decide, so it is never earlier than in either layer,
// and never to whom one of them would not have let decide by then.
func TestPropertyJoinedApprovalsSatisfyBoth(t *testing.T) {
	roles := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"approver", "lead", "admin", "security"}), 0, 3, rapid.ID)
	draw := func(t *rapid.T, name string) *writ.Requirement {
		r := &writ.Requirement{
			Count: rapid.IntRange(1, 3).Draw(t, name), Roles: roles.Draw(t, name), ExpiresIn: hours(rapid.IntRange(1, 5).Draw(t, name)),
			EscalateAfter: hours(rapid.IntRange(0, 5).Draw(t, name)), EscalateTo: roles.Draw(t, name),
		}
		for _, role := range slices.Sorted(slices.Values(roles.Draw(t, name+" seats"))) {
			r.Quorum = append(r.Quorum, writ.Seats{Role: role, Count: rapid.IntRange(1, 2).Draw(t, name)})
		}
		*r = r.Join(&writ.Requirement{}) // no fewer people than seats
		return r
	}
	may := func(r *writ.Requirement, role string, at abi.Duration) bool {
		if at >= r.ExpiresIn {
			return false
		}
		return slices.Contains(rolesOf(r), role) || escalates(r) && at >= r.EscalateAfter && slices.Contains(r.EscalateTo, role)
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw(t, "a"), draw(t, "b")
		both, ok := joinApprovals(a, b)
		if !ok {
			if len(a.Quorum)+len(b.Quorum) == 0 && len(common(rolesOf(a), rolesOf(b))) > 0 {
				t.Fatal("a role that satisfies both is there")
			}
			return
		}
		for _, s := range slices.Concat(a.Quorum, b.Quorum) {
			if !slices.ContainsFunc(both.Quorum, func(have writ.Seats) bool { return have.Role == s.Role && have.Count >= s.Count }) {
				t.Fatalf("%+v lacks the seats %+v", both, s)
			}
		}
		if both.Count < max(a.Count, b.Count) {
			t.Fatalf("fewer people: %+v", both)
		}
		for _, role := range []string{"approver", "lead", "admin", "security"} {
			for hour := range 6 {
				if at := hours(hour); may(&both, role, at) && (!may(a, role, at) || !may(b, role, at)) {
					t.Fatalf("%s decides after %dh by %+v, and not by both of %+v and %+v", role, hour, both, a, b)
				}
			}
		}
	})
}

// layerRules are bundles that a tenant might have.
func layerRules(t testing.TB) []*Policy {
	const call = "\ncall := {\"mode\": \"autonomous\", \"risk\": input.step.risk, \"reasons\": []}\n"
	const asks = `step := {"mode": "assist", "risk": "medium", "reasons": [{"rule": "a", "message": "m"}], "approvals": {"count": 3, "roles": ["approver", "lead"], "expiresIn": "1h"}}`
	return []*Policy{
		compiled(t, `step := {"mode": "autonomous", "risk": "low", "reasons": []}`+call, 0),
		compiled(t, asks+call, 0),
		compiled(t, strings.Replace(asks, `"approver", "lead"`, `"lead"`, 1)+call, 0),
		compiled(t, `step := {"mode": "blocked", "risk": "low", "reasons": []} if input.origin == "model"`+call, 0),
		compiled(t, `step := {"mode": "assist", "risk": "low", "reasons": []} if count(input.grants) > 0`+"\n"+
			`else := {"mode": "blocked", "risk": "high", "reasons": []}`+call, 0),
	}
}

// Adding a layer never allows more, nor does taking a grant away or a higher risk
// under layers.
func TestPropertyLayersAreMonotone(t *testing.T) {
	own := compileDefault(t)
	tenants := layerRules(t)
	rapid.Check(t, func(t *rapid.T) {
		q := questions(t)
		i := rapid.IntRange(0, len(tenants)-1).Draw(t, "tenant")
		tenant := tenants[i]
		alone := decide(t, own, q)
		both := judged(t, lawWith(t, own, tenant), q)
		if looser(both, alone) || both.Risk.Rank() < alone.Risk.Rank() {
			t.Fatalf("a layer allows more:\n%+v\n%+v", alone, both)
		}
		if both.Mode == writ.Assist && alone.Mode == writ.Assist {
			for _, role := range both.Approvals.Roles {
				if !slices.Contains(rolesOf(&alone.Approvals), role) {
					t.Fatalf("a layer lets %s approve", role)
				}
			}
		}
		if both.Mode == writ.Autonomous && q.Point == writ.PointStep && both.Risk.Rank() >= writ.RiskHigh.Rank() {
			t.Fatal("high risk by itself")
		}
		if i == 3 { // its rules ask the origin alone, and nothing of what changes
			return
		}
		if rapid.Bool().Draw(t, "risk") {
			q.Step.Risk = map[writ.Risk]writ.Risk{writ.RiskLow: writ.RiskMedium, writ.RiskMedium: writ.RiskHigh, "": writ.RiskBlocked}[q.Step.Risk]
		} else if len(q.Grants) > 0 {
			q.Grants = q.Grants[1:]
		}
		if after := judged(t, lawWith(t, own, tenant), q); looser(after, both) {
			t.Fatalf("tightening the question loosens the answer:\n%+v\n%+v", both, after)
		}
	})
}

func judged(t interface{ Fatal(...any) }, judge writ.Judge, q *writ.Question) *writ.Verdict {
	v, err := judge.Judge(testContext, q)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// A stored decision comes to the same bytes again under each set of layers: by the
// digest that it names, in another service, from what is kept alone.
func TestStoredDecisionsComeToTheSameBytes(t *testing.T) {
	r := newRig(t)
	type stored struct {
		question []byte
		verdict  []byte
		digest   writ.Digest
	}
	var all []stored
	ask := func() {
		for _, q := range []*writ.Question{stepQuestion(), callQuestion()} {
			for _, risk := range []writ.Risk{writ.RiskLow, writ.RiskMedium, writ.RiskHigh} {
				q.Step.Risk = risk
				v := judged(t, r.Active(), q)
				question, _ := canon.MarshalJSON(q)
				verdict, err := canon.MarshalJSON(v)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, stored{question, verdict, v.PolicyDigest})
			}
		}
	}
	activate := func(files map[string][]byte, layer writ.Layer) {
		if _, err := r.Activate(admin(t), &contract.PolicyActivateInput{Source: source(t, files, r.private), Layer: layer}); err != nil {
			t.Fatal(err)
		}
		ask()
	}
	ask()
	activate(eyesFiles(), writ.LayerTenant)
	activate(strictFiles(), writ.LayerOrganisation)
	if _, err := r.Rollback(admin(t), &contract.PolicyRollbackInput{Layer: writ.LayerTenant, Reason: "x"}); err != nil {
		t.Fatal(err)
	}
	ask()
	r.open(t)
	digests := map[writ.Digest]bool{}
	for _, s := range all {
		digests[s.digest] = true
		judge, err := r.ByDigest(t.Context(), s.digest)
		if err != nil {
			t.Fatal(err)
		}
		var q writ.Question
		if err := json.Unmarshal(s.question, &q); err != nil {
			t.Fatal(err)
		}
		again, err := canon.MarshalJSON(judged(t, judge, &q))
		if err != nil || !bytes.Equal(again, s.verdict) {
			t.Errorf("got  %s, %v\nwant %s", again, err, s.verdict)
		}
	}
	if len(digests) != 4 {
		t.Errorf("%d sets of layers; want 4", len(digests))
	}
}

// What one bundle answers alone is what it answered before there were layers:
// under its own digest, and without a layer in its words.
func TestOneLayerIsTheBundleItself(t *testing.T) {
	own := compileDefault(t)
	alone := lawWith(t, own, nil)
	if alone.Policy() != own.Policy() {
		t.Errorf("got %v", alone.Policy())
	}
	for _, q := range []*writ.Question{stepQuestion(), callQuestion()} {
		q.Grants = nil
		got, _ := canon.MarshalJSON(judged(t, alone, q))
		want, _ := canon.MarshalJSON(decide(t, own, q))
		if !bytes.Equal(got, want) || bytes.Contains(got, []byte(`"layer"`)) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestKeptListsAreProved(t *testing.T) {
	r := newRig(t)
	out, err := r.Activate(admin(t), &contract.PolicyActivateInput{Source: source(t, eyesFiles(), r.private), Layer: writ.LayerTenant})
	if err != nil {
		t.Fatal(err)
	}
	needs, err := r.Needs(out.InForce)
	if err != nil || len(needs) != 3 || needs[0] != out.InForce || needs[2] != out.Digest {
		t.Errorf("got %v, %v", needs, err)
	}
	if needs, err := r.Needs(out.Digest); err != nil || len(needs) != 1 {
		t.Errorf("got %v, %v", needs, err)
	}
	file := filepath.Join(r.options.Dir, out.InForce.Hex(), layersFile)
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	swapped := strings.Replace(string(raw), out.Digest.Hex(), canon.SHA256([]byte("x")).Hex(), 1)
	for name, text := range map[string]string{
		"another bundle": swapped, "another form": strings.Replace(string(raw), ":", ": ", 1), "not a list": "[]", "nothing": "",
		"one layer": `{"layers":[{"bundle":"` + string(out.Digest) + `","layer":"tenant"}]}`,
	} {
		write(t, file, text)
		if _, err := Open(t.Context(), r.options); !writ.IsCode(err, writ.CodeTampered) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func FuzzParseLayers(f *testing.F) {
	d := string(canon.SHA256([]byte("x")))
	f.Add([]byte(`{"layers":[{"bundle":"` + d + `","layer":"organisation"},{"bundle":"` + d + `","layer":"tenant"}]}`))
	f.Add([]byte(`{"layers":[{"bundle":"` + d + `","layer":"tenant"},{"bundle":"` + d + `","layer":"organisation"}]}`))
	f.Add([]byte(`{"layers":null}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		list, err := parseLayers(raw)
		if err != nil {
			if !writ.IsCode(err, writ.CodeTampered) {
				t.Error(err)
			}
			return
		}
		again, err := list.encode()
		if err != nil || !bytes.Equal(again, raw) || len(list.Layers) != 2 || list.Layers[0].Layer != writ.LayerOrganisation {
			t.Errorf("%s, %v: %+v", again, err, list)
		}
	})
}
