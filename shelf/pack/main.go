// Command pack puts .skill files on a shelf, for the build of a release:
//
//	pack ARCHIVE FILE.skill...
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/writ-run/writ/registry"
	"github.com/writ-run/writ/shelf"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	if len(args) < 2 {
		_, _ = fmt.Fprintln(stderr, "usage: pack ARCHIVE FILE.skill...")
		return 2
	}
	archive, size, err := pack(args[1:])
	if err == nil {
		err = os.WriteFile(args[0], archive, 0o644)
	}
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "pack:", err)
		return 1
	}
	_, _ = fmt.Fprintf(stdout, "%s: %d skills, %d bytes of %d\n", args[0], len(args)-1, len(archive), size)
	return 0
}

func pack(files []string) (archive []byte, size int, err error) {
	var items []shelf.Item
	for _, file := range files {
		bundle, err := os.ReadFile(file)
		if err != nil {
			return nil, 0, err
		}
		about, err := registry.Inspect(bundle)
		if err != nil {
			return nil, 0, fmt.Errorf("%s: %w", file, err)
		}
		if len(about.KeyIDs)+len(about.Identities) == 0 {
			return nil, 0, fmt.Errorf("%s: nobody has signed it", file)
		}
		m := about.Manifest
		item := shelf.Item{Entry: shelf.Entry{Name: m.Name, Version: m.Version, Description: m.Description}, Bundle: bundle}
		for i := range m.Actions {
			item.Actions = append(item.Actions, m.Actions[i].Name)
		}
		items, size = append(items, item), size+len(bundle)
	}
	archive, err = shelf.Pack(items)
	return archive, size, err
}
