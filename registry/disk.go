package registry

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// An installed bundle is a directory Dir/TENANT/HEX that is an OCI image layout,
// where HEX names its content, signatures included: a bundle that was signed
// again does not overwrite what a running step reads.

const temporary = ".tmp-"

var tenantPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

func (r *Registry) tenantDir(tenant writ.TenantID) (string, error) {
	if !tenantPattern.MatchString(string(tenant)) {
		return "", writ.Errorf(writ.CodeInvalid, "tenant "+clip(string(tenant)), "cannot name a directory").
			WithFix("use letters, digits, dots, dashes and underscores")
	}
	return filepath.Join(r.opts.Dir, string(tenant)), nil
}

func (r *Registry) bundleDir(tenant writ.TenantID, content writ.Digest) (string, error) {
	dir, err := r.tenantDir(tenant)
	return dir + string(filepath.Separator) + content.Hex(), err
}

// contentDigest names a layout with all that is attached to it.
func contentDigest(entries []entry) writ.Digest {
	parts := make([][]byte, 0, 2*len(entries))
	for _, e := range entries {
		parts = append(parts, []byte(e.name), []byte(canon.SHA256(e.data)))
	}
	return canon.Sum(canon.DomainInstallation, parts...)
}

// settle writes a layout under its final name: temporary directory, fsync of each
// file and directory, rename, fsync. Nothing is left behind after an error.
func settle(dir string, entries []entry) (err error) {
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(parent, temporary)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	blobs := filepath.Join(tmp, filepath.FromSlash(blobPrefix))
	if err := os.MkdirAll(blobs, 0o700); err != nil {
		return err
	}
	for _, e := range entries {
		if err := writeSynced(filepath.Join(tmp, filepath.FromSlash(e.name)), e.data); err != nil {
			return err
		}
	}
	for _, d := range []string{blobs, filepath.Dir(blobs), tmp} {
		if err := syncDir(d); err != nil {
			return err
		}
	}
	// What an interrupted install left under the final name was never recorded.
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.Rename(tmp, dir); err != nil {
		return err
	}
	return syncDir(parent)
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// read reads an installed layout with the gate's rules: regular files from the
// closed list of names, within the limits. It returns the marks of the files as
// they were before the bytes were read.
func read(dir string, limits Limits) ([]entry, marks, error) {
	names, err := list(dir)
	if err != nil {
		return nil, nil, err
	}
	paths := make([]string, len(names))
	for i, name := range names {
		paths[i] = filepath.Join(dir, filepath.FromSlash(name))
	}
	before := markAll(paths)
	total := int64(0)
	entries := make([]entry, 0, len(names))
	for i, name := range names {
		data, err := readBounded(paths[i], max(limits.Module, limits.Document))
		if err != nil {
			return nil, nil, err
		}
		if total += int64(len(data)); total > limits.Bundle {
			return nil, nil, errors.New("the directory holds more than a bundle may")
		}
		entries = append(entries, entry{name, data})
	}
	return entries, before, nil
}

// list names the files of a layout, in order; anything else is an error.
func list(dir string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if d.IsDir() && (name == "." || name+"/" == "blobs/" || name+"/" == blobPrefix) {
			return nil
		}
		hex, isBlob := strings.CutPrefix(name, blobPrefix)
		known := name == layoutFile || name == indexFile || (isBlob && writ.Digest("sha256:"+hex).Valid())
		if !known || !d.Type().IsRegular() {
			return errors.New("there is something that the bundle did not hold: " + clip(name))
		}
		names = append(names, name)
		return nil
	})
	slices.SortFunc(names, compareEntries)
	return names, err
}

// compareEntries is the order of layout.entries.
func compareEntries(a, b string) int {
	rank := func(s string) int { return slices.Index([]string{layoutFile, indexFile}, s) & 3 } // a blob's -1 becomes 3
	if d := rank(a) - rank(b); d != 0 {
		return d
	}
	return strings.Compare(a, b)
}

// readBounded reads a regular file of at most limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait for a writer
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	// Room for what the file claims to hold, so that a module is not copied as it grows.
	data := bytes.NewBuffer(make([]byte, 0, min(info.Size(), limit)+bytes.MinRead))
	if _, err := data.ReadFrom(io.LimitReader(f, limit+1)); err != nil {
		return nil, err
	}
	if int64(data.Len()) > limit {
		return nil, errTooLarge
	}
	return data.Bytes(), nil
}

var errTooLarge = errors.New("the file is too large")
