package policy

import (
	"bytes"
	"maps"
	"slices"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// Adopt keeps the files of a bundle, or of a list of layers, that came from elsewhere
// under a digest: what is kept can be asked again and is never active by that.
// CodeTampered where they are not the files of the digest, and nothing is written:
// nobody who brings evidence takes the place of a bundle that is yet to come.
func (s *Service) Adopt(digest writ.Digest, files map[string][]byte) error {
	wrong := writ.Errorf(writ.CodeTampered, "policy "+writ.Clip(string(digest), 80), "what came with the evidence are not the files of this digest").
		WithFix("export the execution again where it ran")
	if !digest.Valid() {
		return wrong
	}
	if raw, ok := files[layersFile]; ok {
		if _, err := parseLayers(raw); err != nil || len(files) != 1 || canon.Sum(canon.DomainPolicyLayers, raw) != digest {
			return wrong
		}
		if list, err := s.keptLayers(digest); list != nil || err != nil {
			return err
		}
		return s.put(digest, files)
	}
	c := collector{files: map[string][]byte{}}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := c.add(name, bytes.NewReader(files[name])); err != nil {
			return err
		}
	}
	if sum, err := digestOf(c.files); err != nil || sum != digest {
		return wrong
	}
	b, err := newBundle(c.files)
	if err != nil {
		return err
	}
	return s.keep(b)
}
