package drift

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

// Of one round of a Sampler, where nothing else is said: replays take turns with the
// steps of the host.
const (
	DefaultMost   = 20
	DefaultWithin = 2 * time.Second
	// samplePool is how many of the newest completed executions a sample is drawn from.
	samplePool = 500
)

// SamplerOptions are what a Sampler works with. The first four must be set.
type SamplerOptions struct {
	Traces writ.Traces
	Replay func(context.Context, *contract.ReplayRunInput) (*contract.ReplayRunOutput, error)
	Said   func(context.Context, writ.TenantID, contract.DriftCode) ([]string, error) // Service.Said
	Clock  writ.Clock
	Most   int           // executions of a round; 0: DefaultMost
	Within time.Duration // of a round; 0: DefaultWithin
}

// Sampler derives a random sample of completed executions again and finds those that
// come out differently. It works in Round alone: its Source says what the last round
// found, or before the first one what was said, and so is never in anybody's way.
type Sampler struct {
	opts SamplerOptions

	mu     sync.Mutex
	rounds uint64
	found  map[writ.TenantID][]contract.DriftFinding
}

// NewSampler makes a sampler. CodeInvalid where an option is missing.
func NewSampler(opts SamplerOptions) (*Sampler, error) {
	if opts.Traces == nil || opts.Replay == nil || opts.Said == nil || opts.Clock == nil {
		return nil, writ.Errorf(writ.CodeInvalid, "drift sampler", "an option is not set")
	}
	if opts.Most <= 0 {
		opts.Most = DefaultMost
	}
	if opts.Within <= 0 {
		opts.Within = DefaultWithin
	}
	return &Sampler{opts: opts, found: map[writ.TenantID][]contract.DriftFinding{}}, nil
}

// Source is a Source of REPLAY_BROKEN.
func (s *Sampler) Source(ctx context.Context, tenant writ.TenantID) ([]contract.DriftFinding, error) {
	s.mu.Lock()
	found, ran := s.found[tenant]
	s.mu.Unlock()
	if ran {
		return slices.Clone(found), nil
	}
	said, err := s.opts.Said(ctx, tenant, contract.DriftReplayBroken)
	if err != nil {
		return nil, err
	}
	var out []contract.DriftFinding
	for _, subject := range said {
		out = append(out, broken(writ.ExecutionID(subject), "it did not replay when it was last derived"))
	}
	return out, nil
}

func broken(id writ.ExecutionID, message string) contract.DriftFinding {
	return contract.DriftFinding{
		Code: contract.DriftReplayBroken, Subject: string(id), Message: message,
		Fix: "see all of it with `writ replay " + string(id) + "`, and keep the report",
	}
}

// Round derives executions again: first those that did not replay before, then a sample
// that the day and the number of the round draw. What the time does not suffice for
// stays as it was said.
func (s *Sampler) Round(ctx context.Context, tenant writ.TenantID) error {
	said, err := s.opts.Said(ctx, tenant, contract.DriftReplayBroken)
	if err != nil {
		return err
	}
	page, err := s.opts.Traces.Executions(ctx, writ.ExecutionQuery{Tenant: tenant, Status: writ.ExecCompleted, Limit: samplePool})
	if err != nil {
		return err
	}
	var found []contract.DriftFinding
	within, cancel := context.WithTimeout(ctx, s.opts.Within)
	defer cancel()
	for i, id := range s.draw(tenant, said, page.Items) {
		before := slices.Contains(said, string(id))
		if i >= s.opts.Most || within.Err() != nil {
			if before {
				found = append(found, broken(id, "it did not replay when it was last derived"))
			}
			continue
		}
		if message := s.derive(within, id, before); message != "" {
			found = append(found, broken(id, message))
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rounds++
	s.found[tenant] = found
	return nil
}

// draw puts those that were said before a shuffle of the others.
func (s *Sampler) draw(tenant writ.TenantID, said []string, pool []*writ.Execution) []writ.ExecutionID {
	day := s.opts.Clock().UTC().Format(time.DateOnly)
	s.mu.Lock()
	seed := canon.SHA256([]byte("drift sample " + day + " " + string(tenant)))
	source := rand.New(rand.NewPCG(binary.BigEndian.Uint64([]byte(seed.Hex())), s.rounds))
	s.mu.Unlock()
	var out, rest []writ.ExecutionID
	for _, subject := range said {
		out = append(out, writ.ExecutionID(subject))
	}
	for _, x := range pool {
		if !slices.Contains(said, string(x.ID)) {
			rest = append(rest, x.ID)
		}
	}
	source.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
	return append(out, rest...)
}

// derive replays one execution and says what is wrong with it. One whose payloads have
// expired, or which is gone, is nothing that has drifted.
func (s *Sampler) derive(ctx context.Context, id writ.ExecutionID, before bool) string {
	report, err := s.opts.Replay(ctx, &contract.ReplayRunInput{ExecutionID: id})
	switch code := writ.CodeOf(err); {
	case err == nil:
		return difference(report)
	case code == writ.CodeNotFound || code == writ.CodeUnreplayable:
		return ""
	case code == writ.CodeTampered || code == writ.CodeDiverged:
		return err.Error()
	case before: // nobody could look
		return "it did not replay when it was last derived"
	}
	return ""
}

// difference names stage and field, and no value: who may read those asks for a replay.
func difference(report *contract.ReplayRunOutput) string {
	for _, stage := range report.Report {
		if d := stage.FirstDifference; d != nil {
			where := "stage " + stage.Stage
			if stage.StepID != "" {
				where += " of step " + string(stage.StepID)
			}
			return where + " comes out differently at " + d.Field
		}
	}
	return ""
}
