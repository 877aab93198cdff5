package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/registry/remote"
)

// The bar is drawn now and then, stays within its width, ends full and goes away; and
// nothing is drawn where nobody looks.
func TestProgressBar(t *testing.T) {
	var out strings.Builder
	at := time.Unix(1000, 0)
	b := &bar{w: &out, verb: "pulling", clock: func() time.Time { return at }}
	b.show(remote.Progress{})
	for done := int64(0); done <= 1<<20; done += 1 << 12 {
		at = at.Add(10 * time.Millisecond)
		b.show(remote.Progress{Done: done, Total: 1 << 20})
	}
	b.show(remote.Progress{Done: 5 << 20, Total: 1 << 20})
	b.end()
	lines := strings.Split(out.String(), "\r\x1b[K")
	if n := len(lines); n < 20 || n > 40 {
		t.Errorf("%d lines", n)
	}
	if last := lines[len(lines)-2]; last != "pulling ["+strings.Repeat("=", barWidth)+"] 100%  1.0 MiB of 1.0 MiB" || lines[len(lines)-1] != "" {
		t.Errorf("%q", lines[len(lines)-2:])
	}
	for _, line := range lines {
		if len(line) > 79 {
			t.Errorf("%q is too long", line)
		}
	}
	file, err := os.Create(t.TempDir() + "/err")
	if err != nil {
		t.Fatal(err)
	}
	a := &app{stdio: stdio{err: file}, clock: time.Now}
	a.flags.output = "table"
	quiet := a.progressBar("pulling")
	quiet.show(remote.Progress{Done: 1, Total: 1})
	quiet.end()
	if info, err := file.Stat(); err != nil || info.Size() != 0 {
		t.Errorf("%v %v", info, err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}
