package secret

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/writ-run/writ"
)

// How long a value that was replaced is still looked for in what goes in and out.
const (
	DefaultKeepOld = 24 * time.Hour      // a late answer, a log page, a cache at a proxy
	MaxKeepOld     = 30 * 24 * time.Hour // a value that must not be kept longer is worth more than what it guards
	// MaxRetired bounds the old values of one secret: whoever rotates more often in
	// the time loses the oldest.
	MaxRetired = 8
)

// retired is a value that was replaced.
type retired struct {
	Value []byte    `json:"value"`
	Until writ.Time `json:"until"`
}

func wipeRetired(list []retired) {
	for _, r := range list {
		clear(r.Value)
	}
}

// current leaves out what is past its time, what is the value again and what are too
// many, and wipes it.
func current(list []retired, value []byte, now writ.Time) []retired {
	kept := list[:0:0]
	for _, r := range list {
		if r.Until <= now || bytes.Equal(r.Value, value) || len(kept) == MaxRetired {
			clear(r.Value)
			continue
		}
		kept = append(kept, r)
	}
	return kept
}

// replace gives an entry a new value and retires the one before. It reports whether
// the value is another one.
func (e *entry) replace(value []byte, now writ.Time, keep time.Duration) bool {
	if e.Value == nil {
		*e = entry{Value: slices.Clone(value), UpdatedAt: now, Version: 1}
		return true
	}
	changed := !bytes.Equal(e.Value, value)
	e.Version = cmp.Or(e.Version, 1)
	e.UpdatedAt = now
	if changed {
		e.Version++
		e.Retired = slices.Insert(e.Retired, 0, retired{Value: e.Value, Until: now.Add(keep)})
		e.Value = slices.Clone(value)
	}
	e.Retired = current(e.Retired, e.Value, now)
	return changed
}

// oldUntil is until when an old value is looked for, 0 where there is none.
func oldUntil(list []retired, now writ.Time) writ.Time {
	last := writ.Time(0)
	for _, r := range list {
		if r.Until > now {
			last = max(last, r.Until)
		}
	}
	return last
}
