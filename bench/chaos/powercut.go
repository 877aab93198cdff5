//go:build linux

package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/writ-run/writ"
)

// playPowerCuts copies the store as of a completed sync, in the middle of work,
// and goes on from the copy. The writer is held meanwhile, and the host that
// it belongs to is heard of no more: what it acknowledged is in the copy.
func (s *stage) playPowerCuts(ctx context.Context) error {
	const name = "power cuts"
	before := s.tally.soFar()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	p := &powercut{stage: s, key: key}
	if err := p.open(ctx, filepath.Join(s.dir, "power-0")); err != nil {
		return err
	}
	defer func() { _ = p.node.close(ctx) }()
	c, err := p.node.settle(ctx)
	if err != nil {
		return err
	}
	d, aim := c.doors()
	aim(p.node)
	t := newTraffic(s, name, d)
	t.approver = c.approver
	t.start(ctx, clients)
	chance := s.draw("cutter")
	made := 0
	for ; made < s.cuts && err == nil; made++ {
		if err = pause(ctx, 50*time.Millisecond+time.Duration(chance.Int64N(int64(350*time.Millisecond)))); err == nil {
			err = p.cut(ctx, made+1, aim)
		}
	}
	t.halt()
	if err != nil {
		s.tally.breakPromise(name, "cut %d: %v", made, err)
		return nil
	}
	s.tally.atLeast(name, "cuts", made, s.cuts)
	s.tally.count(name, "... with a request under way", p.inFlight)
	err = s.settleAndCheck(ctx, t)
	s.tally.close(name, before)
	return err
}

// powercut is the node that is there and what cuts its power.
type powercut struct {
	*stage
	key      ed25519.PrivateKey
	node     *node
	armed    atomic.Pointer[string] // where to copy the store at the next commit
	copied   chan error
	inFlight int
}

func (p *powercut) open(ctx context.Context, home string) (err error) {
	p.copied = make(chan error, 1)
	var n atomic.Pointer[node]
	n0, err := openNode(ctx, nodeOptions{home: home, clock: time.Now, key: p.key, ledger: p.ledger, onCommit: func(writ.Position) {
		to := p.armed.Load()
		if to == nil || n.Load() == nil || !p.armed.CompareAndSwap(to, nil) {
			return
		}
		err := copyStore(home, *to)
		// From here on it is dead to the server and to its clients.
		n.Load().gate.shut()
		n.Load().gone.Store(true)
		p.copied <- err
	}})
	if err != nil {
		return err
	}
	n.Store(n0)
	p.node = n0
	return nil
}

// cut ends the node at its next commit and opens what a power cut would leave.
func (p *powercut) cut(ctx context.Context, number int, aim func(*node)) error {
	to := filepath.Join(p.dir, fmt.Sprintf("power-%d", number))
	old := p.node
	held := p.ledger.holding.Load()
	p.armed.Store(&to)
	select {
	case err := <-p.copied:
		if err != nil {
			return err
		}
	case <-time.After(startTimeout):
		return errors.New("nothing was committed")
	case <-ctx.Done():
		return ctx.Err()
	}
	if held > 0 {
		p.inFlight++
	}
	aim(nil)
	_ = old.close(ctx) // what becomes of it is not looked at
	for _, part := range []string{"skills", "policy"} {
		if err := copyTree(filepath.Join(old.home, part), filepath.Join(to, part)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if !p.keep {
		if err := os.RemoveAll(old.home); err != nil {
			return err
		}
	}
	if err := p.open(ctx, to); err != nil {
		return err
	}
	aim(p.node)
	if number%5 == 0 {
		fmt.Printf("   %d cuts\n", number)
	}
	return nil
}
