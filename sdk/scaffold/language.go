package scaffold

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Language is what a skill is written in.
type Language string

// The languages with an SDK. Other is any that brings its own build.sh.
const (
	Go             Language = "go"
	AssemblyScript Language = "assemblyscript"
	Rust           Language = "rust"
	C              Language = "c"
	Other          Language = "other"
)

// Languages lists those that New makes projects in.
func Languages() []Language { return []Language{Go, AssemblyScript, Rust, C} }

// ParseLanguage reads the name of one of Languages.
func ParseLanguage(name string) (Language, error) {
	if slices.Contains(Languages(), Language(name)) {
		return Language(name), nil
	}
	return "", fmt.Errorf("language %q: write one of go, assemblyscript, rust, c", name)
}

// Title is the language's name for people.
func (l Language) Title() string {
	switch l {
	case Go:
		return "Go"
	case AssemblyScript:
		return "AssemblyScript"
	case Rust:
		return "Rust"
	case C:
		return "C"
	}
	return "its own language"
}

// sdkFiles are the SDKs that are one file: a project gets a copy beside its code.
var sdkFiles = map[Language]string{
	AssemblyScript: "sdk/assemblyscript/writ.ts",
	Rust:           "sdk/rust/writ.rs",
	C:              "sdk/c/writ.h",
}

// ofOtherLanguages reports whether a file is of an SDK that is not Go's.
func ofOtherLanguages(name string) bool {
	for _, file := range sdkFiles {
		if strings.HasPrefix(name, path.Dir(file)+"/") {
			return true
		}
	}
	return false
}

// buildScript is what builds a project that is not in Go.
const buildScript = "build.sh"

// Detect finds out the language of the project in dir by its files: go.mod or .go,
// Cargo.toml or .rs, package.json, .c, in this order, or build.sh alone.
func Detect(dir string) (Language, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", fmt.Errorf("build %s: it cannot be read: name the directory of a skill", dir)
	}
	has := map[string]bool{}
	for _, entry := range entries {
		if entry.Type() != fs.ModeDir {
			has[entry.Name()], has["*"+filepath.Ext(entry.Name())] = true, true
		}
	}
	for _, known := range []struct {
		language Language
		files    []string
	}{
		{Go, []string{"go.mod", "*.go"}},
		{Rust, []string{"Cargo.toml", "*.rs"}},
		{AssemblyScript, []string{"package.json"}},
		{C, []string{"*.c"}},
		{Other, []string{buildScript}},
	} {
		if slices.ContainsFunc(known.files, func(name string) bool { return has[name] }) {
			return known.language, nil
		}
	}
	return "", fmt.Errorf("build %s: there is no go.mod, Cargo.toml, .rs, package.json, .c or %s: name the directory of a skill, or make one with `writ skill new`", dir, buildScript)
}
