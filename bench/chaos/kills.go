//go:build linux

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"
)

// clients are few: two cores share them with the daemon.
const clients = 8

// playKills kills the daemon at random moments of its work and of its start.
func (s *stage) playKills(ctx context.Context) error {
	const name = "kills"
	before := s.tally.soFar()
	home, err := s.model.copy(filepath.Join(s.dir, name))
	if err != nil {
		return err
	}
	d, err := s.model.over(home)
	if err != nil {
		return err
	}
	t := newTraffic(s, name, d)
	t.start(ctx, clients)
	k := killer{stage: s, home: home, traffic: t}
	err = k.run(ctx)
	t.halt()
	if err != nil {
		return err
	}
	last, err := s.serve(home)
	if err != nil {
		return err
	}
	defer last.Stop()
	if err := last.ready(ctx); err != nil {
		s.tally.breakPromise(name, "the daemon does not start again: %v", err)
		return nil
	}
	s.tally.atLeast(name, "kill -9", k.made, s.kills)
	s.tally.count(name, "... while it started", k.starting)
	s.tally.count(name, "... with a slow disk", k.slow)
	s.tally.count(name, "... with a request under way", k.inFlight)
	err = s.settleAndCheck(ctx, t)
	s.tally.close(name, before)
	return err
}

// killer ends one daemon after another.
type killer struct {
	*stage
	home    string
	traffic *traffic

	made, starting, slow, inFlight int
}

func (k *killer) run(ctx context.Context) error {
	chance := k.draw("killer")
	began := time.Now()
	for k.made < k.kills {
		slow := chance.IntN(5) == 0
		atStart := chance.IntN(10) == 0
		life := 20*time.Millisecond + time.Duration(chance.Int64N(int64(900*time.Millisecond)))
		if err := k.life(ctx, slow, atStart, life); err != nil {
			return err
		}
		if k.made%20 == 0 || k.made == k.kills {
			k.traffic.mu.Lock()
			fmt.Printf("   %d kills, %d acknowledged, %.0f s\n", k.made, k.traffic.answers, time.Since(began).Seconds())
			k.traffic.mu.Unlock()
		}
	}
	return nil
}

// life is from a start to a kill.
func (k *killer) life(ctx context.Context, slow, atStart bool, life time.Duration) error {
	var faults []string
	if slow {
		faults = inject("fsync,fdatasync,msync", slowSync)
	}
	d, err := k.serve(k.home, faults...)
	if err != nil {
		return err
	}
	defer d.Kill()
	if !atStart {
		if err := d.ready(ctx); err != nil {
			return fmt.Errorf("after %d kills: %w", k.made, err)
		}
	}
	if err := pause(ctx, life); err != nil {
		return err
	}
	if err := d.Ended(); err != nil {
		k.tally.breakPromise(k.traffic.name, "the daemon ended by itself: %v", err)
	}
	held := k.ledger.holding.Load()
	if err := d.kill(ctx); err != nil {
		return err
	}
	k.made++
	if slow {
		k.slow++
	}
	if atStart {
		k.starting++
	}
	if held > 0 {
		k.inFlight++
	}
	return nil
}
