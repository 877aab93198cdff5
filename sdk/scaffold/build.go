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

// buildFlags make the module small and the same on every machine: no symbols,
// paths, version control state or build ID.
var buildFlags = []string{"build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid="}

// buildEnv makes a build independent of its surroundings: no workspace, no
// network, no toolchain fetched, no flag or experiment that the caller has set.
var buildEnv = []string{
	"GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOWORK=off", "GOPROXY=off", "GOTOOLCHAIN=local",
	"GOFLAGS=", "GOWASM=", "GOEXPERIMENT=", "GO111MODULE=on",
}

// maxDiagnostics bounds what of the compiler's output goes into an error: the
// compiler itself stops after ten errors of about a line each.
const maxDiagnostics = 8 << 10

// ErrNoGo says that the Go toolchain is not on the PATH.
var ErrNoGo = errors.New("the Go toolchain was not found: install Go " + goVersion + " or later from https://go.dev/dl and put it on your PATH")

// Build compiles the skill in dir and returns the module's path, which is
// ModulePath in dir. The error is or wraps ErrNoGo where there is no toolchain,
// and holds the compiler's words where the code does not compile.
func Build(ctx context.Context, dir string) (string, error) {
	return BuildTo(ctx, dir, filepath.Join(dir, filepath.FromSlash(ModulePath)))
}

// BuildTo is Build with another place for the module.
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
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, tool, append(buildFlags, "-o", module, ".")...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &said, &said
	cmd.Env = append(cmd.Environ(), buildEnv...)
	if err := cmd.Run(); err != nil {
		return "", buildError(ctx, dir, said.String(), err)
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
