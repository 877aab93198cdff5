package host

import (
	"context"
	"maps"
	"slices"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/host/wasmtest"
)

// benchGuests are a hand-made echo and the conformance skill in each language.
func benchGuests(b *testing.B) map[string]*writ.GuestRun {
	guests := map[string]*writ.GuestRun{"hand": runOf(b, wasmtest.Echo(), `{"a":1}`)}
	for language, module := range conformanceModules(b) {
		guests[language] = actionRun(b, module, "echo", `{"a":1}`)
	}
	for _, run := range guests {
		run.Gate = &silentGate{}
	}
	return guests
}

// onEachGuest runs bench for each guest, in an order that does not change, with
// its program warm.
func onEachGuest(b *testing.B, bench func(b *testing.B, s writ.Sandbox, p *nativeProgram, run *writ.GuestRun)) {
	guests := benchGuests(b)
	for _, name := range slices.Sorted(maps.Keys(guests)) {
		run := guests[name]
		run.Limits.Memory = smallMemory
		b.Run(name, func(b *testing.B) {
			s := opened(b, NewSandbox, Options{})
			p := programOf(b, s, run.Module)
			fuel := uint64(0)
			for range 2 {
				result, err := s.Run(context.Background(), run)
				if err != nil || result.Failure != nil {
					b.Fatal(result, err)
				}
				fuel = result.Fuel
			}
			b.ReportAllocs()
			bench(b, s, p, run)
			b.ReportMetric(float64(fuel), "fuel")
		})
	}
}

// BenchmarkRun is a whole run in an instance that is used again.
func BenchmarkRun(b *testing.B) {
	onEachGuest(b, func(b *testing.B, s writ.Sandbox, _ *nativeProgram, run *writ.GuestRun) {
		for b.Loop() {
			if _, err := s.Run(context.Background(), run); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// benchInstance makes an instance, which origin decides how, and discards it.
func benchInstance(b *testing.B, origin string) {
	onEachGuest(b, func(b *testing.B, s writ.Sandbox, p *nativeProgram, run *writ.GuestRun) {
		limits, err := checkRun(run)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			origins[origin](p)
			g := newGuest(run, limits, s.(*sandbox).slots)
			ctx := withGuest(context.Background(), g)
			i, err := p.instance(ctx, g)
			if err != nil {
				b.Fatal(err)
			}
			i.close(ctx)
			g.yield()
		}
	})
}

// BenchmarkFresh instantiates and initialises, which only the first run of a
// program does.
func BenchmarkFresh(b *testing.B) { benchInstance(b, "fresh") }

// BenchmarkClone copies the snapshot.
func BenchmarkClone(b *testing.B) { benchInstance(b, "cloned") }

// BenchmarkReset puts an instance back, as a run that wrote what runs usually do
// has to: the pages are touched, as a guest would.
func BenchmarkReset(b *testing.B) {
	onEachGuest(b, func(b *testing.B, _ writ.Sandbox, p *nativeProgram, _ *writ.GuestRun) {
		i := p.pool.take(p)
		var warm []span
		if known := p.warm.Load(); known != nil {
			warm = *known
		}
		for b.Loop() {
			for _, w := range warm {
				for at := w.from; at < w.to; at += granule {
					i.memory.buf[at]++
				}
			}
			i.rewind()
			if err := i.from.restore(i.memory.buf, warm); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(i.cost-idleCost)/granule, "warm-pages")
		i.discard(context.Background())
	})
}
