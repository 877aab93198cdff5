package registry

import "testing"

// BenchmarkVerify is one bundle from bytes to report: gate, digests, two P-256
// signatures, manifest and module. Target: under 500 us.
func BenchmarkVerify(b *testing.B) {
	h := newHome(b)
	file := h.bundle()
	b.ReportAllocs()
	for b.Loop() {
		report, err := h.Examine(h.ctx, h.by.Tenant, file)
		if err != nil || !report.OK() {
			b.Fatal(err, report.Issues)
		}
	}
}

// BenchmarkLoad is what a step pays while the files stay untouched.
func BenchmarkLoad(b *testing.B) {
	h := newHome(b)
	h.aged()
	ref := h.install(h.bundle()).Ref
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.load(ref); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReload is a load that reads and verifies everything.
func BenchmarkReload(b *testing.B) {
	h := newHome(b)
	ref := h.install(h.bundle()).Ref
	for b.Loop() {
		if _, err := h.load(ref); err != nil {
			b.Fatal(err)
		}
	}
}
