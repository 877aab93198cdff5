package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/registry"
	"github.com/writ-run/writ/sdk/scaffold"
)

// entropy is the process's source of randomness.
var entropy = rand.Reader

func (a *app) skillNew() *cobra.Command {
	return &cobra.Command{
		Use: "new NAME", Short: "Make a new skill's project", Args: exactly("NAME"),
		Example: "  writ skill new hello && cd hello && writ skill run greet '{\"name\":\"Ada\"}'\n  writ skill new acme/mailer",
		RunE: func(_ *cobra.Command, args []string) error {
			dir := args[0][strings.LastIndexByte(args[0], '/')+1:]
			if err := scaffold.New(dir, args[0], writ.SDKSource()); err != nil {
				return usage("%s", err)
			}
			return a.print(map[string]string{"directory": dir}, func(t *table) {
				t.line("made %s/", dir)
				t.line("next: cd %s && writ skill run greet '{\"name\":\"Ada\"}'", dir)
			})
		},
	}
}

// work is a skill in its author's directory, built but not signed.
type work struct {
	dir      string
	manifest *abi.Manifest
	module   []byte
}

const manifestFile = "skill.yaml"

// build compiles the skill in dir, or takes a ready module, and completes the
// manifest's schemas from what the module says of itself.
func (a *app) build(ctx context.Context, dir, module string) (*work, error) {
	text, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usage("%s: there is no %s", dir, manifestFile).WithFix("go to a skill's directory, or make one with `writ skill new NAME`")
	}
	if err != nil {
		return nil, usage("%s: %s", filepath.Join(dir, manifestFile), plainCause(err))
	}
	m, err := registry.ParseManifest(manifestFile, text)
	if err != nil {
		return nil, err
	}
	if module == "" {
		module = readyModule(dir)
	}
	if module == "" {
		_, _ = fmt.Fprintf(a.err, "building %s ...\n", m.Name)
		if module, err = scaffold.Build(ctx, dir); err != nil {
			return nil, writ.Errorf(writ.CodeInvalid, "skill "+m.Name, "%w", err)
		}
	}
	wasm, err := os.ReadFile(module)
	if err != nil {
		return nil, usage("%s: %s", module, plainCause(err))
	}
	if err := a.describe(ctx, m, wasm); err != nil {
		return nil, err
	}
	return &work{dir: dir, manifest: m, module: wasm}, nil
}

// readyModule is the module of a skill that has no source in Go: module.wasm, "" where
// there is none.
func readyModule(dir string) string {
	file := filepath.Join(dir, moduleFile)
	if _, err := os.Stat(file); err != nil {
		return ""
	}
	if _, err := os.Stat(filepath.Join(dir, "main.go")); err == nil {
		return ""
	}
	return file
}

// describe asks the module for its schemas. The manifest of one that does not say
// them must have them.
func (a *app) describe(ctx context.Context, m *abi.Manifest, wasm []byte) error {
	if m.ABI != abi.V1 {
		return schemasWritten(m)
	}
	sandbox, remove, err := passingSandbox(a.config.CompilerWrapper)
	if err != nil {
		return err
	}
	defer remove()
	defer func() { _ = sandbox.Close(ctx) }()
	d, err := sandbox.Describe(ctx, wasm)
	if writ.IsCode(err, writ.CodeNotFound) {
		return schemasWritten(m)
	}
	if err != nil {
		return err
	}
	return registry.ApplyDescription(m, d)
}

// schemasWritten holds a manifest to what nothing else says.
func schemasWritten(m *abi.Manifest) error {
	for i := range m.Actions {
		if a := &m.Actions[i]; len(a.Input) == 0 || len(a.Output) == 0 {
			return writ.Errorf(writ.CodeInvalid, "skill "+m.Name, "the module does not describe its actions, and the manifest has no schemas for %s", a.Name).
				WithFix("write input and output of each action in %s, or export %s from the module", manifestFile, abi.EntryDescribe)
		}
	}
	return nil
}

func (a *app) skillBuild() *cobra.Command {
	var module, out string
	c := &cobra.Command{
		Use: "build [DIR]", Short: "Build a skill and pack it, unsigned", Args: cobra.MaximumNArgs(1),
		Example: "  writ skill build\n  writ skill build --module plugin.wasm ./my-plugin      pack a ready module, e.g. an Extism plugin",
		RunE: func(cmd *cobra.Command, args []string) error {
			w, err := a.build(cmd.Context(), dirOf(args), module)
			if err != nil {
				return err
			}
			bundle, err := registry.Pack(w.manifest, w.module)
			if err != nil {
				return err
			}
			file := out
			if file == "" {
				file = filepath.Join(w.dir, registry.FileName(w.manifest))
			}
			if err := os.WriteFile(file, bundle, 0o644); err != nil {
				return usage("%s: %s", file, plainCause(err))
			}
			return a.print(map[string]any{"file": file, "bytes": len(bundle)}, func(t *table) {
				t.pair("bundle", fmt.Sprintf("%s  (%d bytes)", file, len(bundle)))
				t.line("next: writ skill sign %s --key publisher.key", file)
			})
		},
	}
	c.Flags().StringVar(&module, "module", "", "a ready WebAssembly module instead of Go source")
	c.Flags().StringVar(&out, "to", "", "file to write (default DIR/NAME-VERSION.skill)")
	return c
}

