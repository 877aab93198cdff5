package registry

import "time"

// mark identifies the state of a file without reading it. Whoever changes a byte
// changes ctime, which no program can set.
type mark struct {
	device, inode uint64
	size          int64
	mtime, ctime  int64 // nanoseconds since the epoch
}

// marks are those of all files of a layout, in the order of their names. nil
// says that the platform cannot tell.
type marks []mark

func markAll(paths []string) marks {
	out := make(marks, 0, len(paths))
	for _, path := range paths {
		m, ok := markOf(path)
		if !ok {
			return nil
		}
		out = append(out, m)
	}
	return out
}

// hold reports whether the files are as they were.
func (m marks) hold(paths []string) bool {
	if m == nil || len(m) != len(paths) {
		return false
	}
	for i, path := range paths {
		if now, ok := markOf(path); !ok || now != m[i] {
			return false
		}
	}
	return true
}

// settling is longer than the tick of file times (10 ms at most): a file that
// changed more recently could change again and keep its times.
const settling = 20 * time.Millisecond

// settled reports whether the marks can be relied on from now on.
func (m marks) settled(now time.Time) bool {
	for _, f := range m {
		if now.Sub(time.Unix(0, max(f.ctime, f.mtime))) < settling {
			return false
		}
	}
	return m != nil
}
