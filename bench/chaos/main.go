//go:build linux

// Command chaos breaks a host in many ways while it works and checks what it
// promises: nothing acknowledged is lost, no effect happens twice under one
// key, every chain verifies and every completed execution replays. It prints a
// table of counts and fails where a promise is broken. Rows also go to
// bench/out/chaos.json.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"time"

	"github.com/writ-run/writ/bench/report"
)

type options struct {
	binary, source, out, only string
	kills, cuts               int
	seed                      uint64
	keep                      bool
}

func main() {
	var o options
	flag.StringVar(&o.binary, "writ", filepath.Join("bin", "writ"), "the binary")
	flag.StringVar(&o.source, "source", ".", "the repository's root")
	flag.StringVar(&o.out, "out", filepath.Join("bench", "out", "chaos.json"), "file of the result")
	flag.StringVar(&o.only, "only", "", "regular expression of the scenes to play, such as kills")
	flag.IntVar(&o.kills, "kills", 200, "how often the daemon is killed")
	flag.IntVar(&o.cuts, "cuts", 20, "how often the power is cut")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "of everything that is drawn; a run is repeated with its seed")
	flag.BoolVar(&o.keep, "keep", false, "keep the homes and logs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := play(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

// stage is what the scenes share: a home to copy, the server whose effects are
// counted, and the tally.
type stage struct {
	options
	dir    string
	strace string
	model  *model
	ledger *ledger
	tally  *tally
}

// draw makes the chance of one scene: it does not depend on which others are played.
func (s *stage) draw(scene string) *rand.Rand {
	h := s.seed
	for _, c := range []byte(scene) {
		h = h*1099511628211 + uint64(c)
	}
	return rand.New(rand.NewPCG(s.seed, h))
}

func play(ctx context.Context, o options) (err error) {
	wanted, err := regexp.Compile(o.only)
	if err != nil {
		return err
	}
	fmt.Printf("seed %d: go run ./bench/chaos -seed %d repeats this run's draws\n", o.seed, o.seed)
	s, err := newStage(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for _, scene := range []struct {
		name string
		play func(context.Context) error
	}{
		{"kills", s.playKills},
		{"power cuts", s.playPowerCuts},
		{"errors", s.playErrors},
		{"full disk", s.playFullDisk},
		{"damage", s.playDamage},
		{"clock", s.playClock},
	} {
		if !wanted.MatchString(scene.name) {
			continue
		}
		began := time.Now()
		fmt.Printf("== %s\n", scene.name)
		if err := scene.play(ctx); err != nil {
			return fmt.Errorf("%s: %w", scene.name, err)
		}
		fmt.Printf("   %s took %.0f s\n", scene.name, time.Since(began).Seconds())
	}
	return s.finish()
}

func newStage(ctx context.Context, o options) (*stage, error) {
	s := &stage{options: o, tally: &tally{}}
	var err error
	if s.binary, err = filepath.Abs(o.binary); err != nil {
		return nil, err
	}
	if _, err := os.Stat(s.binary); err != nil {
		return nil, fmt.Errorf("%s is not built: run `make build`", o.binary)
	}
	if s.strace, err = lookStrace(); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "chaos-"); err != nil {
		return nil, err
	}
	if s.ledger, err = openLedger(s.draw("ledger")); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if s.model, err = s.makeModel(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *stage) close() error {
	if s.ledger != nil {
		s.ledger.close()
	}
	if s.keep || len(s.tally.broken) > 0 {
		fmt.Println("homes and logs are kept in", s.dir)
		return nil
	}
	return os.RemoveAll(s.dir)
}

// finish prints and writes the rows, and is an error where a promise was broken.
func (s *stage) finish() error {
	if err := report.WriteJSON(s.out, s.tally.rows); err != nil {
		return err
	}
	if err := report.Print(os.Stdout, s.tally.rows); err != nil {
		return err
	}
	if n := len(s.tally.broken); n > 0 {
		return fmt.Errorf("%d promises were broken with seed %d; the first: %s", n, s.seed, s.tally.broken[0])
	}
	fmt.Println("no promise was broken")
	return nil
}
