package trace_test

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/writ-run/writ/trace"
)

func TestAdhoc(t *testing.T) {
	h := makeHomes(t)
	for _, pat := range []string{"*.mem", "*.vlog", "MANIFEST", "KEYREGISTRY"} {
		for i := range 25 {
			home := copyHome(t, h.crashed)
			p := largest(t, home, pat)
			info, _ := os.Stat(p)
			n := min(info.Size(), 90_000)
			if i < 12 { n = min(n, 40) }
			off := rand.Int64N(n)
			b, _ := os.ReadFile(p)
			old := b[off]
			flipAt(t, p, off)
			j, err := trace.Open(context.Background(), options(home))
			if err != nil { t.Log(pat, off, old, "refused"); continue }
			rep, err := j.VerifyAll(context.Background(), "")
			if err != nil || !rep.Valid() || rep.Records < 210 { t.Errorf("%s %d %d: %+v %v", pat, off, old, rep, err) } else { t.Log(pat, off, old, "complete") }
			j.Close(context.Background())
			os.RemoveAll(filepath.Join(home, "db"))
		}
	}
}
