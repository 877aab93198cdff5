// Package shelf is the archive of signed skills that a binary carries: an index that
// is read at once, and all bundles in one compressed stream, since modules built by
// one toolchain repeat most of their code. It vouches for nothing: what comes off
// the shelf is verified like any other bundle.
package shelf

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/mod/semver"
)

// Limits of an archive: far above what a release carries, and low enough that a
// damaged one cannot fill the memory.
const (
	maxIndex    = 1 << 20
	maxContents = 512 << 20
	// window reaches back over all modules of a release, which is where repetition is.
	window = 128 << 20
)

// magic begins an archive, version 1.
const magic = "writ shelf 1\n"

// ErrAbsent is a skill that is not on the shelf.
var ErrAbsent = errors.New("it is not among them")

// errDamaged is an archive that is none. The text is for who built the binary.
var errDamaged = errors.New("the archive of first-party skills is damaged: build the binary again")

// Entry is a skill on the shelf.
type Entry struct {
	Name        string   `json:"name"` // publisher/name
	Version     string   `json:"version"`
	Description string   `json:"description"`
	Actions     []string `json:"actions"`
	Size        int      `json:"bytes"` // of the bundle
	SHA256      []byte   `json:"sha256"`
}

// Item is a bundle with what the index says of it. Pack sets Size and SHA256.
type Item struct {
	Entry
	Bundle []byte // a signed .skill file
}

// Pack makes an archive; the same items give the same bytes.
func Pack(items []Item) ([]byte, error) {
	items = slices.Clone(items)
	slices.SortFunc(items, func(a, b Item) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), semver.Compare("v"+a.Version, "v"+b.Version), strings.Compare(a.Version, b.Version))
	})
	var contents bytes.Buffer
	index := make([]Entry, len(items))
	for i, item := range items {
		sum := sha256.Sum256(item.Bundle)
		index[i] = item.Entry
		index[i].Size, index[i].SHA256 = len(item.Bundle), sum[:]
		contents.Write(item.Bundle)
	}
	head, err := json.Marshal(index)
	if err != nil {
		return nil, err
	}
	if len(head) > maxIndex || contents.Len() > maxContents {
		return nil, fmt.Errorf("shelf: an index of %d bytes and contents of %d: at most %d and %d are carried", len(head), contents.Len(), maxIndex, maxContents)
	}
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	out := binary.BigEndian.AppendUint32([]byte(magic), uint32(len(head)))
	return encoder.EncodeAll(contents.Bytes(), append(out, head...)), nil
}

// Shelf is an opened archive.
type Shelf struct {
	entries []Entry
	stream  []byte
}

// Open reads an archive's index. A nil or empty archive is an empty shelf.
func Open(archive []byte) (*Shelf, error) {
	if len(archive) == 0 {
		return &Shelf{}, nil
	}
	rest, ok := bytes.CutPrefix(archive, []byte(magic))
	if !ok || len(rest) < 4 {
		return nil, errDamaged
	}
	size := binary.BigEndian.Uint32(rest)
	if rest = rest[4:]; size > maxIndex || int(size) > len(rest) {
		return nil, errDamaged
	}
	s := &Shelf{stream: rest[size:]}
	if json.Unmarshal(rest[:size], &s.entries) != nil {
		return nil, errDamaged
	}
	total := 0
	for i := range s.entries {
		if n := s.entries[i].Size; n < 0 || n > maxContents-total {
			return nil, errDamaged
		}
		total += s.entries[i].Size
	}
	return s, nil
}

// Entries are the skills on the shelf, by name and version.
func (s *Shelf) Entries() []Entry { return slices.Clone(s.entries) }

// Bundle is the .skill file of a skill, "publisher/name" or "publisher/name@version";
// without a version the newest. ErrAbsent where it is not there.
func (s *Shelf) Bundle(name string) ([]byte, error) {
	key, version, pinned := strings.Cut(name, "@")
	at, found, offset := 0, -1, 0
	for i := range s.entries {
		if e := &s.entries[i]; e.Name == key && (!pinned || e.Version == version) {
			found, at = i, offset
		}
		offset += s.entries[i].Size
	}
	if found < 0 {
		return nil, ErrAbsent
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(window), zstd.WithDecoderMaxMemory(maxContents))
	if err != nil {
		return nil, err
	}
	defer decoder.Close()
	contents, err := decoder.DecodeAll(s.stream, nil)
	if err != nil || len(contents) != offset {
		return nil, errDamaged
	}
	bundle := contents[at : at+s.entries[found].Size]
	if sum := sha256.Sum256(bundle); !bytes.Equal(sum[:], s.entries[found].SHA256) {
		return nil, errDamaged
	}
	return bytes.Clone(bundle), nil // the other skills go
}
