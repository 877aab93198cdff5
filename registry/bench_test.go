package registry

import (
	"testing"

	"github.com/writ-run/writ/registry/keyless/keylesstest"
)

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

// BenchmarkAttest is one Sigstore bundle, from its JSON to a statement that
// counts. Target with a key: under 500 us.
func BenchmarkAttest(b *testing.B) {
	run := func(name string, h *home, file []byte) {
		b.Run(name, func(b *testing.B) {
			l, issue := open(file, h.opts.Limits)
			t, err := h.trust(h.ctx, h.by.Tenant)
			if issue != nil || err != nil {
				b.Fatal(issue, err)
			}
			c := &court{trust: t, image: l.digest(), at: h.clock().Now()}
			b.ReportAllocs()
			for b.Loop() {
				if _, issue := c.attest(l.referrers[0].bundle); issue != nil {
					b.Fatal(issue.Message)
				}
			}
		})
	}
	h := newHome(b)
	run("key", h, h.bundle())
	h = bareHome(b)
	h.key = mustKey(b, KeyEd25519)
	h.trustKey("acme", h.key)
	run("key-ed25519", h, h.bundle())
	k := newKeylessHome(b)
	run("certificate-timestamp", k.home, k.certified(certified{}))
	k = newKeylessHome(b)
	k.importRoot(k.sigstore.Root(keylesstest.Trusted{Log: true}))
	run("certificate-timestamp-log", k.home, k.certified(certified{how: keylesstest.Signing{Log: true}}))
}
