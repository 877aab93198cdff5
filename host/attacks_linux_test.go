package host

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	. "github.com/writ-run/writ/host/wasmtest"
)

// resident is the memory of this process without a race detector's, in bytes.
func resident(t *testing.T) int64 {
	t.Helper()
	runtime.GC()
	debug.FreeOSMemory()
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(statm))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages*int64(os.Getpagesize()) - shadow(t)
}

// What hostile guests took comes back: ten runs of 64 MiB each, of every kind that
// takes memory, leave less behind than one of them had.
func TestMemoryComesBackAfterAttacks(t *testing.T) {
	const size, left = 64 << 20, 48 << 20
	fills := NewGuest(1, 0)
	deep := NewGuest(1, 0)
	deep.Func(Func{Params: "i", Results: "i", Code: Code(Get(0), Call(5), I32(1), Op(I32Add))})
	block := New()
	alloc := block.Import(abi.ModuleExtism, "alloc", "l", "l")
	block.Func(Func{Export: "run", Results: "i", Code: Code(Repeat(I64(1<<20), Call(alloc), Op(0x50), Op(I32Eqz), Op(0x0d, 0)), Op(Unreachable))})
	for name, c := range map[string]struct {
		module       []byte
		plugin, want string
	}{
		"pages": {fills.Run( // grown to the limit and written to, to the last byte
			I32(size>>16-1), Grow(), Op(Drop), I32(0), I32(1), I32(size), Op(0xfc, 11, 0), Op(Unreachable),
		).Bytes(), "", "! trap: the guest trapped: unreachable"},
		"stack":  {deep.Run(I32(0), Call(5)).Bytes(), "", ""},
		"blocks": {block.Bytes(), "run", outOfMemoryLine},
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, s writ.Sandbox) {
				attack := func() {
					run := runOf(t, c.module, `{}`)
					run.Limits.Memory = size
					if c.plugin != "" {
						run.ABI, run.Action = abi.Extism1, c.plugin
					}
					if got := outcomeOf(t, s, run); !strings.HasPrefix(got, "! ") || (c.want != "" && got != c.want) {
						t.Fatalf("got  %s\nwant %s", got, c.want)
					}
				}
				attack() // what stays for good, such as its compiled code, is not counted
				before := resident(t)
				for range 10 {
					attack()
				}
				if grown := resident(t) - before; grown > left {
					t.Fatalf("%d MiB are still there", grown>>20)
				}
			})
		})
	}
}
