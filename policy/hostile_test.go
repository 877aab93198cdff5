package policy

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// bundleOf is a bundle of one file of rules.
func bundleOf(t testing.TB, rules string) (*Bundle, error) {
	t.Helper()
	return newBundle(map[string][]byte{
		manifestFile: []byte(`{"revision":"t","roots":["writ"]}`), "p.rego": []byte("package writ\n" + rules),
	})
}

func compiled(t testing.TB, rules string, deadline time.Duration) *Policy {
	t.Helper()
	b, err := bundleOf(t, rules)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Compile(t.Context(), b, deadline)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestBundlesThatDoNotCompile(t *testing.T) {
	const call = "\ncall := {\"mode\": \"blocked\", \"risk\": \"low\", \"reasons\": []}\n"
	tests := []struct{ name, rules, says string }{
		{"network", `step := http.send({"method": "get", "url": "http://example.com"})` + call, "undefined function http.send"},
		{"runtime", `step := opa.runtime()` + call, "undefined function opa.runtime"},
		{"lookup", `step := net.lookup_ip_addr("example.com")` + call, "undefined function net.lookup_ip_addr"},
		{"clock", `step := time.now_ns()` + call, "undefined function time.now_ns"},
		{"zones", `step := time.clock([0, "Local"])` + call, "undefined function time.clock"},
		{"chance", `step := rand.intn("x", 10)` + call, "undefined function rand.intn"},
		{"uuid", `step := uuid.rfc4122("x")` + call, "undefined function uuid.rfc4122"},
		{"misspelt member", `step := input.step.rsik` + call, "undefined ref"},
		{"unused variable", "step := 1 if {\n\tx := 2\n}" + call, "unused"},
		{"recursion", "step := a\na := b\nb := a" + call, "recursive"},
		{"no call", `step := 1`, `no rule "call"`},
		{"no rules", ``, `no rule "step"`},
		{"another package", "import data.x\nq := x" + call, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b, err := bundleOf(t, test.rules)
			if err == nil {
				_, err = Compile(t.Context(), b, 0)
			}
			if !writ.IsCode(err, writ.CodeInvalid) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v; want invalid with %q", err, test.says)
			}
		})
	}
}

func TestFaultsBlock(t *testing.T) {
	const ok = `{"mode": "autonomous", "risk": "low", "reasons": [{"rule": "r", "message": "m"}]}`
	tests := []struct{ name, rules, rule string }{
		{"undefined", `step := ` + ok + ` if input.step.name == "other"`, "writ.undefined"},
		{"number", `step := 1`, "writ.shape"},
		{"true", `step := true`, "writ.shape"},
		{"string", `step := "autonomous"`, "writ.shape"},
		{"unknown mode", strings.Replace(`step := `+ok, "autonomous", "allow", 1), "writ.shape"},
		{"unknown risk", strings.Replace(`step := `+ok, "low", "none", 1), "writ.shape"},
		{"no reasons", `step := {"mode": "autonomous", "risk": "low"}`, "writ.shape"},
		{"unknown member", `step := object.union(` + ok + `, {"approval": {"count": 2}})`, "writ.shape"},
		{"misspelt approvals", `step := object.union(` + ok + `, {"approvals": {"counts": 2}})`, "writ.shape"},
		{"negative people", `step := object.union(` + ok + `, {"approvals": {"count": -1}})`, "writ.shape"},
		{"half a person", `step := object.union(` + ok + `, {"approvals": {"count": 1.5}})`, "writ.shape"},
		{"endless approval", `step := object.union(` + ok + `, {"approvals": {"expiresIn": "2161h"}})`, "writ.shape"},
		{"negative budget", `step := object.union(` + ok + `, {"budget": {"calls": -1}})`, "writ.shape"},
		{"too many reasons", `step := object.union(` + ok + `, {"reasons": [{"rule": "r", "message": sprintf("%d", [i])} | some i in numbers.range(1, 65)]})`, "writ.shape"},
		{"huge answer", `step := object.union(` + ok + `, {"reasons": numbers.range(1, 5000)})`, "writ.shape"},
		{"function error", `step := ` + ok + ` if to_number(input.step.name) > 1`, "writ.evaluation"},
		{"conflict", "step := " + ok + "\nstep := \"x\" if input.step.name", "writ.evaluation"},
		{"endless", `step := ` + ok + ` if count([1 | some i in numbers.range(1, 30000); some j in numbers.range(1, 30000); i + j == 0]) == 0`, "writ.deadline"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			deadline := time.Duration(0)
			if test.rule == "writ.deadline" {
				deadline = 50 * time.Millisecond
			}
			p := compiled(t, test.rules+"\ncall := 1\n", deadline)
			v, err := p.Judge(t.Context(), stepQuestion())
			if err != nil {
				t.Fatal(err)
			}
			if v.Mode != writ.Blocked || v.Risk != writ.RiskBlocked || v.Reasons[0].Rule != test.rule {
				t.Errorf("got %+v", v)
			}
		})
	}
}

