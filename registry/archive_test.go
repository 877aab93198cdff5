package registry

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// makeTar writes headers as they are given; data fits the size where it is set.
func makeTar(t testing.TB, headers ...*tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range headers {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, h.Size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func blobName(b []byte) string { return blobPrefix + canon.SHA256(b).Hex() }

func TestTarGate(t *testing.T) {
	h := newHome(t)
	file := h.bundle()
	reg := func(name string, size int64) *tar.Header {
		return &tar.Header{Name: name, Size: size, Mode: 0o644, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
	}
	typed := func(flag byte, name, link string) *tar.Header {
		return &tar.Header{Name: name, Linkname: link, Typeflag: flag, Mode: 0o644, Format: tar.FormatUSTAR}
	}
	// extra puts an entry before the good bundle's end mark.
	extra := func(headers ...*tar.Header) []byte {
		return append(slices.Clone(file[:len(file)-1024]), makeTar(t, headers...)...)
	}
	many := []*tar.Header{}
	for i := range 300 {
		many = append(many, reg(blobName(fmt.Append(nil, i)), 0))
	}
	header := func(edit func([]byte)) []byte {
		out := slices.Clone(file)
		edit(out[:tarBlock])
		copy(out[148:156], fmt.Sprintf("%06o\x00 ", checksum(out[:tarBlock])))
		return out
	}
	digest, large := writ.IssueArtifactDigest, writ.IssueArtifactTooLarge
	for name, c := range map[string]struct {
		file []byte
		want writ.IssueCode
	}{
		"traversal":          {extra(reg("../evil", 1)), digest},
		"traversal in blobs": {extra(reg(blobPrefix+"../../evil", 1)), digest},
		"absolute":           {extra(reg("/etc/passwd", 1)), digest},
		"dot prefix":         {extra(reg("./index.json", 1)), digest},
		"symlink":            {extra(typed(tar.TypeSymlink, blobName(nil), "/etc/passwd")), digest},
		"hard link":          {extra(typed(tar.TypeLink, blobName(nil), indexFile)), digest},
		"character device":   {extra(typed(tar.TypeChar, blobName(nil), "")), digest},
		"block device":       {extra(typed(tar.TypeBlock, blobName(nil), "")), digest},
		"pipe":               {extra(typed(tar.TypeFifo, blobName(nil), "")), digest},
		"other directory":    {extra(typed(tar.TypeDir, "blobs/sha512/", "")), digest},
		"duplicate index":    {extra(reg(indexFile, 2)), digest},
		"duplicate blob":     {extra(reg(blobName(nil), 0), reg(blobName(nil), 0)), digest},
		"extra file":         {extra(reg("README.md", 1)), digest},
		"other algorithm":    {extra(reg("blobs/sha512/"+strings.Repeat("0", 64), 0)), digest},
		"upper-case digest":  {extra(reg(blobPrefix+strings.Repeat("A", 64), 0)), digest},
		"blob with no name":  {header(func(b []byte) { copy(b, blobPrefix+"\x00") }), digest},
		"PAX record":         {extra(&tar.Header{Name: blobName(nil), Typeflag: tar.TypeReg, Format: tar.FormatPAX, PAXRecords: map[string]string{"WRIT.x": "1"}}), digest},
		"long name":          {extra(&tar.Header{Name: strings.Repeat("n", 200), Typeflag: tar.TypeReg, Format: tar.FormatGNU}), digest},
		"300 entries":        {makeTar(t, many...), large},
		"huge index":         {makeTar(t, reg(indexFile, 2<<20)), large},
		"huge size":          {header(func(b []byte) { copy(b[124:136], "77777777777\x00") }), large},
		"negative size":      {header(func(b []byte) { copy(b[124:136], "-0000000001\x00") }), digest},
		"base-256 size":      {header(func(b []byte) { copy(b[124:136], "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff") }), digest},
		"size beyond file":   {header(func(b []byte) { copy(b[124:136], "00003000000\x00") }), digest},
		"empty size":         {header(func(b []byte) { copy(b[124:136], "            ") }), digest},
		"link in a file":     {header(func(b []byte) { copy(b[157:], "x") }), digest},
		"name prefix":        {header(func(b []byte) { copy(b[345:], "x") }), digest},
		"old header":         {header(func(b []byte) { clear(b[257:265]) }), digest},
		"bad checksum":       {func() []byte { o := slices.Clone(file); o[0]++; return o }(), digest},
		"data in padding":    {func() []byte { o := slices.Clone(file); o[1023] = 1; return o }(), digest},
		"zip":                {append([]byte("PK\x03\x04"), make([]byte, 508)...), digest},
		"only an end mark":   {make([]byte, 1024), digest},
	} {
		t.Run(name, func(t *testing.T) {
			h.t = t
			h.refused(c.file, c.want)
		})
	}
	h.t = t
	dirs := makeTar(t, typed(tar.TypeDir, "blobs/", ""), typed(tar.TypeDir, blobPrefix, ""))
	h.install(append(dirs[:len(dirs)-1024], file...)) // as tar writes it from a directory
}

// readByStandard is what archive/tar sees.
func readByStandard(raw []byte) ([]entry, error) {
	var out []entry
	r := tar.NewReader(bytes.NewReader(raw))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag == tar.TypeDir {
			continue
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		out = append(out, entry{h.Name, data})
	}
}

func sameEntries(a, b []entry) bool {
	return slices.EqualFunc(a, b, func(x, y entry) bool { return x.name == y.name && bytes.Equal(x.data, y.data) })
}

func FuzzTarGate(f *testing.F) {
	h := newHome(f)
	f.Add(h.bundle())
	f.Add(makeTar(f, &tar.Header{Name: indexFile, Typeflag: tar.TypeReg, Size: 3, Format: tar.FormatGNU}))
	f.Add(make([]byte, 1024))
	f.Fuzz(func(t *testing.T, raw []byte) {
		entries, issue := readTar(raw, Limits{}.orDefaults())
		if issue != nil {
			if issue.Message == "" || issue.Fix == "" {
				t.Errorf("issue without words: %+v", issue)
			}
			return
		}
		standard, err := readByStandard(raw)
		if err != nil || !sameEntries(entries, standard) {
			t.Fatalf("archive/tar reads something else: %v", err)
		}
		again, err := writeTar(entries)
		if err != nil {
			t.Fatal(err)
		}
		if second, issue := readTar(again, Limits{}.orDefaults()); issue != nil || !sameEntries(entries, second) {
			t.Fatal("what passes does not survive its canonical form")
		}
		_, _ = readLayout(entries, Limits{}.orDefaults()) // must not panic
	})
}

// One flipped byte anywhere in a file is refused, or it changes nothing that
// verification speaks for.
func TestAnyFlippedByte(t *testing.T) {
	h := newHome(t)
	file := h.bundle()
	good, err := h.Examine(h.ctx, h.by.Tenant, file)
	if err != nil || !good.OK() {
		t.Fatal(err, good.Issues)
	}
	check := func(t interface{ Fatalf(string, ...any) }, i int, mask byte) {
		bad := slices.Clone(file)
		bad[i] ^= mask
		report, err := h.Examine(h.ctx, h.by.Tenant, bad)
		if err != nil {
			t.Fatalf("byte %d: %v", i, err)
		}
		if report.OK() && (report.Ref != good.Ref || !bytes.Equal(report.module, good.module) || report.Signer != good.Signer) {
			t.Fatalf("byte %d ^ %#x passes with other content", i, mask)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, rapid.IntRange(0, len(file)-1).Draw(t, "byte"), rapid.ByteRange(1, 255).Draw(t, "mask"))
	})
	for i := 0; i < len(file); i += 7 { // and a walk over the whole file
		check(t, i, 0x20)
	}
}
