package trace_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/trace"
)

var (
	kills     = flag.Int("kills", 25, "how often the writing process is killed")
	writerDir = flag.String("writer", "", "be the process that is killed, writing to this directory")
	round     = flag.Int("round", 0, "of the killed process")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if *writerDir != "" {
		os.Exit(writeUntilKilled(*writerDir, *round))
	}
	os.Exit(m.Run())
}

const crashStreams = 4

// writeUntilKilled appends to several streams at once and says what was
// acknowledged, a line each: the stream's number and its last record.
func writeUntilKilled(dir string, round int) int {
	j, err := trace.Open(context.Background(), options(dir))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var out sync.Mutex
	var writers sync.WaitGroup
	for s := range crashStreams {
		writers.Go(func() {
			number := round*crashStreams + s
			records := []writ.NewRecord{received(number)}
			for seq := uint64(0); ; {
				receipt, err := j.Append(context.Background(), batchOf(execID(number), seq, records...))
				if err == nil {
					err = j.Barrier(context.Background(), receipt.Position)
				}
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				seq = receipt.Seq
				records = []writ.NewRecord{note(int(seq)), note(int(seq) + 1)}[:1+seq%2]
				out.Lock()
				fmt.Println(number, seq)
				out.Unlock()
			}
		})
	}
	writers.Wait()
	return 0
}

// killedRun starts a writer, kills it after some acknowledgements and returns
// the last one of each stream.
func killedRun(t *testing.T, dir string, round, lines int) map[int]uint64 {
	t.Helper()
	child := exec.Command(os.Args[0], "-writer", dir, "-round", fmt.Sprint(round))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	acknowledged := map[int]uint64{}
	scanner := bufio.NewScanner(out)
	for n := 0; scanner.Scan(); n++ {
		var stream int
		var seq uint64
		if _, err := fmt.Sscan(scanner.Text(), &stream, &seq); err != nil {
			continue // the line at which it was killed
		}
		acknowledged[stream] = seq
		if n == lines {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	var exit *exec.ExitError
	if err := child.Wait(); !errors.As(err, &exit) || exit.ExitCode() != -1 {
		t.Fatalf("the writer was not killed: %v", err)
	}
	return acknowledged
}

func TestKilledWriterLosesNothing(t *testing.T) {
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(1, 2))
	all := map[int]uint64{}
	for r := range *kills {
		for stream, seq := range killedRun(t, dir, r, random.IntN(200)) {
			all[stream] = seq
		}
		if r%5 != 0 && r != *kills-1 {
			continue // the next writer opens it: that is a check too
		}
		j, err := trace.Open(context.Background(), options(dir))
		if err != nil {
			t.Fatalf("round %d: %v", r, err)
		}
		checkAll(t, j, all)
		closeJournal(t, j)
	}
}

// checkAll wants every acknowledged record and a store that verifies.
func checkAll(t *testing.T, j *trace.Journal, acknowledged map[int]uint64) {
	t.Helper()
	for stream, seq := range acknowledged {
		records, err := j.Records(context.Background(), writ.RecordQuery{Tenant: tenant, Stream: execID(stream)})
		if err != nil || uint64(len(records)) < seq {
			t.Fatalf("stream %d: %d records, %d acknowledged: %v", stream, len(records), seq, err)
		}
	}
	report, err := j.VerifyAll(context.Background(), "")
	if err != nil || !report.Valid() {
		t.Fatalf("%+v %v", report, err)
	}
}

// copyHome copies what a power cut would leave. Badger may write tables in the
// meantime, so the order matters: a log that has gone when its turn comes is in a
// table that the manifest, which is copied after it, names.
func copyHome(t testing.TB, from string) string {
	to := t.TempDir()
	if err := os.Mkdir(filepath.Join(to, "db"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"db/*.mem", "db/MANIFEST", "db/*.sst", "db/*.vlog", "db/KEYREGISTRY", "db/DISCARD", "anchor"} {
		names, err := filepath.Glob(filepath.Join(from, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			rest, err := filepath.Rel(from, name)
			if err != nil {
				t.Fatal(err)
			}
			copyFile(t, name, filepath.Join(to, rest))
		}
	}
	return to
}

func copyFile(t testing.TB, from, to string) {
	in, err := os.Open(from)
	if errors.Is(err, os.ErrNotExist) && filepath.Ext(from) == ".mem" {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// The files are copied between a commit and the next write, so the copy holds
// what was synced. More writes go on afterwards.
func TestPowerCut(t *testing.T) {
	dir := t.TempDir()
	type cut struct {
		home     string
		position writ.Position
	}
	var cuts []cut // of the writer alone until Close
	commits := 0
	opts := options(dir)
	opts.OnCommit = func(p writ.Position) {
		if commits++; commits%9 == 5 && len(cuts) < 5 {
			cuts = append(cuts, cut{copyHome(t, dir), p})
		}
	}
	j := open(t, opts)
	large := make([]byte, 600<<10) // several memtables' worth in all
	var wg sync.WaitGroup
	for s := range 4 {
		wg.Go(func() {
			record := received(s)
			for seq := uint64(0); seq < 40; seq++ {
				if seq%2 == 0 {
					record.Payloads = append(record.Payloads, writ.Payload{Name: "output", Data: large})
				}
				receipt, err := j.Append(context.Background(), batchOf(execID(s), seq, record))
				if err == nil && seq%3 != 0 {
					err = j.Barrier(context.Background(), receipt.Position)
				}
				if err != nil {
					t.Error(err)
					return
				}
				record = note(int(seq))
			}
		})
	}
	wg.Wait()
	var written []writ.Stored
	ctx, cancel := context.WithCancel(context.Background())
	if err := j.Feed(ctx, tenant, 0, func(s *writ.Stored) error {
		if written = append(written, *s); len(written) == 160 {
			cancel()
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	closeJournal(t, j)
	if len(cuts) < 3 {
		t.Fatalf("only %d cuts", len(cuts))
	}
	for _, c := range cuts {
		restored := open(t, options(c.home))
		if restored.Durable() < c.position {
			t.Fatalf("the copy ends at %d, %d was durable", restored.Durable(), c.position)
		}
		last := map[int]uint64{}
		for _, s := range written {
			var stream int
			if _, err := fmt.Sscanf(string(s.Stream), "exe_%d", &stream); err != nil {
				t.Fatal(err)
			}
			if s.Position <= c.position {
				last[stream] = s.Seq
			}
		}
		checkAll(t, restored, last)
		closeJournal(t, restored)
	}
}

// A store whose anchor cannot be written any more stops: what it acknowledged
// from then on could be taken away unnoticed.
func TestAnAnchorThatCannotBeWrittenEndsTheJournal(t *testing.T) {
	dir := t.TempDir()
	failed := make(chan error, 1)
	opts := options(dir)
	opts.AnchorEvery = time.Millisecond
	opts.OnPoison = func(err error) { failed <- err }
	j, err := trace.Open(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	// A directory in its place cannot be replaced by a file.
	if err := errors.Join(os.Remove(filepath.Join(dir, "anchor")), os.MkdirAll(filepath.Join(dir, "anchor", "x"), 0o700)); err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		receipt, err := j.Append(context.Background(), batchOf(execID(i), 0, received(i)))
		if err == nil {
			err = j.Barrier(context.Background(), receipt.Position)
		}
		if err != nil {
			wantCode(t, err, writ.CodeUnavailable)
			break
		}
	}
	if err := <-failed; !strings.Contains(err.Error(), "anchor") {
		t.Fatal(err)
	}
	wantCode(t, j.Close(context.Background()), writ.CodeUnavailable)
}
