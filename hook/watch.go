package hook

import (
	"context"
	"fmt"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// trouble is what is wrong with a hook: in words, what to do, and since when; no words
// where nothing is.
func (w *worker) trouble(ctx context.Context) (said, fix string, since writ.Time, err error) {
	item, err := w.show(ctx)
	if err != nil {
		return "", "", 0, err
	}
	switch {
	case item.State == contract.HookDisabled:
		return "the receiver answered that it is gone: nothing is sent until it is configured anew", "writ hook redeliver " + item.Name, item.Failure.At, nil
	case item.DeadTotal > 0:
		if len(item.DeadLetters) > 0 {
			since = item.DeadLetters[0].Failure.At
		}
		return fmt.Sprintf("%d event(s) were given up", item.DeadTotal), "writ hook redeliver " + item.Name, since, nil
	case item.State == contract.HookFailing && item.Failure != nil:
		return item.Failure.Message, "writ hook list " + item.Name, item.Pending.Since, nil
	}
	return "", "", 0, nil
}

// Drift finds hooks that are disabled, have given up events, or fail for longer than
// an update of a receiver takes.
func (s *Service) Drift(ctx context.Context, tenant writ.TenantID) ([]contract.DriftFinding, error) {
	var out []contract.DriftFinding
	for _, w := range s.workers {
		if w.hook.Tenant != tenant {
			continue
		}
		said, fix, since, err := w.trouble(ctx)
		if err != nil {
			return nil, err
		}
		if said == "" || (w.onlyFailing() && s.opts.Clock.Now().Add(-longFailing) < since) {
			continue
		}
		out = append(out, contract.DriftFinding{Code: contract.DriftHookFailing, Subject: w.hook.Name, Since: since, Message: said, Fix: fix})
	}
	return out, nil
}

// onlyFailing: the event that it stands at may still be taken.
func (w *worker) onlyFailing() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state != nil && !w.state.Disabled && w.state.DeadTotal == 0
}

// Checks are hooks in trouble, for the status of the host.
func (s *Service) Checks(ctx context.Context, tenant writ.TenantID) ([]contract.SystemCheck, error) {
	var out []contract.SystemCheck
	for _, w := range s.workers {
		if w.hook.Tenant != tenant {
			continue
		}
		said, fix, _, err := w.trouble(ctx)
		if err != nil {
			return nil, err
		}
		if said != "" {
			out = append(out, contract.SystemCheck{Name: "hook " + w.hook.Name, Message: said, Fix: fix})
		}
	}
	return out, nil
}

// Meters are the hooks in numbers. One that was not read yet is not among them.
func (s *Service) Meters() contract.HookMeters {
	m := contract.HookMeters{
		States:   map[contract.HookStatus]int{contract.HookActive: 0, contract.HookFailing: 0, contract.HookDisabled: 0},
		Attempts: map[string]uint64{},
	}
	for _, w := range s.workers {
		w.meter(&m)
	}
	return m
}

func (w *worker) meter(m *contract.HookMeters) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state == nil {
		return
	}
	m.States[w.state.status()]++
	if behind, err := w.behind(); err == nil { // else the journal has failed, and the process ends
		m.Behind = max(m.Behind, behind)
	}
	m.DeadLetters += w.state.DeadTotal
	for _, o := range outcomes {
		m.Attempts[string(o)] += w.tally[o]
	}
	if p := w.state.Pending; p != nil && p.Attempts > 0 {
		m.Failing = max(m.Failing, w.opts.Clock().Sub(p.Since.Std()).Seconds())
	}
}
