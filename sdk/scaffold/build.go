package scaffold

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// buildFlags make the module small and the same on every machine: no debug
// information, paths, version control state or build ID. The names of functions stay,
// which are a fiftieth of it: a trap says with them where it was.
var buildFlags = []string{"build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags=-w -buildid="}

// buildEnv makes a build independent of its surroundings: no workspace, no
// network, no toolchain fetched, no flag or experiment that the caller has set.
var buildEnv = []string{
	"GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOWORK=off", "GOPROXY=off", "GOTOOLCHAIN=local",
	"GOFLAGS=", "GOWASM=", "GOEXPERIMENT=", "GO111MODULE=on",
}

// maxDiagnostics bounds what of the compiler's output goes into an error: the
// compiler itself stops after ten errors of about a line each.
const maxDiagnostics = 8 << 10

// Build compiles the skill in dir and returns the module's path, which is
// ModulePath in dir. A project that is not in Go, or that has one, is built by its
// build.sh, which runs as the caller. The error wraps a *MissingError where there is
// no toolchain, and holds the compiler's words where the code does not compile.
func Build(ctx context.Context, dir string) (string, error) {
	language, err := Detect(dir)
	if err != nil {
		return "", err
	}
	module := filepath.Join(dir, filepath.FromSlash(ModulePath))
	if language == Go && !exists(filepath.Join(dir, buildScript)) {
		return BuildTo(ctx, dir, module)
	}
	variables, err := toolchain(ctx, language, dir)
	if err != nil {
		return "", fmt.Errorf("build %s: %w", dir, err)
	}
	args, err := scriptOf(dir, language)
	if err != nil {
		return "", err
	}
	// What an earlier build left must not pass for the result of this one.
	if err := os.Remove(module); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("build %s: %w", dir, err)
	}
	cmd := exec.CommandContext(ctx, "sh", args...)
	cmd.Env = append(cmd.Environ(), append(variables, "LC_ALL=C")...)
	if err := runBuild(ctx, dir, cmd); err != nil {
		return "", err
	}
	if !exists(module) {
		return "", fmt.Errorf("build %s: %s left no %s", dir, buildScript, ModulePath)
	}
	return module, nil
}

// runBuild runs a compiler in dir and makes its words the error.
func runBuild(ctx context.Context, dir string, cmd *exec.Cmd) error {
	var said bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &said, &said
	if err := cmd.Run(); err != nil {
		return buildError(ctx, dir, said.String(), err)
	}
	return nil
}

// BuildTo compiles a skill in Go to a module at another place.
func BuildTo(ctx context.Context, dir, module string) (string, error) {
	if _, err := os.Stat(filepath.Join(dir, "main.go")); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("build %s: there is no main.go: name the directory of a skill, or make one with `writ skill new`", dir)
	}
	tool, err := exec.LookPath("go")
	if err != nil {
		return "", fmt.Errorf("build %s: %w", dir, ErrNoGo)
	}
	module, err = filepath.Abs(module)
	if err != nil {
		return "", fmt.Errorf("build %s: %w", dir, err)
	}
	if err := os.MkdirAll(filepath.Dir(module), 0o755); err != nil {
		return "", fmt.Errorf("build %s: %w", dir, err)
	}
	cmd := exec.CommandContext(ctx, tool, append(buildFlags, "-o", module, ".")...)
	cmd.Dir = dir // before Environ, which names it
	cmd.Env = append(cmd.Environ(), buildEnv...)
	if err := runBuild(ctx, dir, cmd); err != nil {
		return "", err
	}
	return module, nil
}

func buildError(ctx context.Context, dir, said string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("build %s: %w", dir, ctx.Err())
	}
	said = strings.TrimSpace(said)
	if len(said) > maxDiagnostics {
		said = strings.ToValidUTF8(said[:maxDiagnostics], "") + "..."
	}
	if said == "" {
		return fmt.Errorf("build %s: %w", dir, err)
	}
	return fmt.Errorf("build %s: the code does not compile:\n%s", dir, said)
}
