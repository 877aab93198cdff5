package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/host"
	"github.com/writ-run/writ/host/wasmtest"
)

// A home's sandbox of either kind compiles by starting this program again, and has
// no other way: where that cannot work, nothing is compiled.
func TestAHomeCompilesInAnotherProcess(t *testing.T) {
	for _, lane := range []string{"writ", "extism"} {
		h := &home{config: &config{Home: t.TempDir(), Sandbox: lane}, log: hclog.NewNullLogger(), clock: time.Now}
		if err := h.wireSandbox(&homeKeys{cache: bytes.Repeat([]byte{7}, cacheKeyBytes)}); err != nil {
			t.Fatal(err)
		}
		compilesIn(t, h.sandbox, filepath.Join(h.config.Home, "cache"), 1)
	}
	options, err := sandboxOptions(t.TempDir(), bytes.Repeat([]byte{7}, cacheKeyBytes), nil)
	if err != nil || options.CompileInProcessUnsafe {
		t.Fatalf("%+v, %v", options, err)
	}
	options.CompileCommand[0] = "/bin/false"
	s, err := host.NewSandbox(options)
	if err != nil {
		t.Fatal(err)
	}
	if err := compilesIn(t, s, options.CacheDir, 0); !writ.IsCode(err, writ.CodeUnavailable) {
		t.Fatalf("without its program: %v", err)
	}
}

// A wrapper starts this program by its path, and its own failure is no module's.
func TestCompilingUnderAWrapper(t *testing.T) {
	seen := filepath.Join(t.TempDir(), "seen")
	for wrapper, kept := range map[string]int{"exec \"$@\" && echo >> " + seen: 0, "echo >> " + seen + "; exec \"$@\"": 1} {
		options, err := sandboxOptions(filepath.Join(t.TempDir(), "cache"), bytes.Repeat([]byte{7}, cacheKeyBytes), []string{"/bin/sh", "-c", wrapper, "wrapper"})
		if err != nil {
			t.Fatal(err)
		}
		if kept == 0 {
			options.CompileCommand = append(options.CompileCommand[:4], "/bin/false")
		}
		s, err := host.NewSandbox(options)
		if err != nil {
			t.Fatal(err)
		}
		if err := compilesIn(t, s, options.CacheDir, kept); kept == 0 && !writ.IsCode(err, writ.CodeUnavailable) {
			t.Errorf("a wrapper that fails: %v", err)
		}
	}
	if text, err := os.ReadFile(seen); err != nil || string(text) != "\n" {
		t.Errorf("the wrapper ran %q, %v", text, err)
	}
}

// compilesIn describes a module, which has it compiled, counts what is kept of
// compiled code, and closes the sandbox.
func compilesIn(t *testing.T, s writ.Sandbox, dir string, kept int) error {
	t.Helper()
	_, described := s.Describe(context.Background(), wasmtest.Echo())
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.code"))
	if err != nil || len(files) != kept {
		t.Fatalf("%v, %v (%v)", files, err, described)
	}
	return described
}

func TestThePassingSandboxLeavesNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	s, remove, err := passingSandbox(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Describe(context.Background(), wasmtest.Echo()); !writ.IsCode(err, writ.CodeNotFound) {
		t.Fatal(err)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	remove()
	if left, err := filepath.Glob(filepath.Join(t.TempDir(), "..", "*", "writ-code-*")); err != nil || len(left) > 0 {
		t.Fatalf("%v, %v", left, err)
	}
}
