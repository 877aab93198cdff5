package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/registry"
	"github.com/writ-run/writ/shelf"
)

// skillForm is how a skill is named where a file could stand as well.
var skillForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*/[a-z0-9][a-z0-9-]*(?:@[0-9A-Za-z.-]+)?$`)

// carriedName reports whether an argument names a skill of the binary. A file of
// the same name comes first, so that no path changes its meaning.
func carriedName(arg string) bool {
	if !skillForm.MatchString(arg) || strings.HasSuffix(arg, ".skill") {
		return false
	}
	_, err := os.Stat(arg)
	return err != nil
}

// carriedBundle is the .skill file of a skill that this binary carries. It is as
// untrusted as any other until it has been verified.
func carriedBundle(name string) ([]byte, error) {
	s, err := carried()
	if err != nil {
		return nil, err
	}
	bundle, err := s.Bundle(name)
	if errors.Is(err, shelf.ErrAbsent) {
		return nil, writ.Errorf(writ.CodeNotFound, "skill "+name, "this binary does not carry it").WithFix("one of: %s; or give the path of a .skill file", carriedNames(s))
	}
	return bundle, err
}

func carried() (*shelf.Shelf, error) {
	s, err := shelf.Open(carriedSkills)
	if err != nil {
		return nil, &writ.Error{Code: writ.CodeInternal, Op: "first-party skills", Message: err.Error(), Err: err, Fix: "build the binary again with `make`"}
	}
	if len(s.Entries()) == 0 {
		return nil, writ.Errorf(writ.CodeNotFound, "first-party skills", "this binary carries none: it was built by `go build` alone").
			WithFix("build it with `make`, or make .skill files with `make skills` and install those")
	}
	return s, nil
}

func carriedNames(s *shelf.Shelf) string {
	var names []string
	for _, e := range s.Entries() {
		names = append(names, e.Name)
	}
	return strings.Join(names, ", ")
}

// listCarried is `skill list --available`.
func (a *app) listCarried() error {
	s, err := carried()
	if err != nil {
		return err
	}
	entries := s.Entries()
	return a.print(map[string]any{"items": entries}, func(t *table) {
		t.head("skill", "version", "size", "actions", "what it does")
		for i := range entries {
			e := &entries[i]
			t.row(e.Name, e.Version, fmt.Sprintf("%.1f MB", float64(e.Size)/1e6), fmt.Sprint(len(e.Actions)), e.Description)
		}
		t.flush()
		t.line("next: writ trust add writ --first-party && writ skill install %s", entries[0].Name)
	})
}

// carriedSource names such a skill to the host, whose own binary serves it.
func carriedSource(name string) string { return registry.CarriedSource + name }
