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
	first  int64              // minutes since 1970 of the first that is not zero; none: after last
	last   int64              // of the latest step
	total  int64              // of the hour that ends with last
	counts [minutesKept]int32 // of minute m at m%60
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
	Counts []int32 `json:"counts"`
}

// maxOfMinute is more than a host begins in a minute by far.
const maxOfMinute = 1 << 30

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
		h.minutes.last, h.minutes.first = stored.Last, stored.Last+1
		for i, n := range stored.Counts {
			minute := stored.Last - int64(i)
			if minute < 0 || n < 0 {
				return nil, tampered(h.key, "the count cannot be read")
			}
			h.minutes.counts[minute%minutesKept], h.minutes.first = n, minute
			h.minutes.total += int64(n)
		}
	}
	h.read = true
	return h, nil
}

// sum is how many there were in the hour that ends with a minute. One that is before
// the latest is taken for that: it is a clock that is behind.
func (m *minutes) sum(now int64) int {
	total := m.total
	for minute := m.first; minute <= min(now-minutesKept, m.last); minute++ {
		total -= int64(m.counts[minute%minutesKept])
	}
	return int(total)
}

// after is the minutes with some steps more. mu is held.
func (h *hour) after(at writ.Time, steps int64) minutes {
	next, now := h.minutes, max(minuteOf(at), h.minutes.last)
	for ; next.first <= min(now-minutesKept, next.last); next.first++ {
		next.total -= int64(next.counts[next.first%minutesKept])
		next.counts[next.first%minutesKept] = 0
	}
	if next.first > next.last { // nothing is left
		next.first = now
	}
	next.last = now
	steps = min(steps, maxOfMinute-int64(next.counts[now%minutesKept]))
	next.total += steps
	next.counts[now%minutesKept] += int32(steps)
	return next
}

// change is the document, written by hand: it goes with each step.
func (m *minutes) change(key string) writ.Change {
	kept := int(m.last - m.first + 1)
	raw := append(make([]byte, 0, 48+3*kept), `{"last":`...)
	raw = append(strconv.AppendInt(raw, m.last, 10), `,"counts":[`...)
	for i := range kept {
		if i > 0 {
			raw = append(raw, ',')
		}
		raw = strconv.AppendInt(raw, int64(m.counts[(m.last-int64(i))%minutesKept]), 10)
	}
	return writ.Change{Key: key, Value: append(raw, "]}"...)}
}
