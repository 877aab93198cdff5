package scaffold

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// MissingError says that a project cannot be built here, and what to install.
type MissingError struct {
	Tool    string // what was looked for
	Install string // the command that brings it
}

// Error implements error.
func (e *MissingError) Error() string { return e.Tool + " was not found" }

// ErrNoGo says that the Go toolchain is not on the PATH.
var ErrNoGo = &MissingError{Tool: "the Go toolchain", Install: "install Go " + goVersion + " or later from https://go.dev/dl and put it on your PATH"}

var (
	errNoClang = &MissingError{Tool: "clang", Install: "apt-get install -y clang lld"}
	errNoLLD   = &MissingError{Tool: "wasm-ld", Install: "apt-get install -y lld"}
	errNoRust  = &MissingError{
		Tool:    "a rustc with the standard library for wasm32-unknown-unknown",
		Install: "apt-get install -y rustc libstd-rust-dev-wasm32 lld, or rustup target add wasm32-unknown-unknown",
	}
	errNoNPM   = &MissingError{Tool: "npm", Install: "apt-get install -y npm"}
	errNoNode  = &MissingError{Tool: "node", Install: "apt-get install -y nodejs"}
	errNoCargo = &MissingError{Tool: "cargo", Install: "apt-get install -y cargo libstd-rust-dev-wasm32 lld, or install rustup"}
)

// versions of LLVM whose Debian packages name their programs by them.
var versions = []string{"", "-21", "-20", "-19", "-18", "-17", "-16", "-15", "-14"}

// find is the program that the variable names, or the first of the names on the PATH.
func find(variable string, names ...string) string {
	if own := os.Getenv(variable); own != "" && variable != "" {
		names = []string{own}
	}
	for _, name := range names {
		if found, err := exec.LookPath(name); err == nil {
			return found
		}
	}
	return ""
}

func findVersioned(variable, name string) string {
	names := make([]string, len(versions))
	for i, version := range versions {
		names[i] = name + version
	}
	return find(variable, names...)
}

// toolchain gives what a build script finds its programs by, as variables of its
// environment. The error is a *MissingError.
func toolchain(ctx context.Context, language Language, dir string) ([]string, error) {
	switch language {
	case C:
		clang, lld := findVersioned("CLANG", "clang"), findVersioned("WASM_LD", "wasm-ld")
		if clang == "" {
			return nil, errNoClang
		}
		if lld == "" {
			return nil, errNoLLD
		}
		return []string{"CLANG=" + clang, "WASM_LD=" + lld}, nil
	case Rust:
		return rustToolchain(ctx, dir)
	case AssemblyScript:
		if find("", "node") == "" {
			return nil, errNoNode
		}
		if _, err := os.Stat(filepath.Join(dir, "node_modules", ".bin", "asc")); err != nil && find("", "npm") == "" {
			return nil, errNoNPM
		}
	}
	return nil, nil
}

// rustToolchain takes the first rustc that has the standard library for wasm32. One
// of rustup has a linker of its own, which must be of its version of LLVM.
func rustToolchain(ctx context.Context, dir string) ([]string, error) {
	if _, err := os.Stat(filepath.Join(dir, "Cargo.toml")); err == nil {
		if find("CARGO", "cargo") == "" {
			return nil, errNoCargo
		}
		return nil, nil
	}
	candidates := []string{"rustc", "/usr/bin/rustc"}
	if own := os.Getenv("RUSTC"); own != "" {
		candidates = []string{own}
	}
	for _, name := range candidates {
		rustc := find("", name)
		if rustc == "" || !exists(ask(ctx, rustc, "--print", "target-libdir", "--target", "wasm32-unknown-unknown")) {
			continue
		}
		if own, _ := filepath.Glob(filepath.Join(ask(ctx, rustc, "--print", "sysroot"), "lib", "rustlib", "*", "bin", "rust-lld")); len(own) > 0 {
			return []string{"RUSTC=" + rustc, "WASM_LD="}, nil
		}
		lld := findVersioned("WASM_LD", "wasm-ld")
		if lld == "" {
			return nil, errNoLLD
		}
		return []string{"RUSTC=" + rustc, "WASM_LD=" + lld}, nil
	}
	return nil, errNoRust
}

// ask is the one line that a program answers, empty where it does not.
func ask(ctx context.Context, program string, args ...string) string {
	said, err := exec.CommandContext(ctx, program, args...).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(said))
}

func exists(path string) bool {
	if path == "" {
		return false
	}
	_, err := os.Stat(path)
	return err == nil
}

// scriptOf is the arguments for sh that build the project: its own script, or the one
// that a new project gets.
func scriptOf(dir string, language Language) ([]string, error) {
	if exists(filepath.Join(dir, buildScript)) {
		return []string{buildScript}, nil
	}
	if exists(filepath.Join(dir, "Cargo.toml")) {
		return []string{"-c", cargoScript}, nil
	}
	script, err := templates.ReadFile("template/" + string(language) + "/" + buildScript + ".tmpl")
	if err != nil {
		return nil, fmt.Errorf("build %s: there is no %s", dir, buildScript)
	}
	return []string{"-c", string(script)}, nil
}

// cargoScript takes the one module that a package builds.
const cargoScript = `set -eu
mkdir -p build
"${CARGO:-cargo}" build --release --target wasm32-unknown-unknown --target-dir build/cargo
cp build/cargo/wasm32-unknown-unknown/release/*.wasm build/skill.wasm
`
