package registry

import (
	"archive/tar"
	"bytes"
	"strings"

	"github.com/writ-run/writ"
)

// A .skill file is an uncompressed tar of an OCI image layout. archive/tar reads
// far more than that (PAX records that override sizes, sparse files, GNU long
// names), so the gate reads the plain ustar subset itself: regular files with
// names from a closed list. A fuzz target holds that archive/tar reads the same
// from whatever passes.

const (
	layoutFile = "oci-layout"
	indexFile  = "index.json"
	blobPrefix = "blobs/sha256/"
	tarBlock   = 512
)

// entry is one file of a layout.
type entry struct {
	name string
	data []byte // shares the file's memory
}

// readTar is the strict gate. Nothing of raw is trusted.
func readTar(raw []byte, lim Limits) ([]entry, *writ.SkillIssue) {
	if int64(len(raw)) > lim.Bundle {
		return nil, tooLarge("the file has more than %d bytes", lim.Bundle)
	}
	if len(raw) == 0 || len(raw)%tarBlock != 0 {
		return nil, broken("the file is not a whole number of tar blocks: it is cut off or is no bundle")
	}
	g := gate{rest: raw, limits: lim, seen: map[string]bool{}}
	for {
		done, issue := g.next()
		if issue != nil {
			return nil, issue
		}
		if done {
			return g.entries, nil
		}
	}
}

type gate struct {
	rest    []byte
	limits  Limits
	count   int
	seen    map[string]bool
	entries []entry
}

func (g *gate) next() (done bool, issue *writ.SkillIssue) {
	if len(g.rest) < tarBlock {
		return false, broken("the tar ends without its end mark: it is cut off")
	}
	header := g.rest[:tarBlock]
	g.rest = g.rest[tarBlock:]
	if isZero(header) {
		if len(g.rest) < tarBlock || !isZero(g.rest) {
			return false, broken("there is data after the end of the tar")
		}
		return true, nil
	}
	if g.count++; g.count > g.limits.Entries {
		return false, tooLarge("the tar has more than %d entries", g.limits.Entries)
	}
	name, size, issue := g.header(header)
	if issue != nil {
		return false, issue
	}
	return false, g.take(name, size)
}

// header checks one header block and returns its name and size.
func (g *gate) header(h []byte) (string, int64, *writ.SkillIssue) {
	name := cString(h[0:100])
	shown := clip(name)
	sum, ok := octal(h[148:156])
	if !ok || sum != checksum(h) {
		return "", 0, broken("entry %q: the header's checksum does not match", shown)
	}
	if magic := string(h[257:265]); magic != "ustar\x0000" && magic != "ustar  \x00" {
		return "", 0, broken("entry %q: not a ustar header", shown)
	}
	if !isZero(h[345:500]) {
		return "", 0, broken("entry %q: long names are not allowed", shown)
	}
	size, ok := octal(h[124:136])
	if !ok {
		return "", 0, broken("entry %q: the size is not an octal number", shown)
	}
	switch h[156] {
	case tar.TypeReg:
	case tar.TypeDir:
		if size == 0 && (name == "blobs/" || name == blobPrefix) {
			return name, 0, nil
		}
		return "", 0, broken("directory %q is not part of a bundle", shown)
	default:
		return "", 0, broken("entry %q: links, devices and other special files are not allowed", shown)
	}
	if !isZero(h[157:257]) {
		return "", 0, broken("entry %q: a file must not name a link", shown)
	}
	return name, size, nil
}

// take checks the name and size against the closed list and keeps the data.
func (g *gate) take(name string, size int64) *writ.SkillIssue {
	shown := clip(name)
	if g.seen[name] {
		return broken("entry %q stands twice", shown)
	}
	g.seen[name] = true
	if strings.HasSuffix(name, "/") {
		return nil
	}
	limit := g.limits.Document
	if hex, ok := strings.CutPrefix(name, blobPrefix); ok && writ.Digest("sha256:"+hex).Valid() {
		limit = max(g.limits.Module, g.limits.Document)
	} else if name != layoutFile && name != indexFile {
		return broken("entry %q is not part of a bundle", shown)
	}
	if size > limit {
		return tooLarge("entry %q has more than %d bytes", shown, limit)
	}
	padded := (size + tarBlock - 1) / tarBlock * tarBlock
	if padded > int64(len(g.rest)) {
		return broken("entry %q is cut off", shown)
	}
	if !isZero(g.rest[size:padded]) {
		return broken("entry %q: there is data in the padding", shown)
	}
	g.entries = append(g.entries, entry{name: name, data: g.rest[:size:size]})
	g.rest = g.rest[padded:]
	return nil
}

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// cString is b up to its first NUL.
func cString(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}

// octal reads a numeric field: octal digits, ended by NUL or space. The base-256
// form, signs and empty fields are refused.
func octal(b []byte) (int64, bool) {
	text := strings.Trim(string(b), " \x00")
	if text == "" {
		return 0, false
	}
	var n int64
	for _, c := range text { // at most 12 digits of 3 bits: no overflow
		if c < '0' || c > '7' {
			return 0, false
		}
		n = n<<3 | int64(c-'0')
	}
	return n, true
}

// checksum is the sum of the header's bytes with the checksum field as spaces.
func checksum(h []byte) int64 {
	var sum int64
	for i, c := range h {
		if i >= 148 && i < 156 {
			c = ' '
		}
		sum += int64(c)
	}
	return sum
}

// writeTar is the deterministic form: ustar, no times, no owners, mode 0644.
func writeTar(entries []entry) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: 0o644, Size: int64(len(e.data)), Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(e.data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
