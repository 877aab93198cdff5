package main

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/host"
)

// compileArgument makes this program the process that compiles one module: no
// command of the command line, and run before any of them is set up.
const compileArgument = "compile-module"

// compiles reports whether the arguments ask for that.
func compiles(args []string) bool { return len(args) == 1 && args[0] == compileArgument }

// runningProgram is this very program on Linux, also after its file was replaced by
// another version.
const runningProgram = "/proc/self/exe"

// sandboxOptions compile in processes of this program, started under wrapper where
// there is one, and keep the code in dir.
func sandboxOptions(dir string, key []byte, wrapper []string) (host.Options, error) {
	program := runningProgram
	if _, err := os.Stat(program); err != nil || len(wrapper) > 0 { // a wrapper's own program is another
		if program, err = os.Executable(); err != nil {
			return host.Options{}, &writ.Error{
				Code: writ.CodeUnavailable, Op: "sandbox", Message: "this program does not find its own file, of which it compiles modules", Err: err,
				Fix: "start it by its absolute path",
			}
		}
	}
	command := slices.Concat(wrapper, []string{program, compileArgument})
	return host.Options{CompileCommand: command, CacheDir: dir, CacheKey: key}, nil
}

// compileAheadFor bounds how long an install waits for its module's compilation,
// which goes on without it.
const compileAheadFor = 20 * time.Second

// installSkill compiles what it installs, so that the first step does not wait for
// it. What cannot be compiled stays installed and fails its steps.
func (h *home) installSkill(ctx context.Context, in *contract.SkillInstallInput) (*contract.SkillInstallOutput, error) {
	out, err := h.installAccepted(ctx, in)
	if err != nil {
		return nil, err
	}
	if err := h.compileAhead(ctx, out); err != nil {
		h.log.Warn("an installed skill is not compiled yet", "skill", out.SkillKey, "version", out.Version, "error", err)
	}
	return out, nil
}

func (h *home) compileAhead(ctx context.Context, installed *contract.SkillInstallOutput) error {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return err
	}
	if installed.Status != string(writ.SkillEnabled) {
		return nil
	}
	skills, err := h.registry.Catalogue(ctx, by.Tenant)
	if err != nil {
		return err
	}
	release, err := skills.Resolve(installed.SkillKey, "="+installed.Version)
	if err != nil {
		return err
	}
	skill, err := h.registry.Load(ctx, writ.LoadRequest{Tenant: by.Tenant, Ref: release.SkillRef})
	if err != nil {
		return err
	}
	return h.prepare(ctx, skill)
}

// prepare compiles a skill. CodeTimeout where that takes long; it goes on.
func (h *home) prepare(ctx context.Context, skill *writ.Skill) error {
	preparer, able := h.sandbox.(host.Preparer)
	if !able {
		return nil
	}
	timed, cancel := context.WithTimeout(ctx, compileAheadFor)
	defer cancel()
	return preparer.Prepare(timed, skill.Module, skill.Manifest.Limits)
}

// passingSandbox is for one command: its compiled code goes with it.
func passingSandbox(wrapper []string) (_ writ.Sandbox, remove func(), err error) {
	dir, err := os.MkdirTemp("", "writ-code-")
	if err != nil {
		return nil, nil, usage("no temporary directory: %s", plainCause(err))
	}
	remove = func() { _ = os.RemoveAll(dir) }
	key := make([]byte, cacheKeyBytes)
	_, err = rand.Read(key)
	options, optionsErr := sandboxOptions(dir, key, wrapper)
	if err = errors.Join(err, optionsErr); err == nil {
		var sandbox writ.Sandbox
		if sandbox, err = host.NewSandbox(options); err == nil {
			return sandbox, remove, nil
		}
	}
	remove()
	return nil, nil, err
}