func TestLimitsOfAnAnswer(t *testing.T) {
	rules := `step := {"mode": "assist", "risk": "low", "approvals": {"count": 16, "expiresIn": "2160h"},
		"reasons": {{"rule": "r", "message": sprintf("%d\n%s", [i, input.step.name]), "fix": input.step.name} | some i in numbers.range(1, 64)}}` + "\ncall := 1\n"
	p := compiled(t, rules, 0)
	q := stepQuestion()
	q.Step.Name = strings.Repeat("é", maxText)
	v, err := p.Judge(t.Context(), q)
	if err != nil || v.Mode != writ.Assist || len(v.Reasons) != 64 || v.Approvals.Count != 16 {
		t.Fatal(v, err)
	}
	for _, r := range v.Reasons {
		if len(r.Message) > maxText+3 || strings.Contains(r.Message, "\n") || r.Fix != "" || !strings.HasSuffix(r.Message, "é...") {
			t.Fatalf("got %q, fix of %d bytes", r.Message[:40], len(r.Fix))
		}
	}
}

func TestClampAboveABundleThatAllowsEverything(t *testing.T) {
	always := `{"mode": "autonomous", "risk": "low", "reasons": [{"rule": "yes", "message": "always"}]}`
	p := compiled(t, "step := "+always+"\ncall := "+always+"\n", 0)
	tests := []struct {
		risk   writ.Risk
		effect writ.Effect
		mode   writ.Mode
		tier   writ.Risk
		people int
		clamps string
	}{
		{writ.RiskLow, abi.EffectNone, writ.Autonomous, writ.RiskLow, 0, ""},
		{writ.RiskLow, abi.EffectRead, writ.Autonomous, writ.RiskLow, 0, ""},
		{writ.RiskLow, abi.EffectWriteExternal, writ.Autonomous, writ.RiskMedium, 0, "writ.risk-floor"},
		{writ.RiskMedium, abi.EffectRead, writ.Autonomous, writ.RiskMedium, 0, "writ.risk-floor"},
		{writ.RiskHigh, abi.EffectRead, writ.Assist, writ.RiskHigh, 2, "writ.risk-floor writ.high-risk writ.approval-expiry"},
		{writ.RiskLow, abi.EffectFinancial, writ.Assist, writ.RiskHigh, 2, "writ.risk-floor writ.high-risk writ.approval-expiry"},
		{writ.RiskLow, "odd", writ.Assist, writ.RiskHigh, 2, "writ.risk-floor writ.high-risk writ.approval-expiry"},
		{writ.RiskBlocked, abi.EffectNone, writ.Blocked, writ.RiskBlocked, 0, "writ.risk-floor writ.risk-blocked"},
		{"", abi.EffectNone, writ.Blocked, writ.RiskBlocked, 0, "writ.risk-floor writ.risk-blocked"},
		{"odd", abi.EffectNone, writ.Blocked, writ.RiskBlocked, 0, "writ.risk-floor writ.risk-blocked"},
	}
	for _, test := range tests {
		q := stepQuestion()
		q.Step.Risk, q.Step.Effect = test.risk, test.effect
		v, err := p.Judge(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		names := []string{}
		for _, c := range v.Clamps {
			names = append(names, c.Rule)
			if c.To.Rank() > c.From.Rank() {
				t.Errorf("a clamp loosens: %+v", c)
			}
		}
		if v.Mode != test.mode || v.Risk != test.tier || v.Approvals.Count != test.people || strings.Join(names, " ") != test.clamps {
			t.Errorf("%s %s: got %+v", test.risk, test.effect, v)
		}
	}
}

// TestQuorumOfAnAnswer: sets of people are read exactly, or the answer blocks.
func TestQuorumOfAnAnswer(t *testing.T) {
	for name, test := range map[string]struct {
		approvals string
		want      string // of Count and Quorum; empty: blocked
	}{
		"an array":              {`{"count": 1, "quorum": [{"role": "security", "count": 1}, {"role": "finance", "count": 2}]}`, "3 [{finance 2} {security 1}]"},
		"a set":                 {`{"quorum": {{"role": "security", "count": 1}}}`, "1 [{security 1}]"},
		"more people than sets": {`{"count": 3, "quorum": [{"role": "security", "count": 1}]}`, "3 [{security 1}]"},
		"none":                  {`{"count": 2, "quorum": []}`, "2 []"},
		"as many as may be":     {`{"quorum": [{"role": "a", "count": 15}, {"role": "b", "count": 1}]}`, "16 [{a 15} {b 1}]"},
		"one more":              {`{"quorum": [{"role": "a", "count": 15}, {"role": "b", "count": 2}]}`, ""},
		"a role twice":          {`{"quorum": [{"role": "a", "count": 1}, {"role": "a", "count": 1}]}`, ""},
		"nobody of a role":      {`{"quorum": [{"role": "a", "count": 0}]}`, ""},
		"a negative number":     {`{"quorum": [{"role": "a", "count": -1}]}`, ""},
		"without a role":        {`{"quorum": [{"count": 1}]}`, ""},
		"without a count":       {`{"quorum": [{"role": "a"}]}`, ""},
		"a misspelt member":     {`{"quorum": [{"role": "a", "count": 1, "roles": []}]}`, ""},
		"an object":             {`{"quorum": {"role": "a", "count": 1}}`, ""},
		"half a person":         {`{"quorum": [{"role": "a", "count": 1.5}]}`, ""},
		"33 sets":               {`{"quorum": {{"role": sprintf("r%d", [i]), "count": 1} | some i in numbers.range(1, 33)}}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			rules := `step := {"mode": "assist", "risk": "low", "reasons": [], "approvals": ` + test.approvals + "}\ncall := 1\n"
			v, err := compiled(t, rules, 0).Judge(t.Context(), stepQuestion())
			if err != nil {
				t.Fatal(err)
			}
			got := fmt.Sprint(v.Approvals.Count, " ", v.Approvals.Quorum)
			if test.want == "" && (v.Mode != writ.Blocked || v.Reasons[0].Rule != "writ.shape") || test.want != "" && got != test.want {
				t.Errorf("%s %s %v, want %q", v.Mode, got, v.Reasons, test.want)
			}
		})
	}
}

func TestAssistWithoutPeopleIsClamped(t *testing.T) {
	assist := `{"mode": "assist", "risk": "high", "reasons": [], "approvals": {"count": 0}}`
	v, err := compiled(t, "step := "+assist+"\ncall := 1\n", 0).Judge(t.Context(), stepQuestion())
	if err != nil || v.Mode != writ.Assist || v.Approvals.Count != 1 || v.Approvals.ExpiresIn.Std() != approvalExpiry || len(v.Clamps) != 2 {
		t.Errorf("got %+v, %v", v, err)
	}
}

type file struct {
	name    string
	kind    byte
	content string
}

func archive(t testing.TB, files ...file) []byte {
	t.Helper()
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	w := tar.NewWriter(zipped)
	for _, f := range files {
		if f.kind == 0 {
			f.kind = tar.TypeReg
		}
		header := &tar.Header{Name: f.name, Typeflag: f.kind, Size: int64(len(f.content)), Mode: 0o600, Linkname: "x"}
		if f.kind != tar.TypeReg {
			header.Size = 0
		}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if f.kind == tar.TypeReg {
			if _, err := w.Write([]byte(f.content)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func defaultArchive(t testing.TB, extra ...file) []byte {
	t.Helper()
	b, err := DefaultBundle()
	if err != nil {
		t.Fatal(err)
	}
	files := []file{{name: "./", kind: tar.TypeDir}}
	for _, name := range b.names() {
		files = append(files, file{name: "/" + name, content: string(b.files[name])})
	}
	return archive(t, append(files, extra...)...)
}

func TestHostileArchives(t *testing.T) {
	manifest := file{name: manifestFile, content: `{"revision":"1","roots":["writ"]}`}
	many := []file{manifest}
	for i := range maxBundleFiles {
		many = append(many, file{name: strings.Repeat("a", i+1) + ".rego", content: "package writ\n"})
	}
	full := archive(t, manifest, file{name: "a.rego", content: "package writ\nstep := 1\n"})
	tests := []struct {
		name string
		raw  []byte
		code writ.Code
	}{
		{"nothing", nil, writ.CodeInvalid},
		{"not gzip", []byte("package writ"), writ.CodeInvalid},
		{"cut off", full[:len(full)-20], writ.CodeInvalid},
		{"no version", archive(t, file{name: "a.rego", content: "package writ\n"}), writ.CodeInvalid},
		{"way out", archive(t, manifest, file{name: "../a.rego"}), writ.CodeInvalid},
		{"link", archive(t, manifest, file{name: "a.rego", kind: tar.TypeSymlink}), writ.CodeInvalid},
		{"module", archive(t, manifest, file{name: "policy.wasm", content: "x"}), writ.CodeInvalid},
		{"patch", archive(t, manifest, file{name: "patch.json", content: "{}"}), writ.CodeInvalid},
		{"twice", archive(t, manifest, manifest), writ.CodeInvalid},
		{"hidden signature", archive(t, manifest, file{name: "x.signatures.json", content: "{}"}), writ.CodeInvalid},
		{"old rego", archive(t, file{name: manifestFile, content: `{"revision":"1","roots":["writ"],"rego_version":0}`}), writ.CodeInvalid},
		{"outside its roots", archive(t, manifest, file{name: "a.rego", content: "package other\n"}), writ.CodeInvalid},
		{"test that decides", archive(t, manifest, file{name: "a_test.rego", content: "package writ\nstep := 1\n"}), writ.CodeInvalid},
		{"test in a rule file", archive(t, manifest, file{name: "a.rego", content: "package writ.a_test\n"}), writ.CodeInvalid},
		{"broken data", archive(t, manifest, file{name: "writ/data.json", content: "{"}), writ.CodeInvalid},
		{"big file", archive(t, manifest, file{name: "a.rego", content: strings.Repeat("#", maxBundleFile+1)}), writ.CodeTooLarge},
		{"many files", archive(t, many...), writ.CodeTooLarge},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := ReadBundle(test.raw); writ.CodeOf(err) != test.code {
				t.Errorf("got %v; want %s", err, test.code)
			}
		})
	}
	fits := archive(t, manifest, file{name: "a.rego", content: "package writ\n" + strings.Repeat("#", maxBundleFile-13)})
	if _, err := ReadBundle(fits); err != nil {
		t.Errorf("a file of exactly the limit: %v", err)
	}
	if _, err := ReadBundle(archive(t, many[:maxBundleFiles]...)); err != nil {
		t.Errorf("exactly as many files as the limit: %v", err)
	}
}

func TestArchiveAndDirectoryAreOneBundle(t *testing.T) {
	own, err := DefaultBundle()
	if err != nil {
		t.Fatal(err)
	}
	fromArchive, err := ReadBundle(defaultArchive(t))
	if err != nil {
		t.Fatal(err)
	}
	fromDir, err := LoadBundle("bundle")
	if err != nil {
		t.Fatal(err)
	}
	if own.Ref() != fromArchive.Ref() || own.Ref() != fromDir.Ref() {
		t.Errorf("%v, %v and %v differ", own.Ref(), fromArchive.Ref(), fromDir.Ref())
	}
	if _, err := LoadBundle(filepath.Join(t.TempDir(), "none")); !writ.IsCode(err, writ.CodeNotFound) {
		t.Errorf("got %v", err)
	}
	dir := t.TempDir()
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "a.rego")); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadBundle(dir); !writ.IsCode(err, writ.CodeInvalid) {
		t.Errorf("a link is followed: %v", err)
	}
}

func FuzzReadBundle(f *testing.F) {
	f.Add(defaultArchive(f))
	f.Add(archive(f, file{name: manifestFile, content: `{"revision":"1"}`}))
	f.Add([]byte{0x1f, 0x8b})
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := ReadBundle(raw)
		if err == nil && (!b.Ref().Digest.Valid() || b.Ref().Version == "") {
			t.Errorf("a bundle without a name: %+v", b.Ref())
		}
	})
}

func TestRunTestsFindsWhatFails(t *testing.T) {
	files := map[string][]byte{
		manifestFile: []byte(`{"revision":"t","roots":["writ"]}`),
		"p.rego":     []byte("package writ\nstep := 1\ncall := 2\n"),
		"p_test.rego": []byte(`package writ.p_test
import data.writ
test_passes if writ.step == 1
test_fails if writ.step == 2
todo_test_later if writ.step == 3
test_errs if to_number(writ.p_test.word) > 1
word := "x"
test_table[name] if {
	some name, want in {"one": 1, "two": 2}
	writ.step == want
}
`),
	}
	b, err := newBundle(files)
	if err != nil {
		t.Fatal(err)
	}
	report, err := RunTests(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	passed := []string{}
	for _, c := range report.Cases {
		if c.Passed {
			passed = append(passed, c.Name)
		} else if c.Message == "" {
			t.Errorf("%s fails without a word", c.Name)
		}
	}
	if strings.Join(passed, " ") != "data.writ.p_test.test_passes" {
		t.Errorf("passed: %v of %+v", passed, report.Cases)
	}
}

func TestCallerThatGoesAway(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := compiled(t, "step := count([1 | some i in numbers.range(1, 30000); some j in numbers.range(1, 30000); i + j == 0])\ncall := 1\n", time.Minute)
	time.AfterFunc(20*time.Millisecond, cancel)
	v, err := p.Judge(ctx, stepQuestion())
	if v != nil || !writ.IsCode(err, writ.CodeCancelled) {
		t.Errorf("got %+v, %v", v, err)
	}
}

// Time is too noisy to hold in a test; what a decision allocates is most of it.
func TestDecisionsStayLean(t *testing.T) {
	p := compileDefault(t)
	for q, most := range map[*writ.Question]float64{stepQuestion(): 230, callQuestion(): 320} {
		if got := testing.AllocsPerRun(50, func() { _, _ = p.Judge(t.Context(), q) }); got > most {
			t.Errorf("a %s decision allocates %.0f times; want at most %.0f", q.Point, got, most)
		}
	}
}
