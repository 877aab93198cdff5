package writ_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
)

func yes(by writ.PrincipalID, roles ...string) writ.Decision {
	return writ.Decision{By: by, Roles: roles, Approved: true}
}

// TestAPersonTakesOneSeat: roles add up to people, whoever came first.
func TestAPersonTakesOneSeat(t *testing.T) {
	both := []writ.Seats{{Role: "finance", Count: 1}, {Role: "security", Count: 1}}
	instead := writ.Decision{By: "human:bob", For: "human:ada", Roles: []string{"security"}, Approved: true}
	for name, test := range map[string]struct {
		quorum    []writ.Seats
		decisions []writ.Decision
		missing   string
		met       bool
	}{
		"nobody":                        {both, nil, "[{finance 1} {security 1}]", false},
		"one of two":                    {both, []writ.Decision{yes("a", "finance")}, "[{security 1}]", false},
		"one person of both":            {both, []writ.Decision{yes("a", "finance", "security")}, "[{security 1}]", false},
		"one of each":                   {both, []writ.Decision{yes("a", "finance"), yes("b", "security")}, "[]", true},
		"who has both makes room":       {both, []writ.Decision{yes("a", "finance", "security"), yes("b", "finance")}, "[]", true},
		"and in the other order":        {both, []writ.Decision{yes("b", "finance"), yes("a", "finance", "security")}, "[]", true},
		"two of one role":               {both, []writ.Decision{yes("a", "finance"), yes("b", "finance")}, "[{security 1}]", false},
		"the same person twice":         {both, []writ.Decision{yes("a", "finance"), yes("a", "security")}, "[{security 1}]", false},
		"a no takes no seat":            {both, []writ.Decision{yes("a", "finance"), {By: "b", Roles: []string{"security"}}}, "[{security 1}]", false},
		"in the place of another":       {both, []writ.Decision{yes("c", "finance"), instead}, "[]", true},
		"and the deputy's own is one":   {both, []writ.Decision{instead, yes("human:bob", "finance")}, "[{finance 1}]", false},
		"and the absent person's":       {both, []writ.Decision{instead, yes("human:ada", "finance")}, "[{finance 1}]", false},
		"two seats of a role":           {[]writ.Seats{{Role: "finance", Count: 2}}, []writ.Decision{yes("a", "finance"), yes("b", "x")}, "[{finance 1}]", false},
		"without a quorum, one":         {nil, []writ.Decision{yes("a")}, "[]", false},
		"without a quorum, two":         {nil, []writ.Decision{yes("a"), yes("b")}, "[]", true},
		"a chain of three makes room":   {[]writ.Seats{{Role: "x", Count: 1}, {Role: "y", Count: 1}, {Role: "z", Count: 1}}, []writ.Decision{yes("a", "x", "y"), yes("b", "y", "z"), yes("c", "x")}, "[]", true},
		"and not where nobody can move": {[]writ.Seats{{Role: "x", Count: 1}, {Role: "y", Count: 1}, {Role: "z", Count: 1}}, []writ.Decision{yes("a", "x"), yes("b", "x"), yes("c", "y")}, "[{z 1}]", false},
	} {
		t.Run(name, func(t *testing.T) {
			a := &writ.Approval{Decisions: test.decisions}
			r := writ.Requirement{Count: 2}.Join(&writ.Requirement{Quorum: test.quorum})
			if got := fmt.Sprint(a.Missing(&r)); got != test.missing {
				t.Errorf("missing %s, want %s", got, test.missing)
			}
			if a.Meets(&r) != test.met {
				t.Errorf("met: %v", !test.met)
			}
		})
	}
}

// TestPropertySeats: what is open is what no seating of the people can fill.
func TestPropertySeats(t *testing.T) {
	roles := []string{"w", "x", "y", "z"}
	rapid.Check(t, func(t *rapid.T) {
		var r writ.Requirement
		var open []string // one entry for each seat
		for _, role := range roles {
			if n := rapid.IntRange(0, 2).Draw(t, role); n > 0 {
				r.Quorum = append(r.Quorum, writ.Seats{Role: role, Count: n})
				for range n {
					open = append(open, role)
				}
			}
		}
		a := &writ.Approval{}
		for i := range rapid.IntRange(0, 5).Draw(t, "people") {
			has := rapid.SliceOfNDistinct(rapid.SampledFrom(roles), 0, 3, rapid.ID).Draw(t, "roles")
			a.Decisions = append(a.Decisions, yes(writ.PrincipalID(fmt.Sprint(i)), has...))
		}
		left := 0
		for _, s := range a.Missing(&r) {
			left += s.Count
		}
		if want := len(open) - most(a.Decisions, open); left != want {
			t.Fatalf("%d seats are open, want %d: %+v of %+v", left, want, a.Decisions, r.Quorum)
		}
	})
}