func dirOf(args []string) string {
	if len(args) == 0 {
		return "."
	}
	return args[0]
}

func (a *app) skillTest() *cobra.Command {
	var module string
	c := &cobra.Command{
		Use: "test [DIR]", Short: "Run a skill's Go tests, then its cases in the real sandbox", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := dirOf(args)
			if module == "" && readyModule(dir) == "" {
				test := exec.CommandContext(cmd.Context(), "go", "test", "./...")
				test.Dir, test.Stdout, test.Stderr = dir, a.err, a.err
				test.Env = append(test.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod", "GOPROXY=off")
				if err := test.Run(); err != nil {
					return writ.Errorf(writ.CodeSkillFailed, "skill test", "the Go tests failed").WithFix("see above")
				}
			}
			w, err := a.build(cmd.Context(), dir, module)
			if err != nil {
				return err
			}
			return a.runCases(cmd.Context(), w)
		},
	}
	c.Flags().StringVar(&module, "module", "", "a ready WebAssembly module instead of Go source")
	return c
}

// testCase is a file of testdata: what an action is given and what comes of it.
type testCase struct {
	Action  string          `json:"action"`
	Input   json.RawMessage `json:"input"`
	Output  json.RawMessage `json:"output,omitempty"`
	Failure string          `json:"failure,omitempty"`
}

func (a *app) runCases(ctx context.Context, w *work) error {
	files, err := filepath.Glob(filepath.Join(w.dir, "testdata", "*.json"))
	if err != nil {
		return err
	}
	type result struct {
		Case    string `json:"case"`
		Passed  bool   `json:"passed"`
		Message string `json:"message,omitempty"`
	}
	results, failed := []result{}, 0
	r, err := a.rehearse(ctx, w)
	if err != nil {
		return err
	}
	defer r.close(ctx)
	for _, file := range files {
		message := r.try(ctx, file)
		if message != "" {
			failed++
		}
		results = append(results, result{filepath.Base(file), message == "", message})
	}
	err = a.print(results, func(t *table) {
		for _, one := range results {
			word := "pass"
			if !one.Passed {
				word = "FAIL"
			}
			t.row(word, one.Case, one.Message)
		}
		t.line("%d passed, %d failed in the sandbox", len(results)-failed, failed)
	})
	if err == nil && failed > 0 {
		return exitError(exitFailed)
	}
	return err
}

func (a *app) skillSign() *cobra.Command {
	var keyFile, passphrase, provenanceKey string
	var in registry.ProvenanceInput
	c := &cobra.Command{
		Use: "sign FILE", Short: "Sign a bundle and say how it was built", Args: exactly("FILE"),
		Long: `Adds a signature and signed SLSA v1 provenance to the bundle, as Sigstore bundles
over its OCI manifest digest. Signing again with another key adds to them.`,
		Example: "  writ skill sign greeter-0.1.0.skill --key acme.key --repository https://github.com/acme/greeter --revision $(git rev-parse HEAD)",
		RunE: func(_ *cobra.Command, args []string) error {
			if keyFile == "" {
				return usage("with which key?").WithFix("give --key; `writ skill key` makes one")
			}
			raw, err := a.readInput(args[0], maxBundle)
			if err != nil {
				return err
			}
			request := registry.SignRequest{Provenance: in, Clock: a.clock}
			if request.Key, err = a.signingKey(keyFile, passphrase); err != nil {
				return err
			}
			if provenanceKey != "" {
				if request.ProvenanceKey, err = a.signingKey(provenanceKey, passphrase); err != nil {
					return err
				}
			}
			signed, err := registry.Sign(raw, request)
			if err != nil {
				return err
			}
			if err := replaceFile(args[0], signed); err != nil {
				return err
			}
			print := request.Key.Public().ID.Fingerprint()
			return a.print(map[string]string{"file": args[0], "fingerprint": print}, func(t *table) {
				t.pair("signed", args[0])
				t.pair("fingerprint", print)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&keyFile, "key", "", "the publisher's private key (required)")
	f.StringVar(&provenanceKey, "provenance-key", "", "the builder's key (default: the publisher's)")
	f.StringVar(&passphrase, "passphrase-file", "", "file with the key's passphrase; - for standard input")
	f.StringVar(&in.Builder, "builder", "", "URI of what built it (default: a local build)")
	f.StringVar(&in.Repository, "repository", "", "source repository")
	f.StringVar(&in.Revision, "revision", "", "git commit")
	return c
}

func (a *app) signingKey(file, passphraseFile string) (*registry.Key, error) {
	pem, err := a.readInput(file, maxKeyFile)
	if err != nil {
		return nil, err
	}
	return registry.ParseKey(pem, func() ([]byte, error) { return a.passphrase(passphraseFile, "Passphrase of "+file) })
}

// replaceFile writes beside the file and renames, so that an interruption
// leaves the old one.
func replaceFile(path string, data []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(path), ".writ-*")
	if err != nil {
		return usage("%s: %s", path, plainCause(err))
	}
	_, err = temp.Write(data)
	err = errors.Join(err, temp.Chmod(0o644), temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return errors.Join(usage("%s: %s", path, plainCause(err)), os.Remove(temp.Name()))
	}
	return nil
}
