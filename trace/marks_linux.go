package trace

import (
	"fmt"
	"io/fs"
	"syscall"
)

// mark is what changes when somebody writes to a file, replaces it or sets its
// time back.
func mark(info fs.FileInfo) string {
	text := fmt.Sprintf("%d %d", info.Size(), info.ModTime().UnixNano())
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		text += fmt.Sprintf(" %d %d %d", stat.Ctim.Nano(), stat.Dev, stat.Ino)
	}
	return text
}
