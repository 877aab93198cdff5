package scaffold

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

const (
	wasmHeader     = "\x00asm\x01\x00\x00\x00"
	sectionImports = 2
)

// The import modules of package abi; a test compares them. This package runs in
// the author's command and needs nothing of the guest's.
const (
	moduleCore = "writ:core/v1"
	moduleTool = "writ:tool/v1"
	moduleWASI = "wasi_snapshot_preview1"
)

var errModule = errors.New("not a WebAssembly module, or one that is cut off")

// Tools lists the tools that a module imports, sorted: what its manifest must
// declare under capabilities. An import from a module that no host serves is an
// error, because such a skill cannot be installed.
func Tools(module []byte) ([]string, error) {
	if len(module) < len(wasmHeader) || string(module[:len(wasmHeader)]) != wasmHeader {
		return nil, errModule
	}
	r := &reader{rest: module[len(wasmHeader):]}
	for len(r.rest) > 0 && !r.bad {
		id := r.byte()
		body := r.take(r.uint())
		if id == sectionImports && !r.bad {
			return importedTools(&reader{rest: body})
		}
	}
	if r.bad {
		return nil, errModule
	}
	return nil, nil
}

func importedTools(r *reader) ([]string, error) {
	var tools []string
	for range r.uint() {
		from, name := string(r.take(r.uint())), string(r.take(r.uint()))
		r.description()
		if r.bad {
			return nil, errModule
		}
		switch from {
		case moduleTool:
			tools = append(tools, name)
		case moduleCore, moduleWASI:
		default:
			return nil, fmt.Errorf("the module imports %q from %q, which no host serves: remove what needs it", name, from)
		}
	}
	slices.Sort(tools)
	return slices.Compact(tools), nil
}

// reader reads the binary format (WebAssembly Core 2.0, section 5). After bad
// everything reads as zero.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) byte() byte {
	if b := r.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (r *reader) take(n uint64) []byte {
	if r.bad || n > uint64(len(r.rest)) {
		r.bad = true
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) uint() uint64 {
	value, n := binary.Uvarint(r.rest)
	if r.bad || n <= 0 || value > 1<<32-1 {
		r.bad = true
		return 0
	}
	r.rest = r.rest[n:]
	return value
}

// description skips what kind of thing is imported.
func (r *reader) description() {
	switch kind := r.byte(); kind {
	case 0: // function: its type
		r.uint()
	case 1: // table: element type, limits
		r.byte()
		r.limits()
	case 2: // memory
		r.limits()
	case 3: // global: value type, mutability
		r.take(2)
	default:
		r.bad = true
	}
}

func (r *reader) limits() {
	flags := r.byte()
	r.uint()
	if flags&1 != 0 {
		r.uint()
	}
}
