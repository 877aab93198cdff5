package plan

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

const editDraft = `apiVersion: writ/v1
kind: Plan
inputs: {list: [one, two]}
steps:
  - name: read
    uses: acme/github#issue.get
    with: {owner: acme, repo: site, number: 7}
  - name: tell
    uses: acme/mail#send
    with:
      region: eu
      message:
        to: [{address: "${{ string(intent.metadata.who) }}"}, {address: fixed@example.com}]
        text: "about ${{ steps.read.output.title }}"
`

// editing is a step of a draft with its input.
type editing struct {
	p    *Planner
	from shelf
	req  writ.CompileRequest
	step string
}

func (e *editing) input(t testing.TB) []byte {
	t.Helper()
	return e.resolve(t).Input
}

func (e *editing) resolve(t testing.TB) *writ.ResolvedStep {
	t.Helper()
	compiled := mustCompile(t, e.p, e.req)
	step, _ := compiled.Plan.Step(e.step)
	out, err := e.p.Resolve(compiled.Plan, step, e.scope(t, step))
	if err != nil {
		t.Fatalf("%+v", err)
	}
	return out
}

func (e *editing) scope(t testing.TB, step *writ.Step) writ.Scope {
	return writ.Scope{
		Intent: e.req.Intent, Release: e.from.release(t, string(step.Skill.Key)),
		Outputs: map[string]json.RawMessage{"read": json.RawMessage(`{"body":null,"comments":0,"state":"open","title":"leak"}`)},
		Labels:  map[string][]writ.Label{"read": {writ.LabelHTTP}},
	}
}

// edit replaces the input and keeps the edits.
func (e *editing) edit(t testing.TB, now string, labels ...writ.Label) []writ.Edit {
	t.Helper()
	raw, err := canon.JSON([]byte(now))
	if err != nil {
		t.Fatal(err)
	}
	made, err := e.p.Edits(&writ.EditRequest{Draft: e.req.Draft, Edits: e.req.Edits, Step: e.step, Was: e.input(t), Now: raw, Labels: labels})
	if err != nil {
		t.Fatalf("%+v", err)
	}
	e.req.Edits = slices.Concat(e.req.Edits, made)
	return made
}

func newEditing(t testing.TB, draft, step string) *editing {
	from := skills(t)
	return &editing{p: planner(t), from: from, req: request(draft, from), step: step}
}

// TestAnEditIsOfWhatIsAnother: what stays the same keeps its expression, its labels
// and whom it is from.
func TestAnEditIsOfWhatIsAnother(t *testing.T) {
	e := newEditing(t, editDraft, "tell")
	e.req.Origin = writ.OriginModel
	made := e.edit(t, `{"region":"us","message":{"to":[{"address":"bob"},{"address":"other@example.com"}],"text":"about leak"}}`, writ.LabelPrincipal)
	var paths []string
	for _, one := range made {
		paths = append(paths, one.Path+"="+string(one.Value))
	}
	if got := strings.Join(paths, " "); got != `/message/to/1/address="other@example.com" /region="us"` {
		t.Fatalf("edits %s", got)
	}
	compiled := mustCompile(t, e.p, e.req)
	step, _ := compiled.Plan.Step("tell")
	if len(step.Bindings) != 2 || len(step.Edited) != 2 {
		t.Errorf("bindings %v, edited %v", step.Bindings, step.Edited)
	}
	want := map[string]string{
		"with.region": "edited: principal", "with.message.to.0.address": "intent.metadata.who: model,principal",
		"with.message.to.1.address": "edited: http,model,principal,secret", "with.message.text": "steps.read.output.title: http,model,secret",
	}
	for _, f := range e.p.Flows(compiled.Plan, step, writ.Scope{}) {
		if got := strings.Join(f.From, ",") + ": " + labelText(f.Labels); f.Parameter != "with.message.to.1.address" && got != want[f.Parameter] {
			t.Errorf("%s is from %s, want %s", f.Parameter, got, want[f.Parameter])
		}
	}
	out := e.resolve(t)
	if !strings.Contains(string(out.Input), "other@example.com") || out.Capabilities[0].Hosts[0] != "us.mail.example" {
		t.Errorf("%s with %v", out.Input, out.Capabilities)
	}
}

