package main

import (
	"os"
	"path/filepath"
	"testing"
)

// Whatever stands in a case, it is a case with an action and one outcome, or an error.
func FuzzReadCase(f *testing.F) {
	seeds, err := filepath.Glob(filepath.Join("testdata", "fixtures", "cases", "*", "testdata", "*"))
	if err != nil || len(seeds) == 0 {
		f.Fatal(seeds, err)
	}
	for _, seed := range seeds {
		raw, err := os.ReadFile(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, filepath.Ext(seed) == ".txtar")
	}
	f.Add([]byte("-- calls --\n\n \n!\n ! \n"), true)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, raw []byte, archive bool) {
		file := filepath.Join(dir, "case.json")
		if archive {
			file = filepath.Join(dir, "case.txtar")
		}
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := readCase(file)
		if err != nil {
			return
		}
		if c.Action == "" || c.Input == nil || (c.Output == nil) == (c.Failure == "") {
			t.Errorf("%+v is no case", c)
		}
		newScript(c).fault()
	})
}