// most is the largest number of seats that the people can take, by trying all.
func most(people []writ.Decision, open []string) int {
	if len(people) == 0 {
		return 0
	}
	best := most(people[1:], open) // who takes none
	for i, role := range open {
		if slices.Contains(people[0].Roles, role) {
			best = max(best, 1+most(people[1:], slices.Delete(slices.Clone(open), i, i+1)))
		}
	}
	return best
}

func TestJoinAsksForAllOfBoth(t *testing.T) {
	a := writ.Requirement{Count: 1, Roles: []string{"approver"}, Quorum: []writ.Seats{{Role: "security", Count: 1}}}
	b := writ.Requirement{Count: 2, Quorum: []writ.Seats{{Role: "finance", Count: 1}, {Role: "security", Count: 2}}}
	got := a.Join(&b)
	if want := "{3 [approver] [{finance 1} {security 2}] 0 0 []}"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
	if len(a.Quorum) != 1 || a.Quorum[0].Count != 1 || b.Quorum[0].Role != "finance" {
		t.Error("the requirements themselves changed")
	}
	if got := fmt.Sprint(got.Deciders(false), (&writ.Requirement{EscalateTo: []string{"admin"}}).Deciders(true)); got != "[approver finance security] []" {
		t.Errorf("deciders %s", got)
	}
}

// TestNobodyApprovesWhatIsTheirs: neither who asked, nor who they act for, nor who
// wrote it, nor anybody who acts for one of these.
func TestNobodyApprovesWhatIsTheirs(t *testing.T) {
	r := &writ.ApprovalRequest{Requester: "agent:bot", OnBehalfOf: []writ.PrincipalID{"human:ada"}, Authors: []writ.PrincipalID{"human:eve"}}
	for id, excluded := range map[writ.PrincipalID]bool{"agent:bot": true, "human:ada": true, "human:eve": true, "human:bob": false} {
		if got := r.Excludes(&writ.Principal{ID: id}) != ""; got != excluded {
			t.Errorf("%s: %v", id, got)
		}
		if got := r.Excludes(&writ.Principal{ID: "human:zoe", OnBehalfOf: []writ.PrincipalID{"human:yan", id}}) != ""; got != excluded {
			t.Errorf("for %s: %v", id, got)
		}
	}
}

// TestAChannelsWordIsTooLittleForAHighRisk: neither when it is said nor when it is
// counted, whoever else approves.
func TestAChannelsWordIsTooLittleForAHighRisk(t *testing.T) {
	there := &writ.Via{Channel: "slack/acme", Sender: "T1/U1", Delivery: "dlv_1"}
	for risk, counts := range map[writ.Risk]bool{writ.RiskLow: true, writ.RiskMedium: true, writ.RiskHigh: false, writ.RiskBlocked: false, "": false, "unheard of": false} {
		a := &writ.Approval{Status: writ.ApprovalPending, Request: writ.ApprovalRequest{Risk: risk, Requirement: writ.Requirement{Count: 2}}}
		yes := &writ.Decision{By: "human:ada", Approved: true, Via: there}
		if a.Request.Takes(yes) != counts || !a.Request.Takes(&writ.Decision{By: "human:ada", Approved: true}) {
			t.Errorf("%q: taken: %v", risk, a.Request.Takes(yes))
		}
		a.Decisions = []writ.Decision{{By: "human:bob", Approved: true}}
		if got := a.After(yes) == writ.ApprovalApproved; got != counts {
			t.Errorf("%q: approved with it: %v", risk, got)
		}
		a.Decisions = append(a.Decisions, *yes)
		if got := a.Meets(&a.Request.Requirement); got != counts {
			t.Errorf("%q: counted: %v", risk, got)
		}
	}
}
