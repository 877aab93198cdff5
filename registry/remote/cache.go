package remote

import (
	"cmp"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// blobs keeps what was fetched, by digest: HEX is whole, HEX.partial is as far as a
// transfer came, HEX.*.claim belongs to a transfer under way. It only ever saves
// time: what is read from it is hashed again, and when it cannot be written nothing
// is kept.
type blobs struct {
	dir   string // "": keeps nothing
	bound int64
	clock writ.Clock
}

const (
	partialSuffix = ".partial"
	claimSuffix   = ".claim"
)

// abandoned is far longer than a transfer goes without a byte.
const abandoned = 10 * time.Minute

// get is a whole blob, or nil.
func (b *blobs) get(d writ.Digest, size int64) []byte {
	if b.dir == "" {
		return nil
	}
	path := filepath.Join(b.dir, d.Hex())
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() != size {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil || canon.SHA256(data) != d {
		_ = os.Remove(path) // it is fetched again
		return nil
	}
	now := b.clock()
	_ = os.Chtimes(path, now, now) // used last, removed last
	return data
}

// part is a blob that is being fetched. file is nil where it cannot be kept.
type part struct {
	digest writ.Digest
	dir    string
	file   *os.File
	data   []byte
}

// begin claims what an earlier transfer left, or starts anew. Renaming is the claim:
// of two processes one gets it.
func (b *blobs) begin(d writ.Digest, size int64) *part {
	p := &part{digest: d, dir: b.dir}
	if b.dir == "" || os.MkdirAll(b.dir, 0o700) != nil {
		return p
	}
	file, err := os.CreateTemp(b.dir, d.Hex()+".*"+claimSuffix)
	if err != nil {
		return p
	}
	p.file = file
	left := filepath.Join(b.dir, d.Hex()+partialSuffix)
	if os.Rename(left, file.Name()) != nil {
		return p
	}
	_ = file.Close()
	if p.file, err = os.OpenFile(file.Name(), os.O_RDWR, 0o600); err != nil {
		p.file = nil
		return p
	}
	data, err := io.ReadAll(io.LimitReader(p.file, size+1))
	if err != nil || int64(len(data)) > size {
		p.restart()
		return p
	}
	p.data = data
	return p
}

func (p *part) Write(data []byte) (int, error) {
	p.data = append(p.data, data...)
	if p.file != nil {
		if _, err := p.file.Write(data); err != nil {
			p.drop()
		}
	}
	return len(data), nil
}

// restart forgets what there is.
func (p *part) restart() {
	p.data = nil
	if p.file == nil {
		return
	}
	if _, err := p.file.Seek(0, io.SeekStart); err != nil || p.file.Truncate(0) != nil {
		p.drop()
	}
}

func (p *part) drop() {
	if p.file != nil {
		_ = p.file.Close()
		_ = os.Remove(p.file.Name())
		p.file = nil
	}
}

// leave lets another transfer go on where this one ended.
func (p *part) leave() {
	if len(p.data) == 0 {
		p.drop()
		return
	}
	p.rename(p.digest.Hex() + partialSuffix)
}

// finish keeps the whole blob.
func (p *part) finish() { p.rename(p.digest.Hex()) }

func (p *part) rename(name string) {
	if p.file == nil {
		return
	}
	from := p.file.Name()
	if p.file.Close() != nil || os.Rename(from, filepath.Join(p.dir, name)) != nil {
		_ = os.Remove(from)
	}
	p.file = nil
}

// sweep gives abandoned claims free and removes what was used longest ago, until the
// rest fits.
func (b *blobs) sweep() {
	if b.dir == "" {
		return
	}
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		return
	}
	type file struct {
		name string
		size int64
		at   time.Time
	}
	var files []file
	total := int64(0)
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		name := entry.Name()
		if strings.HasSuffix(name, claimSuffix) {
			if b.clock().Sub(info.ModTime()) < abandoned {
				continue
			}
			hex, _, _ := strings.Cut(name, ".")
			free := hex + partialSuffix
			if os.Rename(filepath.Join(b.dir, name), filepath.Join(b.dir, free)) != nil {
				continue
			}
			name = free
		}
		files = append(files, file{name, info.Size(), info.ModTime()})
		total += info.Size()
	}
	slices.SortFunc(files, func(x, y file) int { return cmp.Or(x.at.Compare(y.at), strings.Compare(x.name, y.name)) })
	for _, f := range files {
		if total <= b.bound {
			return
		}
		if os.Remove(filepath.Join(b.dir, f.name)) == nil {
			total -= f.size
		}
	}
}
