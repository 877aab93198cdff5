//go:build linux

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// chain is a plan of steps, each with the number that the one before answered.
func chain(skill writ.SkillKey, steps int) string {
	var b strings.Builder
	b.WriteString("apiVersion: writ/v1\nkind: Plan\nsteps:\n")
	number := "1"
	for i := range steps {
		fmt.Fprintf(&b, "  - {name: s%d, uses: %s#echo, with: {n: %s}}\n", i, skill, number)
		number = fmt.Sprintf(`"${{ steps.s%d.output.n }}"`, i)
	}
	return b.String()
}

// governed measures what a step costs beyond its guest: plan, policy, permit and
// records. Nothing is on disk, so that no sync is in it.
func (s *suite) governed(ctx context.Context, span time.Duration) ([]row, error) {
	const name = "governed step over the bare sandbox call, without a sync, p50, "
	rows := []row{{name + "C skill", 0, "us", 100, "lower"}, {name + "hand-made skill", 0, "us", 0, "lower"}}
	for i, skill := range []writ.SkillKey{conformance("c"), handMade} {
		l, err := s.labIn(ctx, labOptions{inMemory: true}, "c") // each with an empty store
		if err != nil {
			return nil, err
		}
		rows[i].Value, err = l.marginal(ctx, span, skill)
		l.close(ctx)
		if err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// marginal is what one more step adds to an execution, less the bare run of its
// guest, in microseconds. The three are taken in turns, so that whatever else the
// machine does meets all of them.
func (l *lab) marginal(ctx context.Context, span time.Duration, skill writ.SkillKey) (float64, error) {
	const few, many = 1, 9
	short, long := chain(skill, few), chain(skill, many)
	took, err := rotation(ctx, span,
		func(ctx context.Context) error { return l.whole(ctx, short) },
		func(ctx context.Context) error { return l.whole(ctx, long) },
		func(ctx context.Context) error { return l.echo(ctx, skill) },
	)
	if err != nil {
		return 0, err
	}
	step := (quantile(took[1], 0.5) - quantile(took[0], 0.5)) / (many - few)
	return microseconds(step - quantile(took[2], 0.5)), nil
}

// guests measures a run of the bare sandbox, by the instance that it gets: one that
// was used before and reset, or a new one, which begins as a copy of the snapshot.
func (s *suite) guests(ctx context.Context, span time.Duration) ([]row, error) {
	l, err := s.inEachLanguage(ctx)
	if err != nil {
		return nil, err
	}
	took, err := sample(ctx, span/3, func(ctx context.Context) error { return l.echo(ctx, handMade) })
	if err != nil {
		return nil, err
	}
	rows := []row{{"run in the bare sandbox, reset instance, p50, hand-made skill", milliseconds(quantile(took, 0.5)), "ms", 0, "lower"}}
	for _, language := range languages {
		skill := conformance(language)
		echo := func(ctx context.Context) error { return l.echo(ctx, skill) }
		again, err := sample(ctx, span/3, echo)
		if err != nil {
			return nil, err
		}
		afresh, err := rotation(ctx, span/3, func(ctx context.Context) error { return l.trap(ctx, skill) }, echo)
		if err != nil {
			return nil, err
		}
		fresh := row{"run in the bare sandbox, fresh instance, p50, " + names[language] + " skill", milliseconds(quantile(afresh[1], 0.5)), "ms", 0, "lower"}
		if language == "go" {
			fresh.Target = 1
		}
		rows = append(rows, row{"run in the bare sandbox, reset instance, p50, " + names[language] + " skill", milliseconds(quantile(again, 0.5)), "ms", 0, "lower"}, fresh)
	}
	return rows, nil
}

// replays measures how often a stored three-step execution is derived again.
func (s *suite) replays(ctx context.Context, span time.Duration) ([]row, error) {
	l, err := s.inEachLanguage(ctx)
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, of := range []struct {
		language string
		target   float64
	}{{"c", 1000}, {"go", 0}} {
		rate, err := l.replay(ctx, span/2, conformance(of.language))
		if err != nil {
			return nil, err
		}
		rows = append(rows, row{"replay of 3 steps, running the code, 1 client, " + names[of.language] + " skill", rate, "/s", of.target, "higher"})
	}
	return rows, nil
}

func (l *lab) replay(ctx context.Context, span time.Duration, skill writ.SkillKey) (rate float64, err error) {
	id, err := l.ready(ctx, chain(skill, 3))
	if err != nil {
		return 0, err
	}
	if err := l.start(ctx, id); err != nil {
		return 0, err
	}
	ctx = writ.WithPrincipal(ctx, l.caller)
	took, err := sample(ctx, span, func(ctx context.Context) error {
		out, err := l.engine.ReplayRun(ctx, &contract.ReplayRunInput{ExecutionID: id})
		if err == nil && !out.Identical {
			err = fmt.Errorf("the replay differs: %+v", out.Report)
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	return 1 / quantile(took, 0.5).Seconds(), nil
}
