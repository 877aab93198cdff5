package channel

import (
	"slices"
	"time"

	"github.com/writ-run/writ/contract"
)

// thread is what keeps its order: one of a channel, or all of one whose provider mixes
// threads in a delivery.
type thread struct {
	lane
	id string
}

// row is a thread whose first delivery cannot be handled now. What comes after it waits
// behind it, on disk: here is no more than where, so that the row takes as little as the
// marks of what is taken do, and Options.Pending bounds it as it bounds those.
type row struct {
	behind []place
}

// thread is what the order of a delivery is of.
func (j *job) thread() thread {
	t := thread{lane: lane{j.tenant, j.facts.Channel}}
	if len(j.messages) > 0 && !j.batched {
		t.id = j.messages[0].Thread
	}
	return t
}

// queueUp reports whether a delivery stands behind one of its thread that waits. It stays
// taken then, until nextInRow.
//
// Who gathers asks before a worker gets it, and the worker before it begins: what a worker
// had been given before the row began is behind it, too. So nobody has any of a row when
// its first is given out again.
func (s *Service) queueUp(j *job) bool {
	if j.decides() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, first := s.firsts[j.place]; first {
		return false
	}
	r := s.rows[j.thread()]
	if r == nil {
		return false
	}
	r.behind = append(r.behind, j.place)
	return true
}

// decides reports whether a delivery sets nothing off that could come too early: who
// decides, or cancels, is not held up by what somebody else asked for.
func (j *job) decides() bool {
	if j.channel == nil || j.unread != nil {
		return false
	}
	for i := range j.messages {
		switch m := &j.messages[i]; m.Kind {
		case Passing, Pressed:
		case Said:
			if a := ask(m.Text, m.Addressed); a.verb == "" {
				return false
			}
		case Happened:
			if slices.ContainsFunc(j.channel.Triggers, func(t contract.ChannelTrigger) bool { return setOff(t.Event, m.Event) }) {
				return false
			}
		default:
			return false
		}
	}
	return len(j.messages) > 0
}

// postpone leaves a delivery for later, and with it all that comes after it in its thread.
func (s *Service) postpone(j *job) {
	at, of := j.place, j.thread()
	s.mu.Lock()
	_, first := s.firsts[at]
	r := s.rows[of]
	switch {
	case first:
	case r == nil:
		s.rows[of], s.firsts[at] = &row{}, of
	default: // one that was simulated has begun the row meanwhile
		r.behind = append(r.behind, at)
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	time.AfterFunc(deferred, func() {
		s.release(at)
		s.wake()
	})
}

// through gives a delivery back that was handled. Where others stand behind it, they are
// next when somebody gathers from the beginning: in the middle of that, a later one could
// be given out before them.
func (s *Service) through(at place) {
	s.mu.Lock()
	delete(s.taken, at)
	of, first := s.firsts[at]
	if first {
		delete(s.firsts, at)
		s.moved = append(s.moved, of)
	}
	s.mu.Unlock()
	if first {
		s.wake()
	}
}

// nextInRow lets those be given out again whose row has no first any more.
func (s *Service) nextInRow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, of := range s.moved {
		for _, at := range s.rows[of].behind {
			delete(s.taken, at)
		}
		delete(s.rows, of)
	}
	s.moved = nil
}
