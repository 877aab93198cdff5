package host

import (
	"os"
	"strconv"
	"strings"
)

// writableMemory is what RLIMIT_DATA counts of this process: the sixth number of
// proc(5) statm, in pages. 0 where that cannot be read: then the limit is so much
// tighter.
func writableMemory() uint64 {
	statm, err := os.ReadFile("/proc/self/statm")
	fields := strings.Fields(string(statm))
	if err != nil || len(fields) < 6 {
		return 0
	}
	pages, err := strconv.ParseUint(fields[5], 10, 64)
	if err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
}
