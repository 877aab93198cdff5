package policy

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"maps"
	"slices"

	"github.com/writ-run/writ"
)

// Pack signs the bundle and writes it as an archive that LoadBundle and OPA read.
// The same files and signature are the same bytes. Errors as of Sign.
func (b *Bundle) Pack(keyID string, privateKeyPEM []byte) ([]byte, error) {
	signature, err := b.Sign(keyID, privateKeyPEM)
	if err != nil {
		return nil, err
	}
	files := maps.Clone(b.files)
	files[signatureFile] = signature
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	w := tar.NewWriter(zipped)
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(files)) {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(files[name]))}
		errs = append(errs, w.WriteHeader(header))
		_, err := w.Write(files[name])
		errs = append(errs, err)
	}
	if err := errors.Join(append(errs, w.Close(), zipped.Close())...); err != nil {
		return nil, writ.Errorf(writ.CodeInternal, "policy pack", "%w", err)
	}
	return out.Bytes(), nil
}
