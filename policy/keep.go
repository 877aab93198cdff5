package policy

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// judgeOf compiles a kept bundle once. The caller holds mu.
func (s *Service) judgeOf(ctx context.Context, digest writ.Digest) (*Policy, error) {
	if judge, ok := s.judges[digest]; ok {
		return judge, nil
	}
	b, err := s.kept(digest)
	if err != nil {
		return nil, err
	}
	judge, err := Compile(ctx, b, s.deadline)
	if err != nil {
		return nil, err
	}
	s.judges[digest] = judge
	return judge, nil
}

// lawOf finds what a kept list of layers names; nil where the digest is of no
// list. The caller holds mu.
func (s *Service) lawOf(ctx context.Context, digest writ.Digest) (*law, error) {
	if known, ok := s.laws[digest]; ok {
		return known, nil
	}
	list, err := s.keptLayers(digest)
	if list == nil || err != nil {
		return nil, err
	}
	var parts []part
	for _, one := range list.Layers {
		judge, err := s.judgeOf(ctx, one.Bundle)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part{one.Layer, judge})
	}
	found, err := newLaw(parts)
	if err == nil {
		s.laws[digest] = found
	}
	return found, err
}

// Needs lists what a verdict's policy digest stands for: the digest itself and,
// where it is of layers, those of their bundles. Each has a directory of its own.
// Errors as of ByDigest.
func (s *Service) Needs(digest writ.Digest) ([]writ.Digest, error) {
	needs := []writ.Digest{digest}
	list, err := s.keptLayers(digest)
	if list == nil || err != nil {
		return needs, err
	}
	for _, one := range list.Layers {
		needs = append(needs, one.Bundle)
	}
	return needs, nil
}

func (s *Service) place(digest writ.Digest) string { return filepath.Join(s.dir, digest.Hex()) }

// kept reads a bundle from the directory and proves that it is what its name says.
func (s *Service) kept(digest writ.Digest) (*Bundle, error) {
	op := "policy " + string(digest)
	if !digest.Valid() {
		return nil, writ.Errorf(writ.CodeNotFound, op, "is not the digest of a bundle")
	}
	if digest == s.builtin.digest {
		return s.builtin, nil
	}
	b, err := LoadBundle(s.place(digest))
	if writ.IsCode(err, writ.CodeNotFound) {
		return nil, writ.Errorf(writ.CodeNotFound, op, "is not kept on this host").
			WithFix("`writ policy list` shows what is; otherwise restore the policy directory of the home from a backup")
	}
	if err != nil || b.digest != digest {
		return nil, s.altered(digest)
	}
	return b, nil
}

func (s *Service) altered(digest writ.Digest) error {
	return writ.Errorf(writ.CodeTampered, "policy "+string(digest), "the kept files are not the ones of this digest").
		WithFix("restore policy/%s of the home from a backup, and find out who changed it", digest.Hex())
}

// keptLayers is nil where what is kept under the digest is no list of layers.
func (s *Service) keptLayers(digest writ.Digest) (*layered, error) {
	if !digest.Valid() {
		return nil, nil
	}
	f, err := os.Open(filepath.Join(s.place(digest), layersFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, writ.Errorf(writ.CodeUnavailable, "policy "+string(digest), "%w", err)
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxLayersFile+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, writ.Errorf(writ.CodeUnavailable, "policy "+string(digest), "%w", err)
	}
	list, err := parseLayers(raw)
	if err != nil || canon.Sum(canon.DomainPolicyLayers, raw) != digest {
		return nil, s.altered(digest)
	}
	return list, nil
}

// keep writes a bundle under its digest, whole or not at all.
func (s *Service) keep(b *Bundle) error {
	if _, err := os.Stat(s.place(b.digest)); err == nil {
		_, err := s.kept(b.digest)
		return err
	}
	return s.put(b.digest, b.files)
}

// keepLaw writes the list of a law that asks more than one bundle.
func (s *Service) keepLaw(l *law) error {
	if len(l.parts) < 2 {
		return nil
	}
	if list, err := s.keptLayers(l.ref.Digest); list != nil || err != nil {
		return err
	}
	raw, err := layerList(l.parts).encode()
	if err != nil {
		return err
	}
	return s.put(l.ref.Digest, map[string][]byte{layersFile: raw})
}

func (s *Service) put(digest writ.Digest, files map[string][]byte) error {
	op := "policy " + string(digest)
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return writ.Errorf(writ.CodeUnavailable, op, "%w", err)
	}
	temporary, err := os.MkdirTemp(s.dir, ".new-")
	if err != nil {
		return writ.Errorf(writ.CodeUnavailable, op, "%w", err)
	}
	defer os.RemoveAll(temporary)
	if err := writeTree(temporary, files); err != nil {
		return writ.Errorf(writ.CodeUnavailable, op, "%w", err)
	}
	if err := os.Rename(temporary, s.place(digest)); err != nil {
		return writ.Errorf(writ.CodeUnavailable, op, "%w", err)
	}
	return syncDir(s.dir)
}

func writeTree(dir string, files map[string][]byte) error {
	for name, content := range files {
		target := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
			return err
		}
		if err := writeSynced(target, content); err != nil {
			return err
		}
	}
	return filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		return syncDir(name)
	})
}

func writeSynced(name string, content []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
