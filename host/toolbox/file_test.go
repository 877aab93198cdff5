package toolbox

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

func fileBench(t *testing.T) (*bench, string) {
	root := t.TempDir()
	b := newBench(t, Options{FileRoot: root, Home: t.TempDir(), MaxFile: 1 << 10},
		every(abi.ToolFileRead), every(abi.ToolFileWrite), every(abi.ToolFileList))
	return b, root
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestFilesRoundTrip(t *testing.T) {
	b, root := fileBench(t)
	writeFile(t, filepath.Join(root, "dir", "old.txt"), "old")
	for _, c := range []abi.FileContent{
		{Path: "dir/text.txt", Text: "grün\x00\n"},
		{Path: "dir/old.txt", Text: "new"},
		{Path: "raw.bin", Base64: base64.StdEncoding.EncodeToString([]byte{0xff, 0xfe, 0})},
		{Path: "empty"},
	} {
		if result := b.do(abi.ToolFileWrite, c); result.Outcome != writ.OutcomeDone || string(result.Body) != "{}" {
			t.Errorf("%s: %+v", c.Path, result)
		}
		result := b.do(abi.ToolFileRead, abi.FilePath{Path: c.Path})
		if got := bodyOf[abi.FileContent](t, result); got.Text != c.Text || got.Base64 != c.Base64 {
			t.Errorf("%s: read %+v", c.Path, got)
		}
		if !slices.Equal(result.Labels, unknownLabels) { // without a store nobody remembers
			t.Errorf("labels %v", result.Labels)
		}
	}
	list := bodyOf[abi.FileEntries](t, b.do(abi.ToolFileList, abi.FilePath{Path: "."}))
	want := []abi.FileEntry{{Name: "dir", Dir: true}, {Name: "empty"}, {Name: "raw.bin", Size: 3}}
	if !slices.Equal(list.Entries, want) {
		t.Errorf("listed %+v", list.Entries)
	}
	// An existing file keeps its mode, a new one is the owner's.
	for name, mode := range map[string]os.FileMode{"dir/old.txt": 0o644, "dir/text.txt": 0o600} {
		if info, err := os.Stat(filepath.Join(root, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: mode %v, %v", name, info.Mode(), err)
		}
	}
	checkNoTemporaries(t, root)
}

func checkNoTemporaries(t *testing.T, root string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if strings.Contains(path, tempPrefix) {
			t.Errorf("left behind: %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// One directory cannot keep two tenants apart: it is the default one's.
func TestFilesAreOfTheDefaultTenant(t *testing.T) {
	b, root := fileBench(t)
	writeFile(t, filepath.Join(root, "theirs"), "theirs")
	permit, err := writ.MintPermit(
		writ.PermitScope{
			Tenant: "acme", Execution: b.execution, Step: testStep, Skill: writ.SkillRef{Key: testSkill},
			Capabilities: []writ.Capability{every(abi.ToolFileRead), every(abi.ToolFileWrite), every(abi.ToolFileList)},
		},
		writ.PermitEvidence{Verdict: &writ.Verdict{Mode: writ.Autonomous, Risk: writ.RiskLow}})
	if err != nil {
		t.Fatal(err)
	}
	for tool, args := range map[string]any{
		abi.ToolFileRead: abi.FilePath{Path: "theirs"}, abi.ToolFileWrite: abi.FileContent{Path: "theirs", Text: "mine"}, abi.ToolFileList: abi.FilePath{Path: "."},
	} {
		call := b.callOf(tool, args)
		call.Tenant = "acme"
		result, err := b.Perform(t.Context(), permit, call)
		if err != nil {
			t.Fatal(err)
		}
		wantFailure(t, result, "unsupported", writ.OutcomeNotDone)
	}
	if text, err := os.ReadFile(filepath.Join(root, "theirs")); err != nil || string(text) != "theirs" {
		t.Errorf("got %q, %v", text, err)
	}
}

func TestFilePathsThatAreRefused(t *testing.T) {
	b, root := fileBench(t)
	outside := t.TempDir()
	writeFile(t, filepath.Join(outside, "secret"), "secret")
	writeFile(t, filepath.Join(root, "private", "f"), "private")
	for link, target := range map[string]string{
		"out": outside, "file": filepath.Join(outside, "secret"), "inner": "private", "up": "../" + filepath.Base(outside), "dangling": "nowhere",
	} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	paths := map[string]string{
		"..": abi.FailInvalid, "../x": abi.FailInvalid, "a/../../x": abi.FailInvalid, "a/..": abi.FailInvalid, "./a": abi.FailInvalid,
		"/etc/passwd": abi.FailInvalid, "a//b": abi.FailInvalid, "a/": abi.FailInvalid, "a/./b": abi.FailInvalid,
		"a\\b": abi.FailInvalid, "a\x00b": abi.FailInvalid, "a\nb": abi.FailInvalid,
		tempPrefix + "x": abi.FailInvalid, "private/" + tempPrefix: abi.FailInvalid,
		"out/secret": abi.FailDenied, "file": abi.FailDenied, "inner/f": abi.FailDenied, "up/secret": abi.FailDenied, "dangling": abi.FailDenied,
		strings.Repeat("ä", 1000): abi.FailTooLarge,
	}
	for path, code := range paths {
		for _, call := range []struct {
			tool string
			args any
		}{
			{abi.ToolFileRead, abi.FilePath{Path: path}},
			{abi.ToolFileList, abi.FilePath{Path: path}},
			{abi.ToolFileWrite, abi.FileContent{Path: path, Text: "x"}},
		} {
			result, err := b.Perform(t.Context(), b.permit, b.callOf(call.tool, call.args))
			if writ.IsCode(err, writ.CodeForbidden) {
				continue // an empty segment: no pattern matches it
			}
			if err != nil {
				t.Fatal(err)
			}
			wantFailure(t, result, code, writ.OutcomeNotDone)
			if strings.Contains(result.Failure.Message, outside) || strings.Contains(result.Failure.Message, root) {
				t.Errorf("%s %q says where the host keeps files: %q", call.tool, path, result.Failure.Message)
			}
		}
	}
	if content, err := os.ReadFile(filepath.Join(outside, "secret")); err != nil || string(content) != "secret" {
		t.Errorf("the file outside is %q, %v", content, err)
	}
	if _, err := os.Stat(filepath.Join(root, "nowhere")); err == nil {
		t.Error("a dangling link was written through")
	}
}

func TestFileBounds(t *testing.T) {
	b, root := fileBench(t)
	limit := 1 << 10
	if result := b.do(abi.ToolFileWrite, abi.FileContent{Path: "at", Text: strings.Repeat("x", limit)}); result.Failure != nil {
		t.Error(result.Failure)
	}
	if result := b.do(abi.ToolFileRead, abi.FilePath{Path: "at"}); result.Failure != nil {
		t.Error(result.Failure)
	}
	wantFailure(t, b.do(abi.ToolFileWrite, abi.FileContent{Path: "past", Text: strings.Repeat("x", limit+1)}), abi.FailTooLarge, writ.OutcomeNotDone)
	writeFile(t, filepath.Join(root, "big"), strings.Repeat("x", limit+1))
	wantFailure(t, b.do(abi.ToolFileRead, abi.FilePath{Path: "big"}), abi.FailTooLarge, writ.OutcomeNotDone)
	writeFile(t, filepath.Join(root, "many", "0"), "")
	for i := range maxEntries {
		if err := os.WriteFile(filepath.Join(root, "many", fmt.Sprint(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if list := bodyOf[abi.FileEntries](t, b.do(abi.ToolFileList, abi.FilePath{Path: "many"})); len(list.Entries) != maxEntries {
		t.Errorf("listed %d", len(list.Entries))
	}
	writeFile(t, filepath.Join(root, "many", "more"), "")
	wantFailure(t, b.do(abi.ToolFileList, abi.FilePath{Path: "many"}), abi.FailTooLarge, writ.OutcomeNotDone)
}

func TestFilesThatAreNoFiles(t *testing.T) {
	b, root := fileBench(t)
	if err := syscall.Mkfifo(filepath.Join(root, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, "dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "bad\xff"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"pipe", "dir"} {
		wantFailure(t, b.do(abi.ToolFileRead, abi.FilePath{Path: path}), abi.FailUnavailable, writ.OutcomeNotDone)
		wantFailure(t, b.do(abi.ToolFileWrite, abi.FileContent{Path: path, Text: "x"}), abi.FailInvalid, writ.OutcomeNotDone)
	}
	wantFailure(t, b.do(abi.ToolFileRead, abi.FilePath{Path: "none"}), abi.FailNotFound, writ.OutcomeNotDone)
	wantFailure(t, b.do(abi.ToolFileWrite, abi.FileContent{Path: "none/x", Text: "x"}), abi.FailNotFound, writ.OutcomeNotDone)
	wantFailure(t, b.do(abi.ToolFileList, abi.FilePath{Path: "none"}), abi.FailNotFound, writ.OutcomeNotDone)
	wantFailure(t, b.do(abi.ToolFileList, abi.FilePath{Path: "pipe"}), abi.FailUnavailable, writ.OutcomeNotDone)
	list := bodyOf[abi.FileEntries](t, b.do(abi.ToolFileList, abi.FilePath{Path: "."}))
	if !slices.Equal(list.Entries, []abi.FileEntry{{Name: "dir", Dir: true}}) {
		t.Errorf("listed %+v", list.Entries)
	}
	checkNoTemporaries(t, root)
}

// TestLeftOverTemporary: a crash between writing and renaming leaves the call's
// own temporary file, which the call replaces when it is made again.
func TestLeftOverTemporary(t *testing.T) {
	b, root := fileBench(t)
	call := b.callOf(abi.ToolFileWrite, abi.FileContent{Path: "f", Text: "new"})
	writeFile(t, filepath.Join(root, tempName(&invocation{ToolCall: call})), "half")
	result, err := b.Perform(t.Context(), b.permit, call)
	if err != nil || result.Failure != nil {
		t.Fatal(err, result.Failure)
	}
	if content, _ := os.ReadFile(filepath.Join(root, "f")); string(content) != "new" {
		t.Errorf("content %q", content)
	}
	checkNoTemporaries(t, root)
}

// TestWritersOfOneFile: readers see one writer's content or another's, whole.
func TestWritersOfOneFile(t *testing.T) {
	b, root := fileBench(t)
	writeFile(t, filepath.Join(root, "f"), strings.Repeat("0", 1000))
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 5 {
				b.do(abi.ToolFileWrite, abi.FileContent{Path: fmt.Sprintf("own%d", i), Text: "x"})
				result := b.do(abi.ToolFileRead, abi.FilePath{Path: "f"})
				if text := bodyOf[abi.FileContent](t, result).Text; len(text) != 1000 || strings.Trim(text, text[:1]) != "" {
					t.Errorf("a torn read: %.20q", text)
				}
				call := b.callOf(abi.ToolFileWrite, abi.FileContent{Path: "f", Text: strings.Repeat(fmt.Sprint(i), 1000)})
				if result, err := b.Perform(t.Context(), b.permit, call); err != nil || result.Failure != nil {
					t.Error(err, result)
				}
			}
		})
	}
	wg.Wait()
	checkNoTemporaries(t, root)
}

func TestNoRootIsUnsupported(t *testing.T) {
	b := newBench(t, Options{}, every(abi.ToolFileRead), every(abi.ToolFileWrite), every(abi.ToolFileList))
	wantFailure(t, b.do(abi.ToolFileRead, abi.FilePath{Path: "x"}), abi.FailUnsupported, writ.OutcomeNotDone)
	wantFailure(t, b.do(abi.ToolFileWrite, abi.FileContent{Path: "x"}), abi.FailUnsupported, writ.OutcomeNotDone)
	wantFailure(t, b.do(abi.ToolFileList, abi.FilePath{Path: "."}), abi.FailUnsupported, writ.OutcomeNotDone)
}

func TestRootAndHomeNeverOverlap(t *testing.T) {
	base := t.TempDir()
	mkdir := func(name string) string {
		path := filepath.Join(base, name)
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	link := func(target, name string) string {
		path := filepath.Join(base, name)
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	home, data := mkdir("home"), mkdir("data")
	inHome := mkdir("home/files")
	cases := map[string]struct {
		root, home string
		ok         bool
	}{
		"apart":                 {data, home, true},
		"the same":              {home, home, false},
		"root in home":          {inHome, home, false},
		"home in root":          {base, home, false},
		"a link to home":        {link(home, "to-home"), home, false},
		"a link into home":      {link(inHome, "to-files"), home, false},
		"home by a link":        {base, link(home, "home-link"), false},
		"through a linked dir":  {filepath.Join(link(base, "self"), "home", "files"), home, false},
		"home not there yet":    {data, filepath.Join(data, "new", "home"), false},
		"home not there, apart": {data, filepath.Join(base, "new", "home"), true},
		"home is dangling":      {data, link(filepath.Join(data, "later"), "dangling"), false},
		"a common name prefix":  {mkdir("home-files"), home, true},
		"dots":                  {data + "/../home/files", home, false},
		"no home":               {data, "", false},
		"no such root":          {filepath.Join(base, "none"), home, false},
		"the root directory":    {"/", home, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			box, err := New(Options{FileRoot: c.root, Home: c.home})
			if c.ok != (err == nil) || (err != nil && !writ.IsCode(err, writ.CodeInvalid)) {
				t.Fatalf("got %v", err)
			}
			if err == nil && box.Close() != nil {
				t.Error("cannot be closed")
			}
		})
	}
}
