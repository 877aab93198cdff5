package policy

import (
	"testing"
)

func TestTheDefaultBundleKeepsTheFloor(t *testing.T) {
	if err := compileDefault(t).keepsFloor(t.Context()); err != nil {
		t.Error(err)
	}
}

func BenchmarkFloor(b *testing.B) {
	p := compileDefault(b)
	n := 0
	for range floorCases() {
		n++
	}
	for b.Loop() {
		if err := p.keepsFloor(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n), "questions")
}