// TestAnEditIsNoDraft: an expression in an edited value is text, and a value does not
// get out of its place.
func TestAnEditIsNoDraft(t *testing.T) {
	e := newEditing(t, editDraft, "tell")
	e.edit(t, `{"region":"eu","message":{"to":[],"text":"${{ steps.read.output.body }} $${{"}}`, writ.LabelPrincipal)
	if got := string(e.input(t)); got != `{"message":{"text":"${{ steps.read.output.body }} $${{","to":[]},"region":"eu"}` {
		t.Errorf("%s", got)
	}
	for name, bad := range map[string]string{
		"a member that is not there": `{"region":"eu","message":{"to":[],"text":"x","bcc":"y"}}`,
		"another type":               `{"region":7,"message":{"to":[],"text":"x"}}`,
		"one that is missing":        `{"message":{"to":[],"text":"x"}}`,
	} {
		f := newEditing(t, editDraft, "tell")
		f.edit(t, bad, writ.LabelPrincipal)
		if _, err := f.p.Compile(f.req); !writ.IsCode(err, writ.CodePlanRejected) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, code := range map[string]writ.Code{`[1]`: writ.CodeInvalid, `"x"`: writ.CodeInvalid} {
		if _, err := e.p.Edits(&writ.EditRequest{Draft: e.req.Draft, Step: "tell", Was: json.RawMessage(`{}`), Now: json.RawMessage(name)}); !writ.IsCode(err, code) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := e.p.Edits(&writ.EditRequest{Draft: e.req.Draft, Step: "none", Was: json.RawMessage(`{}`), Now: json.RawMessage(`{}`)}); !writ.IsCode(err, writ.CodeNotFound) {
		t.Errorf("no such step: %v", err)
	}
	e.req.Edits = []writ.Edit{{Step: "tell", Path: "/nowhere/at/all", Value: json.RawMessage(`1`), Labels: []writ.Label{writ.LabelPrincipal}}}
	if _, err := e.p.Compile(e.req); !writ.IsCode(err, writ.CodePlanRejected) {
		t.Errorf("an edit of nothing: %v", err)
	}
	e.req.Edits[0].Step = "none"
	if _, err := e.p.Compile(e.req); !writ.IsCode(err, writ.CodePlanRejected) {
		t.Errorf("an edit of no step: %v", err)
	}
}

// TestLabelsOfEditsJoin: whoever edits a part of what another has edited has written
// the whole too.
func TestLabelsOfEditsJoin(t *testing.T) {
	e := newEditing(t, draftOf("name: any\nuses: acme/text#any\nwith: {a: 1}"), "any")
	e.edit(t, `{"a":{"b":1,"c":2}}`, writ.LabelModel)
	e.edit(t, `{"a":{"b":1,"c":3}}`, writ.LabelPrivate, writ.LabelPrincipal)
	step, _ := mustCompile(t, e.p, e.req).Plan.Step("any")
	if len(step.Edited) != 1 || step.Edited[0].Path != "/a" || labelText(step.Edited[0].Labels) != "model,principal,private" {
		t.Errorf("%+v", step.Edited)
	}
	if got := labelText(e.resolve(t).Taint); got != "model,principal,private" {
		t.Errorf("taint %s", got)
	}
}

// TestAnEditOfWhatHasNotBegun: what nobody has seen a value of keeps its expression.
func TestAnEditOfWhatHasNotBegun(t *testing.T) {
	e := newEditing(t, editDraft, "tell")
	step, _ := mustCompile(t, e.p, e.req).Plan.Step("tell")
	for now, want := range map[string]string{
		`{"region":"us","message":{"to":[{"address":null},{"address":"fixed@example.com"}],"text":null}}`: "/region",
		`{"region":"us","message":{"to":[{},{"address":"fixed@example.com"}]}}`:                           "/region",
		`{"region":"eu","message":{"to":[{},{"address":"fixed@example.com"}],"text":"mine"}}`:             "/message/text",
		`{"region":"eu","message":{"to":[{}],"text":null}}`:                                               "/message/to",
	} {
		made, err := e.p.Edits(&writ.EditRequest{Draft: e.req.Draft, Step: "tell", Was: step.Template, Now: json.RawMessage(now), Pending: true})
		if err != nil || len(made) != 1 || made[0].Path != want {
			t.Errorf("%s: %v, %v, want %s", now, made, err, want)
		}
	}
}

// TestPropertyAnEditGivesWhatWasAsked: whatever the draft says and however often it is
// edited, the edited plan resolves to the input that was asked for, and what was not
// touched keeps its labels.
func TestPropertyAnEditGivesWhatWasAsked(t *testing.T) {
	p, from := planner(t), skills(t)
	value, compiled, edited := valueOf(3), 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		members := rapid.MapOfN(rapid.SampledFrom([]string{"a", "b/c", "d~", "e"}), value, 0, 4).Draw(rt, "with")
		raw, err := json.Marshal(members)
		if err != nil {
			rt.Fatal(err)
		}
		draft := `{"apiVersion":"writ/v1","kind":"Plan","inputs":{"list":["one","two"]},"steps":[{"name":"any","uses":"acme/text#any","with":` + string(raw) + `}]}`
		e := &editing{p: p, from: from, req: request(draft, from), step: "any"}
		e.req.Draft.Format = "json"
		if _, err := p.Compile(e.req); err != nil {
			return // an expression where its type does not fit
		}
		compiled++
		for range rapid.IntRange(1, 3).Draw(rt, "edits") {
			was := e.input(t)
			var tree any
			if err := json.Unmarshal(was, &tree); err != nil {
				rt.Fatal(err)
			}
			want, err := canon.MarshalJSON(mutate(rt, tree, 0))
			if err != nil || want[0] != '{' {
				continue
			}
			made := e.edit(t, string(want), writ.LabelChannel)
			edited += len(made)
			if got := e.input(t); !bytes.Equal(got, want) {
				rt.Fatalf("%s edited into\n%s is\n%s by %+v", was, want, got, made)
			}
			if (len(made) == 0) != bytes.Equal(was, want) {
				rt.Fatalf("%d edits of %s into %s", len(made), was, want)
			}
			added := slices.ContainsFunc(made, func(one writ.Edit) bool { return len(one.Value) > 0 })
			if added && !slices.Contains(e.resolve(t).Taint, writ.LabelChannel) {
				rt.Fatalf("the editor's label is not in the taint: %+v", made)
			}
		}
	})
	if compiled < 10 || edited < 10 {
		t.Errorf("%d drafts, %d edits: the property is too tame", compiled, edited)
	}
}

