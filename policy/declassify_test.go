package policy

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

var someRelease = canon.SHA256([]byte("release"))

func declassifyText(member, value string) string {
	text := `{"rules":[{"name":"own","skill":"acme/own","digest":"` + string(someRelease) + `","action":"run","from":"private","to":"public","reason":"a count alone"}]}`
	if member == "" {
		return text
	}
	have := map[string]string{"name": "own", "skill": "acme/own", "digest": string(someRelease), "action": "run", "from": "private", "to": "public", "reason": "a count alone"}[member]
	return strings.Replace(text, fmt.Sprintf("%q:%q", member, have), fmt.Sprintf("%q:%s", member, value), 1)
}

// TestWhatIsDeclassified: private data of one release, and nothing else.
func TestWhatIsDeclassified(t *testing.T) {
	rules, err := declassifications([]byte(declassifyText("", "")))
	if err != nil || len(rules) != 1 || !rules[0].Of(writ.SkillRef{Key: "acme/own", Digest: someRelease}, "run") {
		t.Fatalf("%+v, %v", rules, err)
	}
	many := func(n int) string {
		var all []string
		for i := range n {
			one := declassifyText("name", fmt.Sprintf(`"r%d"`, i))
			all = append(all, strings.TrimSuffix(strings.TrimPrefix(one, `{"rules":[`), `]}`))
		}
		return `{"rules":[` + strings.Join(all, ",") + `]}`
	}
	if rules, err := declassifications([]byte(many(maxDeclassifications))); err != nil || len(rules) != maxDeclassifications {
		t.Errorf("%d, %v", len(rules), err)
	}
	for name, text := range map[string]string{
		"a secret":         declassifyText("from", `"secret"`),
		"an origin":        declassifyText("from", `"http"`),
		"nothing":          declassifyText("from", `""`),
		"public":           declassifyText("from", `"public"`),
		"to private":       declassifyText("to", `"private"`),
		"to trusted":       declassifyText("to", `"operator"`),
		"no digest":        declassifyText("digest", `""`),
		"any digest":       declassifyText("digest", `"*"`),
		"no name":          declassifyText("name", `" "`),
		"no reason":        declassifyText("reason", `""`),
		"a long reason":    declassifyText("reason", `"`+strings.Repeat("x", maxDeclassifyText+1)+`"`),
		"two lines":        declassifyText("reason", `"a\nb"`),
		"a hidden letter":  declassifyText("reason", `"a\u202eb"`),
		"another member":   strings.Replace(declassifyText("", ""), `"name"`, `"sink":"x","name"`, 1),
		"a member twice":   strings.Replace(declassifyText("", ""), `"name"`, `"from":"private","name"`, 1),
		"something behind": declassifyText("", "") + "{}",
		"a list":           `[]`,
		"nothing at all":   ``,
		"one too many":     many(maxDeclassifications + 1),
		"a name twice":     strings.Replace(many(2), `"r1"`, `"r0"`, 1),
	} {
		if rules, err := declassifications([]byte(text)); !writ.IsCode(err, writ.CodeInvalid) {
			t.Errorf("%s: %+v, %v", name, rules, err)
		}
	}
}

// declassifyingBundle is the default one with rules.
func declassifyingBundle(t *testing.T, text string) *Bundle {
	t.Helper()
	b, err := DefaultBundle()
	if err != nil {
		t.Fatal(err)
	}
	files := maps.Clone(b.files)
	if text != "" {
		files[declassifyFile] = []byte(text)
	}
	if b, err = newBundle(files); err != nil {
		t.Fatal(err)
	}
	return b
}

func declassifyingPolicy(t *testing.T, text string) *Policy {
	t.Helper()
	p, err := Compile(t.Context(), declassifyingBundle(t, text), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestADeclassificationIsOfEveryLayer: one that a layer does not have is none, and a
// step that was compiled by it is blocked.
func TestADeclassificationIsOfEveryLayer(t *testing.T) {
	with, without := declassifyText("", ""), ""
	other := declassifyText("name", `"another"`)
	for name, c := range map[string]struct {
		organisation, tenant string
		layers               int
		holds                bool
	}{
		"one layer with it":      {with, "", 1, true},
		"one layer without it":   {without, "", 1, false},
		"both":                   {with, with, 2, true},
		"the tenant alone":       {without, with, 2, false},
		"the organisation alone": {with, without, 2, false},
		"by other names":         {with, other, 2, false},
	} {
		var tenant *Policy
		if c.layers == 2 {
			tenant = declassifyingPolicy(t, c.tenant)
		}
		l := lawWith(t, declassifyingPolicy(t, c.organisation), tenant)
		if got := len(l.Declassifications()) == 1; got != c.holds {
			t.Errorf("%s: declassifies: %v", name, got)
		}
		q := stepQuestion()
		q.Grants = []writ.Grant{everything()}
		q.Step.Skill, q.Step.Digest, q.Step.Action = "acme/own", someRelease, "run"
		q.Step.Declassified = &writ.Declassified{Rule: "own", From: writ.SensitivityPrivate, To: writ.SensitivityPublic, Reason: "a count alone"}
		v, err := l.Judge(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if got := v.Mode != writ.Blocked; got != c.holds {
			t.Errorf("%s: %+v", name, v)
		}
		if !c.holds && (v.Reasons[0].Rule != ClampDeclassified || v.Reasons[0].Fix == "") {
			t.Errorf("%s: %+v", name, v.Reasons)
		}
		// Nor is another release covered by the rule.
		q.Step.Digest = canon.SHA256([]byte("later"))
		if v, err := l.Judge(t.Context(), q); err != nil || v.Mode != writ.Blocked {
			t.Errorf("%s, another release: %+v, %v", name, v, err)
		}
	}
}

// TestPropertyDeclassifyLeavesOrigins: whatever labels there are, what is left are all
// but who may know private data.
func TestPropertyDeclassifyLeavesOrigins(t *testing.T) {
	all := []writ.Label{
		writ.LabelOperator, writ.LabelPrincipal, writ.LabelChannel, writ.LabelHTTP, writ.LabelModel, writ.LabelSecret, writ.LabelStored, writ.LabelPrivate, "odd", "",
	}
	rapid.Check(t, func(t *rapid.T) {
		labels := rapid.SliceOfDistinct(rapid.SampledFrom(all), rapid.ID[writ.Label]).Draw(t, "labels")
		before := fmt.Sprint(labels)
		left := map[writ.Label]bool{}
		for _, l := range writ.Declassify(labels) {
			left[l] = true
		}
		if fmt.Sprint(labels) != before {
			t.Fatal("the labels of the input changed")
		}
		for _, l := range labels {
			if left[l] != (l != writ.LabelPrivate) {
				t.Fatalf("%v leaves %v", labels, left)
			}
			delete(left, l)
		}
		if len(left) > 0 {
			t.Fatalf("%v came from nowhere", left)
		}
	})
}

func FuzzDeclassifications(f *testing.F) {
	f.Add([]byte(declassifyText("", "")))
	f.Add([]byte(declassifyText("from", `"secret"`)))
	f.Add([]byte(`{"rules":null}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		rules, err := declassifications(raw)
		if err != nil {
			if !writ.IsCode(err, writ.CodeInvalid) {
				t.Fatal(err)
			}
			return
		}
		for _, r := range rules {
			if r.From != writ.SensitivityPrivate || r.To != writ.SensitivityPublic || !r.Digest.Valid() || r.Name == "" || r.Reason == "" {
				t.Fatalf("%+v", r)
			}
		}
	})
}
