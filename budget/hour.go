package budget

import (
	"context"
	"encoding/json"
	"strconv"
	"sync"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// hourPrefix of the documents that count a principal's steps: budget/hour/DIGEST.
const hourPrefix = "budget/hour/"

// minutesKept make an hour: the present minute and those before it.
const minutesKept = 60

// minutes are the steps of the last hour.
type minutes struct {
	last   int64              // minutes since 1970 of the latest step
	counts [minutesKept]int64 // of minute m at m%60
}

// hour is what one principal began in the last hour.
type hour struct {
	key string

	mu      sync.Mutex
	read    bool
	minutes minutes
}

// storedMinutes is the document: counts from the last minute back, without the
// zeros at the end.
type storedMinutes struct {
	Last   int64   `json:"last"`
	Counts []int64 `json:"counts"`
}

func minuteOf(at writ.Time) int64 { return int64(at) / int64(time.Minute) }

// StepsLastHour counts the attempts of steps that the principal began in the minute
// of a moment and the 59 before it.
func (s *Service) StepsLastHour(ctx context.Context, p *writ.Principal, now writ.Time) (int, error) {
	h, err := s.hourOf(ctx, p)
	if err != nil {
		return 0, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.minutes.sum(minuteOf(now)), nil
}

func (s *Service) hourOf(ctx context.Context, p *writ.Principal) (*hour, error) {
	if p == nil {
		return nil, writ.Errorf(writ.CodeInternal, "budget", "nobody is named whose steps are to be counted")
	}
	name := string(p.Tenant) + "\x00" + string(p.ID)
	known, ok := s.hours.Load(name)
	if !ok {
		known, _ = s.hours.LoadOrStore(name, &hour{key: hourPrefix + canon.SHA256([]byte(p.ID)).Hex()})
	}
	h := known.(*hour)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.read {
		return h, nil
	}
	raw, err := s.opts.Store.Get(ctx, p.Tenant, h.key)
	switch {
	case writ.IsCode(err, writ.CodeNotFound):
	case err != nil:
		return nil, err
	default:
		var stored storedMinutes
		if json.Unmarshal(raw, &stored) != nil || len(stored.Counts) > minutesKept || stored.Last < 0 {
			return nil, tampered(h.key, "the count cannot be read")
		}
		h.minutes.last = stored.Last
		for i, n := range stored.Counts {
			if minute := stored.Last - int64(i); minute >= 0 {
				h.minutes.counts[minute%minutesKept] = n
			}
		}
	}
	h.read = true
	return h, nil
}

// sum is how many there were in the hour that ends with a minute. One that is before
// the latest is taken for that: it is a clock that is behind.
func (m *minutes) sum(now int64) int {
	total := int64(0)
	now = max(now, m.last)
	for minute := m.last; minute > m.last-minutesKept && minute > now-minutesKept && minute >= 0; minute-- {
		total += m.counts[minute%minutesKept]
	}
	return int(total)
}

// after is the minutes with some steps more. mu is held.
func (h *hour) after(at writ.Time, steps int64) minutes {
	next, now := h.minutes, max(minuteOf(at), h.minutes.last)
	for minute := max(next.last+1, now-minutesKept+1); minute <= now; minute++ {
		next.counts[minute%minutesKept] = 0
	}
	next.last = now
	next.counts[now%minutesKept] += steps
	return next
}

// change is the document, written by hand: it goes with each step.
func (m *minutes) change(key string) writ.Change {
	kept := minutesKept
	count := func(i int) int64 {
		if minute := m.last - int64(i); minute >= 0 {
			return m.counts[minute%minutesKept]
		}
		return 0
	}
	for kept > 0 && count(kept-1) == 0 {
		kept--
	}
	raw := append(make([]byte, 0, 48+3*kept), `{"last":`...)
	raw = append(strconv.AppendInt(raw, m.last, 10), `,"counts":[`...)
	for i := range kept {
		if i > 0 {
			raw = append(raw, ',')
		}
		raw = strconv.AppendInt(raw, count(i), 10)
	}
	return writ.Change{Key: key, Value: append(raw, "]}"...)}
}
