// Package scaffold makes the project of a new skill, in one of several languages, and
// builds it. A project carries its own copy of the SDK, so it needs its language's
// toolchain and nothing else: no checkout of Writ and, except for the compiler of
// AssemblyScript, no network.
package scaffold

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"
)

//go:embed template
var templates embed.FS

// Places in a project, slash-separated.
const (
	// SDKDir holds the copy of the SDK. Go ignores directories with a leading
	// dot, so it is no part of the project's own packages.
	SDKDir = ".writ/sdk"
	// ModulePath is what Build makes.
	ModulePath = "build/skill.wasm"
)

// LocalPublisher is the publisher of a name that has none.
const LocalPublisher = "local"

// goVersion is the oldest Go that builds the SDK.
const goVersion = "1.26.0"

var namePart = regexp.MustCompile(`^[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$`)

// project is what the templates show.
type project struct {
	Key       string // publisher/name
	Name      string
	GoVersion string
	SDKDir    string
}

// New writes a complete project into dir, which must not exist yet. The name is
// NAME or PUBLISHER/NAME, each lower case letters, digits and dashes. Src is the
// source of the SDKs: writ.SDKSource(). On an error nothing is left behind.
func New(dir, name string, language Language, src fs.FS) error {
	if _, err := ParseLanguage(string(language)); err != nil {
		return err
	}
	p, err := newProject(name)
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("skill %s: %s exists already: choose another name or directory", p.Key, dir)
		}
		return fmt.Errorf("skill %s: %w", p.Key, err)
	}
	err = errors.Join(writeTemplates(dir, "common", p), writeTemplates(dir, string(language), p), copySDK(dir, language, src))
	if err != nil {
		return errors.Join(fmt.Errorf("skill %s: %w", p.Key, err), os.RemoveAll(dir))
	}
	return nil
}

func newProject(name string) (project, error) {
	publisher, own, found := strings.Cut(name, "/")
	if !found {
		publisher, own = LocalPublisher, name
	}
	if !namePart.MatchString(publisher) || !namePart.MatchString(own) {
		return project{}, fmt.Errorf("skill name %q: write NAME or PUBLISHER/NAME, each a letter and then lower case letters, digits or dashes, 63 at most", name)
	}
	return project{Key: publisher + "/" + own, Name: own, GoVersion: goVersion, SDKDir: SDKDir}, nil
}

// writeTemplates renders each file of a folder of template; its name there ends in
// .tmpl, so that no tool takes it for part of this module.
func writeTemplates(dir, from string, p project) error {
	root, err := fs.Sub(templates, "template/"+from)
	if err != nil {
		return err
	}
	return fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		parsed, err := template.ParseFS(root, path)
		if err != nil {
			return err
		}
		var text bytes.Buffer
		if err := parsed.Execute(&text, p); err != nil {
			return err
		}
		target := strings.TrimSuffix(path, ".tmpl")
		if target == "gitignore" {
			target = ".gitignore"
		}
		return writeFile(filepath.Join(dir, filepath.FromSlash(target)), text.Bytes())
	})
}

func copySDK(dir string, language Language, src fs.FS) error {
	file, single := sdkFiles[language]
	if !single {
		return copySource(filepath.Join(dir, filepath.FromSlash(SDKDir)), src)
	}
	text, err := fs.ReadFile(src, file)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, path.Base(file)), text)
}

func copySource(dir string, src fs.FS) error {
	mod := "module github.com/writ-run/writ\n\ngo " + goVersion + "\n"
	if err := writeFile(filepath.Join(dir, "go.mod"), []byte(mod)); err != nil {
		return err
	}
	return fs.WalkDir(src, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || ofOtherLanguages(path) {
			return err
		}
		text, err := fs.ReadFile(src, path)
		if err != nil {
			return err
		}
		return writeFile(filepath.Join(dir, filepath.FromSlash(path)), text)
	})
}

func writeFile(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	mode := os.FileMode(0o644)
	if filepath.Ext(path) == ".sh" {
		mode = 0o755
	}
	return os.WriteFile(path, text, mode)
}
