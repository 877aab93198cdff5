// Command goguest is a guest of the stock Go toolchain that uses whatever could
// differ between two runs, and tries to reach what it must not.
package main

import (
	"crypto/rand"
	"fmt"
	mrand "math/rand/v2"
	"os"
	"sort"
	"strings"
	"time"
	"unsafe"
)

//go:wasmimport writ:core/v1 output
func output(p unsafe.Pointer, n uint32)

func say(format string, args ...any) {
	text := fmt.Sprintf("%q", fmt.Sprintf(format, args...))
	output(unsafe.Pointer(unsafe.StringData(text)), uint32(len(text)))
}

//go:wasmexport writ_run
func run() int32 {
	if os.Getenv("HOME") != "" || len(os.Environ()) > 0 {
		say("reached the environment")
		return 0
	}
	if _, err := os.ReadFile("/etc/passwd"); err == nil {
		say("reached a file")
		return 0
	}
	if _, err := os.ReadDir("."); err == nil {
		say("reached a directory")
		return 0
	}
	fmt.Println("hello", "stdout")
	fmt.Fprintln(os.Stderr, "hello stderr")
	say("%s", nondeterminism())
	return 0
}

func nondeterminism() string {
	var b strings.Builder
	fmt.Fprintln(&b, len(os.Args), time.Now().UTC().Format(time.RFC3339Nano))
	begin := time.Now()
	time.Sleep(90 * time.Minute)
	fmt.Fprintln(&b, time.Since(begin) >= 90*time.Minute, mrand.Uint64())
	for k := range map[int]bool{1: true, 2: true, 3: true, 4: true, 5: true, 6: true, 7: true} {
		fmt.Fprint(&b, k, " ")
	}
	random := make([]byte, 8)
	rand.Read(random)
	fmt.Fprintf(&b, "%x\n", random)
	results := make(chan int)
	for i := range 10 {
		go func() { results <- i * int(mrand.Uint32N(100)) }()
	}
	var order []int
	for range 10 {
		order = append(order, <-results)
	}
	fmt.Fprintln(&b, order)
	sort.Ints(order)
	fmt.Fprintln(&b, order, time.Now().UTC().Format(time.RFC3339Nano))
	return b.String()
}

func main() {}
