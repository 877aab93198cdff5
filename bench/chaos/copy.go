//go:build linux

package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// copyTree copies a directory. Sockets stay behind: they belong to a process.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rest, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, rest), 0o700)
		case d.Type().IsRegular():
			return copyFile(path, filepath.Join(to, rest))
		}
		return nil
	})
}

// copyFile leaves holes where there are zeros: a log of Badger is 128 MiB of
// which little is written.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	size, err := copySparse(out, in)
	return errors.Join(err, out.Truncate(size), out.Close())
}

func copySparse(out *os.File, in io.Reader) (int64, error) {
	const block = 256 << 10
	buffer, zeros := make([]byte, block), make([]byte, block)
	for size := int64(0); ; {
		n, err := io.ReadFull(in, buffer)
		if n > 0 && !bytes.Equal(buffer[:n], zeros[:n]) {
			if _, err := out.WriteAt(buffer[:n], size); err != nil {
				return size, err
			}
		}
		size += int64(n)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return size, nil
		case err != nil:
			return size, err
		}
	}
}

// copyStore copies what a power cut would leave of a store whose writer is held.
// Badger may write and merge tables in the meantime: a log that has gone when its
// turn comes is in a table that the manifest, which is copied after it, names;
// where the manifest has changed by the end, tables that it names may be missing,
// and the copy is made again.
func copyStore(from, to string) error {
	const tries = 20 // a merge takes less than a copy
	for range tries {
		if err := os.RemoveAll(to); err != nil {
			return err
		}
		err := copyOnce(from, to)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		copied, err := os.ReadFile(filepath.Join(to, "db", "MANIFEST"))
		if err != nil {
			return err
		}
		if now, err := os.ReadFile(filepath.Join(from, "db", "MANIFEST")); err != nil || bytes.Equal(now, copied) {
			return err
		}
	}
	return errors.New("the store does not hold still")
}

func copyOnce(from, to string) error {
	if err := os.MkdirAll(filepath.Join(to, "db"), 0o700); err != nil {
		return err
	}
	for _, pattern := range []string{"db/*.mem", "db/MANIFEST", "db/*.sst", "db/*.vlog", "db/KEYREGISTRY", "db/DISCARD", "anchor"} {
		names, err := filepath.Glob(filepath.Join(from, pattern))
		if err != nil {
			return err
		}
		for _, name := range names {
			rest, err := filepath.Rel(from, name)
			if err != nil {
				return err
			}
			err = copyFile(name, filepath.Join(to, rest))
			if errors.Is(err, fs.ErrNotExist) && filepath.Ext(name) == ".mem" {
				continue
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
