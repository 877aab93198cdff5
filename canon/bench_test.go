package canon_test

import (
	"testing"

	"github.com/writ-run/writ/canon"
)

func BenchmarkSum(b *testing.B) {
	salt, data := make([]byte, 16), make([]byte, 1024)
	b.ReportAllocs()
	for b.Loop() {
		canon.Sum(canon.DomainPayload, salt, data)
	}
}
