package contract

import (
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// Class says whom a change concerns.
type Class string

// The classes. Breaking: a caller that was right may fail. Additive: nobody
// fails, and there is something new. Editorial: words alone.
const (
	Breaking  Class = "breaking"
	Additive  Class = "additive"
	Editorial Class = "editorial"
)

func (c Class) rank() int {
	return slices.Index([]Class{Editorial, Additive, Breaking}, c)
}

// Change is one difference between two snapshots.
type Change struct {
	Key     string `json:"key"`   // of the contract, event or capability
	Place   string `json:"place"` // JSON pointer into it; empty: the whole
	Class   Class  `json:"class"`
	Message string `json:"message"`
}

// Impact lists what changed from old to now, sorted by key and place.
func Impact(old, now *Snapshot) []Change {
	var d differ
	compare(&d, old.Contracts, now.Contracts, pairing[SnapContract]{"contract", func(c SnapContract) string { return c.Key }, d.contract})
	compare(&d, old.Events, now.Events, pairing[SnapEvent]{"event", func(e SnapEvent) string { return e.Key }, d.event})
	compare(&d, old.Capabilities, now.Capabilities, pairing[Capability]{"capability", func(c Capability) string { return c.Key }, d.capability})
	slices.SortFunc(d.changes, func(a, b Change) int {
		return cmp.Or(compareText(a.Key, b.Key), compareText(a.Place, b.Place), compareText(a.Message, b.Message))
	})
	return d.changes
}

type differ struct {
	key     string
	changes []Change
}

func (d *differ) add(class Class, place, format string, args ...any) {
	d.changes = append(d.changes, Change{Key: d.key, Place: place, Class: class, Message: fmt.Sprintf(format, args...)})
}

// pairing says how the members of two lists belong together.
type pairing[T any] struct {
	noun string
	key  func(T) string
	both func(a, b *T) // compares two of the same key
}

func compare[T any](d *differ, old, now []T, by pairing[T]) {
	find := func(list []T, want string) int {
		return slices.IndexFunc(list, func(t T) bool { return by.key(t) == want })
	}
	for i := range old {
		d.key = by.key(old[i])
		if j := find(now, d.key); j >= 0 {
			by.both(&old[i], &now[j])
		} else {
			d.add(Breaking, "", "the %s is gone", by.noun)
		}
	}
	for i := range now {
		d.key = by.key(now[i])
		if find(old, d.key) < 0 {
			d.add(Additive, "", "the %s is new", by.noun)
		}
	}
}

func (d *differ) contract(a, b *SnapContract) {
	d.fixed("/kind", string(a.Kind), string(b.Kind))
	d.fixed("/capability", a.Capability, b.Capability)
	d.cli(a.CLI, b.CLI)
	d.ordered("/auth", "auth", slices.Index(authLevels, a.Auth), slices.Index(authLevels, b.Auth))
	d.ordered("/stability", "stability", slices.Index(stabilities, a.Stability), slices.Index(stabilities, b.Stability))
	d.promise("/idempotent", a.Idempotent, b.Idempotent)
	d.failures(a.Errors, b.Errors)
	d.set("/emits", a.Emits, b.Emits, Breaking)
	d.set("/pii", a.PII, b.PII, Editorial)
	d.text("/title", a.Title, b.Title)
	d.text("/description", a.Description, b.Description)
	d.text("/goal", a.Goal, b.Goal)
	d.text("/context", a.Context, b.Context)
	d.text("/owners", strings.Join(a.Owners, " "), strings.Join(b.Owners, " "))
	d.text("/tags", strings.Join(a.Tags, " "), strings.Join(b.Tags, " "))
	d.schema(received, "/input", a.Input, b.Input)
	d.schema(given, "/output", a.Output, b.Output)
}

func (d *differ) event(a, b *SnapEvent) {
	d.fixed("/capability", a.Capability, b.Capability)
	d.set("/pii", a.PII, b.PII, Editorial)
	d.text("/title", a.Title, b.Title)
	d.text("/description", a.Description, b.Description)
	d.schema(given, "/data", a.Data, b.Data)
}

func (d *differ) capability(a, b *Capability) {
	d.text("/title", a.Title, b.Title)
	d.text("/description", a.Description, b.Description)
}

// Strictest last: what moves up asks more of a caller.
var (
	authLevels  = []Auth{User, Operator, Admin, System}
	stabilities = []Stability{Stable, Experimental}
)

func (d *differ) fixed(place, a, b string) {
	if a != b {
		d.add(Breaking, place, "was %q, is %q", a, b)
	}
}

func (d *differ) text(place, a, b string) {
	if a != b {
		d.add(Editorial, place, "reworded")
	}
}

func (d *differ) cli(a, b string) {
	if a == "" && b != "" {
		d.add(Additive, "/cli", "is reached by %q", b)
		return
	}
	d.fixed("/cli", a, b)
}

func (d *differ) ordered(place, what string, a, b int) {
	switch {
	case b > a:
		d.add(Breaking, place, "%s asks more of a caller", what)
	case b < a:
		d.add(Additive, place, "%s asks less of a caller", what)
	}
}

func (d *differ) promise(place string, a, b bool) {
	switch {
	case a && !b:
		d.add(Breaking, place, "is promised no more")
	case b && !a:
		d.add(Additive, place, "is promised")
	}
}

// set: a member that goes has the class gone, one that comes is additive, or
// editorial where its going is.
func (d *differ) set(place string, a, b []string, gone Class) {
	for _, member := range a {
		if !slices.Contains(b, member) {
			d.add(gone, place, "%s is gone", member)
		}
	}
	come := Additive
	if gone == Editorial {
		come = Editorial
	}
	for _, member := range b {
		if !slices.Contains(a, member) {
			d.add(come, place, "%s is new", member)
		}
	}
}

func (d *differ) failures(a, b []Failure) {
	index := func(list []Failure, f Failure) int {
		return slices.IndexFunc(list, func(x Failure) bool { return x.Code == f.Code })
	}
	for _, was := range a {
		place := "/errors/" + string(was.Code)
		i := index(b, was)
		switch {
		case i < 0:
			d.add(Additive, place, "does not happen any more")
		case b[i].HTTP != was.HTTP:
			d.add(Breaking, place, "had the status %d, has %d", was.HTTP, b[i].HTTP)
		case b[i] != was:
			d.add(Editorial, place, "reworded")
		}
	}
	for _, is := range b {
		if index(a, is) < 0 {
			d.add(Additive, "/errors/"+string(is.Code), "is new")
		}
	}
}

func worstOf(changes []Change) Class {
	worst := Editorial
	for _, c := range changes {
		if c.Class.rank() > worst.rank() {
			worst = c.Class
		}
	}
	return worst
}

// bump is the least version after v for a change of the class. Where v is no
// version, it is v itself, which nothing reaches.
func bump(v string, class Class) string {
	version, err := semver.StrictNewVersion(v)
	if err != nil {
		return v
	}
	switch class {
	case Breaking:
		return version.IncMajor().String()
	case Additive:
		return version.IncMinor().String()
	}
	return version.IncPatch().String()
}

func reaches(have, want string) bool {
	h, err := semver.StrictNewVersion(have)
	if err != nil {
		return false
	}
	w, err := semver.StrictNewVersion(want)
	return err == nil && !h.LessThan(w)
}

func compareText(a, b string) int { return cmp.Compare(a, b) }

// same compares two values by their JSON, so a schema that was read compares
// equal to the one that was written.
func same(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	if errX != nil || errY != nil {
		return false
	}
	var v, w any
	return json.Unmarshal(x, &v) == nil && json.Unmarshal(y, &w) == nil && reflect.DeepEqual(v, w)
}
