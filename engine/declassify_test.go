package engine_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/policy"
)

// declassification is the rule that what a skill's action run gives out is public.
func (r *rig) declassification(key writ.SkillKey) writ.Declassification {
	return writ.Declassification{
		Name: string(key), Skill: key, Digest: r.skills[key].Digest, Action: "run",
		From: writ.SensitivityPrivate, To: writ.SensitivityPublic, Reason: "it gives out a number alone",
	}
}

// declassifying is the default bundle with rules.
func (r *rig) declassifying(rules ...writ.Declassification) writ.Judge {
	r.t.Helper()
	dir := r.t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../policy/bundle")); err != nil {
		r.t.Fatal(err)
	}
	raw, err := canon.MarshalJSON(map[string]any{"rules": rules})
	if err != nil {
		r.t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "writ", "declassify"), 0o700); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "writ", "declassify", "data.json"), raw, 0o600); err != nil {
		r.t.Fatal(err)
	}
	b, err := policy.LoadBundle(dir)
	if err != nil {
		r.t.Fatal(err)
	}
	judge, err := policy.Compile(r.t.Context(), b, time.Minute)
	if err != nil {
		r.t.Fatal(err)
	}
	return judge
}

// sanitised is a rig whose policy declassifies what own gives out.
func sanitised(t *testing.T, change func(*writ.Declassification)) *rig {
	r := sensitiveRig(t, writ.SensitivityPrivate)
	r.private()
	rule := r.declassification("test/own")
	if change != nil {
		change(&rule)
	}
	r.judges = judges{r.declassifying(rule)}
	r.reboot()
	return r
}

// TestADeclassifiedOutputIsPublic, in the plan and in the run, for whoever is
// trusted; the plan says by which rule, and nothing of it can be altered.
func TestADeclassifiedOutputIsPublic(t *testing.T) {
	r := sanitised(t, nil)
	id := r.begin(service, sendOwn)
	state := r.expect(id, writ.ExecCompleted)
	if r.sent(id) != 1 || slices.Contains(state.Step("own").Labels, writ.LabelPrivate) {
		t.Errorf("%d requests, %v", r.sent(id), state.Step("own").Labels)
	}
	r.identical(id)
	alterAll(t, r, id, 100)
}

// TestADeclassificationIsOfOneRelease: another digest, action or skill is another
// sanitiser, and people are asked as ever.
func TestADeclassificationIsOfOneRelease(t *testing.T) {
	for name, change := range map[string]func(*writ.Declassification){
		"digest": func(d *writ.Declassification) { d.Digest = canon.SHA256([]byte("another")) },
		"action": func(d *writ.Declassification) { d.Action = "walk" },
		"skill":  func(d *writ.Declassification) { d.Skill = "test/look" },
	} {
		t.Run(name, func(t *testing.T) {
			r := sanitised(t, change)
			id := r.begin(service, sendOwn)
			r.expect(id, writ.ExecAwaitingApproval)
			if r.sent(id) != 0 {
				t.Error("it left")
			}
			r.identical(id)
		})
	}
}

// TestADeclassificationVouchesForNobody: what a model wrote is a model's, whatever
// the rule says of who may know it.
func TestADeclassificationVouchesForNobody(t *testing.T) {
	r := sanitised(t, nil)
	id := r.begin(agent, sendOwn)
	state := r.expect(id, writ.ExecCompleted) // a request that reads, with a model's words and nothing private
	if labels := state.Step("own").Labels; !slices.Contains(labels, writ.LabelModel) || slices.Contains(labels, writ.LabelPrivate) {
		t.Errorf("%v", labels)
	}
	r.identical(id)
}

// TestAWithdrawnDeclassificationStopsItsPlans: a plan that was compiled by a rule does
// not run under a policy without it, and says why.
func TestAWithdrawnDeclassificationStopsItsPlans(t *testing.T) {
	r := sanitised(t, nil)
	id := r.submit(service, sendOwn)
	r.compile(service, id)
	r.judges = judges{successor{defaultJudge(t), r.judges.judge}}
	r.reboot()
	_, err := r.engine.ExecutionStart(as(service), &contract.ExecutionStartInput{ExecutionID: id, Wait: true})
	if !writ.IsCode(err, writ.CodeBlocked) || r.sent(id) != 0 {
		t.Fatalf("it starts: %v", err)
	}
	clamped := slices.ContainsFunc(r.records(id), func(s writ.Stored) bool {
		d := s.Body.Decided
		return d != nil && slices.ContainsFunc(d.Verdict.Clamps, func(c writ.Clamp) bool { return c.Rule == policy.ClampDeclassified && c.To == writ.Blocked })
	})
	if !clamped {
		t.Error("no verdict says so")
	}
	r.identical(id)
	// Without the policy that its plan was compiled by nobody can say that it is the same.
	r.judges = judges{defaultJudge(t)}
	r.reboot()
	if out, err := r.engine.ReplayRun(as(approver), &contract.ReplayRunInput{ExecutionID: id}); err == nil && out.Identical {
		t.Errorf("it replays without its law: %+v", out)
	}
}

// TestDeclassifiedTextsReachNoSinkUnseen: where every skill is taken for a sanitiser,
// what somebody untrusted wrote still reaches no sink that nobody has seen.
func TestDeclassifiedTextsReachNoSinkUnseen(t *testing.T) {
	w := newWorld(t, defaultJudge(t))
	var rules []writ.Declassification
	for _, key := range slices.Sorted(maps.Keys(w.skills)) {
		rules = append(rules, w.declassification(key))
	}
	w.judges = judges{w.declassifying(rules...)}
	w.reboot()
	texts, flows, declassified := corpus(t), 0, 0
	for i := 0; i < len(texts); i += 5 {
		for shape := range shapes {
			id := w.run(&texts[i], shape, []string{"ask", "tell"}[i%2])
			if out := w.reached(); len(out) != 0 {
				t.Fatalf("%s, %s: reached the sink unseen: %s", texts[i].Name, shapes[shape].name, out[0])
			}
			state := w.expect(id, writ.ExecAwaitingApproval)
			if read := state.Step("read"); read != nil && texts[i].Enters != "http" {
				if slices.Contains(read.Labels, writ.LabelPrivate) || !slices.Contains(read.Labels, writ.LabelStored) {
					t.Fatalf("%s: %v", texts[i].Name, read.Labels)
				}
				declassified++
			}
			if flows++; flows%11 == 0 {
				w.identical(id)
			}
		}
	}
	if flows < 50 || declassified == 0 {
		t.Errorf("%d flows, %d declassified", flows, declassified)
	}
	t.Logf("%d flows, %d of them through a declassified output: 0 effects before approval", flows, declassified)
}
