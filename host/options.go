package host

import (
	"runtime"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/host/meter"
)

// Options configure a sandbox. The zero Options refuse: where modules are compiled
// must be said, by CompileCommand, CacheDir and CacheKey together.
type Options struct {
	// CompileCommand is a program, by its absolute path, and arguments with which it
	// calls CompileMain and nothing else. It gets no environment.
	CompileCommand []string
	// CompileLimits bound each of its processes.
	CompileLimits CompileLimits
	// CompileInProcessUnsafe compiles in this process instead, without a cache: what
	// a hostile module then takes of memory and time, nothing bounds or interrupts.
	CompileInProcessUnsafe bool
	// CacheDir keeps compiled modules over restarts, mode 0700.
	CacheDir string
	// CacheKey is the key of the HMAC-SHA256 of every file there, at least 32
	// bytes: compiled modules are native code.
	CacheKey []byte
	// CacheBytes is how large the files there may be together; those written first
	// go first. 0: 1 GiB, some 70 Go skills.
	CacheBytes abi.Bytes
	// Modules is the total size of the modules whose compiled form stays in
	// memory, at some 4 to 8 times that size; 0: 64 MiB.
	Modules abi.Bytes
	// Slots is how many guests execute at once. A guest in a tool call holds none,
	// nor does a metered one within its first slice of fuel, about a millisecond.
	// 0: one less than GOMAXPROCS, at least 1.
	Slots int
	// FreshInstances lets no instance serve twice, which costs time and is for
	// measuring that.
	FreshInstances bool
	// GuestOutput receives what guests print and log, on the goroutine of the run
	// and with at most MaxGuestOutput bytes of a run; nil: nobody. It is no effect
	// and stands in no journal.
	GuestOutput func(GuestLine)
	// OnTampered hears of a file in CacheDir that does not match its MAC; nil:
	// nobody. The run answers CodeTampered, the file is removed, and the next run
	// compiles again.
	OnTampered func(module writ.Digest)
}

// GuestLine is a line that a guest printed or logged.
type GuestLine struct {
	Execution writ.ExecutionID
	Step      writ.StepID
	Stream    string // stdout, stderr, log or StreamTrace
	Level     string // of Stream log: trace, debug, info, warn or error
	Text      string // valid UTF-8
}

// Versions of the engines; a test compares them with go.mod.
const (
	wazeroVersion = "v1.12.0"
	extismVersion = "v1.7.1"
)

// minCacheKey is the size of SHA-256's output, below which an HMAC key weakens it.
const minCacheKey = 32

const (
	defaultModules = 64 << 20
	defaultCache   = 1 << 30
)

// EngineID names everything that may make two runs of one module differ: the
// runtime and its version, how it executes, the architecture and what package meter
// did.
// It belongs into the journal's header.
func EngineID() string {
	return engine() + " " + meter.Version
}

// ExtismEngineID is EngineID for a sandbox of NewExtismSandbox.
func ExtismEngineID() string {
	return "extism-go-sdk/" + extismVersion + " " + engine() + " " + guardVersion
}

func engine() string { return "wazero/" + wazeroVersion + " " + execution() + " " + runtime.GOARCH }

// execution is chosen by the architecture alone, so that it can be recorded.
func execution() string {
	switch runtime.GOARCH {
	case "amd64", "arm64":
		return "compiler"
	}
	return "interpreter"
}

func (o *Options) check() error {
	const op = "sandbox"
	switch {
	case o.CompileInProcessUnsafe && (len(o.CompileCommand) > 0 || o.CacheDir != ""):
		return writ.Errorf(writ.CodeInvalid, op, "CompileInProcessUnsafe goes with neither CompileCommand nor CacheDir")
	case !o.CompileInProcessUnsafe && (len(o.CompileCommand) == 0 || o.CacheDir == ""):
		return writ.Errorf(writ.CodeInvalid, op, "there is no process in which to compile modules").
			WithFix("set CompileCommand, CacheDir and CacheKey")
	case o.CacheDir != "" && len(o.CacheKey) < minCacheKey:
		return writ.Errorf(writ.CodeInvalid, op, "CacheKey has %d bytes and needs at least %d", len(o.CacheKey), minCacheKey).
			WithFix("set CacheKey to random bytes that are kept as a secret")
	case o.Slots < 0 || o.Modules < 0 || o.CacheBytes < 0 || !o.CompileLimits.valid():
		return writ.Errorf(writ.CodeInvalid, op, "Slots, Modules, CacheBytes and CompileLimits must not be negative, nor CompileLimits.CPU less than whole seconds")
	}
	return nil
}

func (o *Options) slots() int {
	if o.Slots > 0 {
		return o.Slots
	}
	return max(1, runtime.GOMAXPROCS(0)-1)
}
