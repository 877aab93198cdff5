package main

import (
	"context"
	"crypto/rand"
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
	"github.com/writ-run/writ/intent"
	"github.com/writ-run/writ/registry"
	"github.com/writ-run/writ/sdk/scaffold"
)

// entropy is the process's source of randomness.
var entropy = rand.Reader

func (a *app) skillNew() *cobra.Command {
	var language string
	c := &cobra.Command{
		Use: "new NAME", Short: "Make a new skill's project", Args: exactly("NAME"),
		Long: `Makes a project with one typed action, its manifest, its test cases and a copy of
the SDK. It builds with the toolchain of its language and nothing else; the
compiler of AssemblyScript is installed by npm at the first build.`,
		Example: "  writ skill new hello && cd hello && writ skill run greet '{\"name\":\"Ada\"}'\n  writ skill new acme/mailer --lang rust",
		RunE: func(_ *cobra.Command, args []string) error {
			dir := args[0][strings.LastIndexByte(args[0], '/')+1:]
			written, err := scaffold.ParseLanguage(language)
			if err == nil {
				err = scaffold.New(dir, args[0], written, writ.SDKSource())
			}
			if err != nil {
				return usage("%s", err)
			}
			return a.print(map[string]string{"directory": dir, "language": language}, func(t *table) {
				t.line("made %s/, in %s", dir, written.Title())
				t.line("next: cd %s && writ skill run greet '{\"name\":\"Ada\"}'", dir)
			})
		},
	}
	c.Flags().StringVar(&language, "lang", string(scaffold.Go), "go, assemblyscript, rust or c")
	return c
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
			return nil, buildFailed(m.Name, err)
		}
	}
	wasm, err := os.ReadFile(module)
	if err != nil {
		return nil, usage("%s: %s", module, plainCause(err))
	}
	if err := a.describe(ctx, m, wasm); err != nil {
		return nil, err
	}
	if err := sayable(m); err != nil {
		return nil, err
	}
	return &work{dir: dir, manifest: m, module: wasm}, nil
}

// buildFailed says what to install where that is what is missing.
func buildFailed(skill string, err error) error {
	failed := writ.Errorf(writ.CodeInvalid, "skill "+skill, "%w", err)
	var missing *scaffold.MissingError
	if errors.As(err, &missing) {
		return failed.WithFix("%s", missing.Install)
	}
	return failed
}

// readyModule is the module of a skill without a source: module.wasm, "" where there
// is none.
func readyModule(dir string) string {
	file := filepath.Join(dir, moduleFile)
	if _, err := os.Stat(file); err != nil {
		return ""
	}
	if _, err := scaffold.Detect(dir); err == nil {
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

// sayable holds the phrases of a skill to what they can mean: one that cannot be matched
// would be left out in silence where people say it.
func sayable(m *abi.Manifest) error {
	for _, action := range m.Actions {
		for i, phrase := range action.Utterances {
			if err := intent.Check(phrase, action.Input); err != nil {
				var e *writ.Error
				if errors.As(err, &e) {
					e.Place = fmt.Sprintf("%s: actions.%s.utterances[%d]", manifestFile, action.Name, i)
				}
				return err
			}
		}
	}
	return nil
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
	c.Flags().StringVar(&module, "module", "", "a ready WebAssembly module instead of the source")
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
		Use: "test [DIR]", Short: "Run a skill's own Go tests, then its cases in the real sandbox", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := dirOf(args)
			language, err := scaffold.Detect(dir)
			if module == "" && err == nil && language == scaffold.Go {
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
	c.Flags().StringVar(&module, "module", "", "a ready WebAssembly module instead of the source")
	return c
}

func (a *app) runCases(ctx context.Context, w *work) error {
	var files []string
	for _, form := range []string{"*.json", "*.txtar"} {
		found, err := filepath.Glob(filepath.Join(w.dir, "testdata", form))
		if err != nil {
			return err
		}
		files = append(files, found...)
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