// valueOf draws values of a draft: literals, expressions and what holds them.
func valueOf(depth int) *rapid.Generator[any] {
	leaf := rapid.SampledFrom([]any{
		"text", "", 7, true, nil, "${{ intent.text }}", "${{ inputs.list }}", "${{ inputs.list[0] }} and ${{ intent.metadata.who }}", "$${{ no }}", "${{ intent.metadata }}",
	})
	if depth == 0 {
		return leaf
	}
	inner := valueOf(depth - 1)
	return rapid.OneOf(leaf,
		rapid.Map(rapid.SliceOfN(inner, 0, 3), func(list []any) any { return list }),
		rapid.Map(rapid.MapOfN(rapid.SampledFrom([]string{"x", "y", "/"}), inner, 0, 3), func(m map[string]any) any { return m }))
}

// mutate changes some of a value.
func mutate(t *rapid.T, v any, depth int) any {
	if depth > 0 && rapid.IntRange(0, 4).Draw(t, "replace") == 0 {
		return rapid.SampledFrom([]any{"${{ inputs.list }}", "new", 8, nil, map[string]any{"z": "w"}, []any{"q"}}).Draw(t, "by")
	}
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if rapid.IntRange(0, 5).Draw(t, "drop") > 0 {
				out[name] = mutate(t, v[name], depth+1)
			}
		}
		if rapid.IntRange(0, 5).Draw(t, "add") == 0 {
			out["added"] = "value"
		}
		return out
	case []any:
		out := []any{}
		for _, inner := range v {
			out = append(out, mutate(t, inner, depth+1))
		}
		return out
	}
	return v
}

// TestWhatAPersonWroteReachesASink: a sink that a person has filled in a model's draft
// is no longer the model's, before the run and in it.
func TestWhatAPersonWroteReachesASink(t *testing.T) {
	e := newEditing(t, draftOf("name: say\nuses: acme/github#issue.comment\nwith: {owner: acme, repo: site, number: 7, body: hi}"), "say")
	e.req.Origin = writ.OriginModel
	for _, want := range []struct {
		labels string
		risk   writ.Risk
	}{{"model", writ.RiskHigh}, {"principal", writ.RiskMedium}} {
		step, _ := mustCompile(t, e.p, e.req).Plan.Step("say")
		out := e.resolve(t)
		if labelText(step.Sinks[0].Labels) != want.labels || labelText(out.Sinks[0].Labels) != want.labels || step.Risk != want.risk || out.Risk != want.risk {
			t.Errorf("planned %s at %s risk, resolved %s at %s", labelText(step.Sinks[0].Labels), step.Risk, labelText(out.Sinks[0].Labels), out.Risk)
		}
		e.edit(t, `{"owner":"acme","repo":"site","number":7,"body":"hello"}`, writ.LabelPrincipal)
	}
}
