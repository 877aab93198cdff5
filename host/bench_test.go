package host

import (
	"context"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/host/wasmtest"
)

// benchGuests are modules of several languages with an input that each can take.
func benchGuests(b *testing.B) map[string]*writ.GuestRun {
	module, err := goGuest()
	if err != nil {
		b.Fatal(err)
	}
	return map[string]*writ.GuestRun{
		"hand": runOf(b, wasmtest.Echo(), `{"a":1}`),
		"go":   runOf(b, module, `{}`),
	}
}

func BenchmarkRun(b *testing.B) {
	for name, run := range benchGuests(b) {
		b.Run(name, func(b *testing.B) {
			s := opened(b, NewSandbox, Options{})
			run.Gate = &silentGate{}
			b.ReportAllocs()
			for b.Loop() {
				result, err := s.Run(context.Background(), run)
				if err != nil || result.Failure != nil {
					b.Fatal(result, err)
				}
			}
		})
	}
}
