package toolbox

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/writ-run/writ"
)

// openRoot opens the root of the file tools, nil where none is set.
func openRoot(root, home string) (*os.Root, error) {
	if root == "" {
		return nil, nil
	}
	op := "file root " + root
	if home == "" {
		return nil, writ.Errorf(writ.CodeInvalid, op, "cannot be compared with the home: none is named").
			WithFix("name the home directory next to the file root")
	}
	realRoot, err := resolvePath(root)
	if err != nil {
		return nil, writ.Errorf(writ.CodeInvalid, op, "cannot be resolved: %w", err)
	}
	realHome, err := resolvePath(home)
	if err != nil {
		return nil, writ.Errorf(writ.CodeInvalid, "home "+home, "cannot be resolved: %w", err)
	}
	if contains(realRoot, realHome) || contains(realHome, realRoot) {
		return nil, writ.Errorf(writ.CodeInvalid, op, "overlaps the home directory %s", home).
			WithFix("choose a directory that neither holds nor lies in the home: keys and traces live there")
	}
	opened, err := os.OpenRoot(realRoot)
	if err != nil {
		return nil, writ.Errorf(writ.CodeInvalid, op, "cannot be opened: %w", err).
			WithFix("create the directory, or leave the file root out")
	}
	return opened, nil
}

// resolvePath makes path absolute and free of symbolic links. What does not
// exist yet is kept below its deepest existing ancestor.
func resolvePath(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	rest := ""
	for {
		resolved, err := filepath.EvalSymlinks(path)
		if err == nil {
			return filepath.Join(resolved, rest), nil
		}
		parent := filepath.Dir(path)
		if !errors.Is(err, fs.ErrNotExist) || parent == path || isLink(path) {
			return "", err
		}
		rest = filepath.Join(filepath.Base(path), rest)
		path = parent
	}
}

// isLink catches a dangling link: what it will lead to is not known.
func isLink(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

// contains reports whether inner is outer or lies in it, by name and by
// identity: a bind mount or a file system that folds case has two names for one
// directory.
func contains(outer, inner string) bool {
	outerInfo, outerErr := os.Stat(outer)
	for dir := inner; ; dir = filepath.Dir(dir) {
		if dir == outer || strings.EqualFold(dir, outer) {
			return true
		}
		if info, err := os.Stat(dir); err == nil && outerErr == nil && os.SameFile(info, outerInfo) {
			return true
		}
		if dir == filepath.Dir(dir) {
			return false
		}
	}
}
