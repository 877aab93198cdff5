package host

import (
	"bytes"

	"github.com/writ-run/writ"
)

// Bounds on a module. They are checked before anything is allocated or compiled
// for it; wazero's own decoder believes every count that it reads.
const (
	// MaxModuleBytes: a stock Go skill with encoding/json is 3.3 MB, QuickJS with
	// its script 0.5 MB; 32 MiB leaves room and bounds compilation.
	MaxModuleBytes = 32 << 20
	// MaxTableEntries over all tables. A table holds the functions that are called
	// indirectly, so a large Go program needs some 20,000; an entry costs 8 bytes
	// of host memory that no memory limit counts.
	MaxTableEntries = 100_000
	// MaxLocals of one function; compilers of every language stay below 1,000.
	MaxLocals = 10_000
	// MaxFunctionCost and MaxModuleCost bound how long a compiler may sit over a
	// function and over all of them, in units of some 1.4 us: see functionCost. A
	// stock Go program of 13.7 MB comes to 800,000 and 11,000,000; a hostile 67 KB
	// function with 8,000,000 took 32 s and 1.1 GiB.
	MaxFunctionCost = 2_000_000
	MaxModuleCost   = 30_000_000

	maxNameBytes = 4 << 10
	maxImports   = 1_000
	maxItems     = 200_000 // types, functions, exports, globals, segments: each
	maxTables    = 16
	maxArity     = 1_000 // parameters or results of one function type
)

// Section ids of the core specification, in the order in which they may stand.
const (
	sectionCustom    = 0
	sectionType      = 1
	sectionImport    = 2
	sectionFunction  = 3
	sectionTable     = 4
	sectionMemory    = 5
	sectionGlobal    = 6
	sectionExport    = 7
	sectionStart     = 8
	sectionElement   = 9
	sectionCode      = 10
	sectionData      = 11
	sectionDataCount = 12
)

// sectionOrder ranks the ids: the data count stands between elements and code.
var sectionOrder = [...]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 10}

// Kinds of imports and exports, as ModuleImport names them.
var externKinds = [...]string{"func", "table", "memory", "global"}

var header = []byte("\x00asm\x01\x00\x00\x00")

// shape is what is known of a module without running it.
type shape struct {
	module   []byte
	sections []section // without custom ones, in order
	imports  []writ.ModuleImport
	exports  []string // functions
	entries  map[string]int
	types    []signature
	funcs    []int   // type of each function, imported ones first
	imported int     // functions
	tables   []table // defined
	memory   limits  // in pages of 64 KiB
	bodies   []body
	cost     int64
	// places of each import's module name, for the rewriter
	importModules []span
}

// signature is a function's type, one byte for each value.
type signature struct{ params, results string }

// signatureOf gives the type of an exported function.
func (s *shape) signatureOf(export string) (signature, bool) {
	index, ok := s.entries[export]
	if !ok {
		return signature{}, false
	}
	return s.typeOf(index), true
}

func (s *shape) typeOf(function int) signature {
	if function < len(s.funcs) && s.funcs[function] < len(s.types) {
		return s.types[s.funcs[function]]
	}
	return signature{} // wazero refuses such a module
}

type section struct {
	id   byte
	span // of the content
}

type span struct{ from, to int }

type table struct {
	element byte
	limits
}

// body is a function's code: locals, then instructions.
type body struct{ from, code, to int }

// parse reads a module's outline. Errors are *formatError.
func parse(module []byte) (*shape, error) {
	s := &shape{module: module, entries: map[string]int{}}
	r := &reader{data: module, end: len(module)}
	if len(module) > MaxModuleBytes {
		r.fail("the module has %d bytes: at most %d are allowed", len(module), MaxModuleBytes)
		return nil, r.err
	}
	if !bytes.HasPrefix(module, header) {
		r.fail("not a WebAssembly module of version 1")
		return nil, r.err
	}
	r.skip(len(header))
	last := 0
	for r.left() > 0 {
		id := r.byte()
		content := r.sub(r.count("bytes of a section", MaxModuleBytes))
		if r.err != nil {
			return nil, r.err
		}
		if id == sectionCustom {
			if content.name(); content.err != nil {
				return nil, content.err
			}
			continue
		}
		// Two sections of one kind could show one list here and another to wazero.
		if int(id) >= len(sectionOrder) || sectionOrder[id] <= last {
			r.fail("section %d is unknown, repeated or out of order", id)
			return nil, r.err
		}
		last = sectionOrder[id]
		s.sections = append(s.sections, section{id: id, span: span{content.at, content.end}})
		s.read(id, content)
		if content.err == nil && content.left() > 0 {
			content.fail("section %d has %d bytes too many", id, content.left())
		}
		if content.err != nil {
			return nil, content.err
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	if declared := len(s.funcs) - s.imported; len(s.bodies) != declared {
		r.fail("%d functions are declared and %d are there", declared, len(s.bodies))
		return nil, r.err
	}
	return s, nil
}

func (s *shape) read(id byte, r *reader) {
	switch id {
	case sectionType:
		s.readTypes(r)
	case sectionImport:
		s.readImports(r)
	case sectionFunction:
		for range r.count("functions", maxItems) {
			s.funcs = append(s.funcs, int(r.u32()))
		}
	case sectionTable:
		for range r.count("tables", maxTables) {
			s.addTable(r)
		}
	case sectionMemory:
		for range r.count("memories", 1) {
			s.memory = r.limits()
		}
	case sectionGlobal:
		for range r.count("globals", maxItems) {
			r.skip(2)
			r.constant()
		}
	case sectionExport:
		s.readExports(r)
	case sectionStart, sectionDataCount:
		r.u32()
	case sectionElement:
		for range r.count("element segments", maxItems) {
			readElements(r)
		}
	case sectionCode:
		s.readCode(r)
	case sectionData:
		for range r.count("data segments", maxItems) {
			readData(r)
		}
	}
}

func (s *shape) readTypes(r *reader) {
	for range r.count("types", maxItems) {
		if r.byte() != 0x60 {
			r.fail("a type is not that of a function")
			return
		}
		s.types = append(s.types, signature{params: r.values("parameters"), results: r.values("results")})
	}
}

func (s *shape) readImports(r *reader) {
	for range r.count("imports", maxImports) {
		from := r.at
		module := r.name()
		s.importModules = append(s.importModules, span{from, r.at})
		name, kind := r.name(), r.byte()
		switch kind {
		case 0:
			s.funcs = append(s.funcs, int(r.u32()))
			s.imported++
		case 1:
			r.byte()
			r.limits()
		case 2:
			r.limits()
		case 3:
			r.skip(2)
		default:
			r.fail("an import of kind %d is not supported", kind)
		}
		if r.err != nil {
			return
		}
		s.imports = append(s.imports, writ.ModuleImport{Module: module, Name: name, Kind: externKinds[kind]})
	}
}

func (s *shape) readExports(r *reader) {
	seen := map[string]bool{}
	for range r.count("exports", maxItems) {
		name, kind, index := r.name(), r.byte(), int(r.u32())
		if r.err == nil && int(kind) >= len(externKinds) {
			r.fail("an export of kind %d is not supported", kind)
		}
		if r.err == nil && seen[name] {
			r.fail("the export %q stands twice", name)
		}
		if r.err != nil {
			return
		}
		seen[name] = true
		if kind == 0 {
			s.exports = append(s.exports, name)
			s.entries[name] = index
		}
	}
}

func (s *shape) addTable(r *reader) {
	t := table{element: r.byte(), limits: r.limits()}
	s.tables = append(s.tables, t)
	var total int64
	for _, t := range s.tables {
		total += int64(t.min)
	}
	if r.err == nil && total > MaxTableEntries {
		r.fail("the tables have %d entries: at most %d are allowed", total, MaxTableEntries)
	}
}

func (s *shape) readCode(r *reader) {
	for i := range r.count("functions", maxItems) {
		code := r.sub(r.count("bytes of a function", MaxModuleBytes))
		b := body{from: code.at, to: code.end}
		locals := int64(0)
		for range code.count("groups of locals", MaxLocals) {
			locals += int64(code.u32())
			code.byte()
			if locals > MaxLocals {
				code.fail("a function has %d locals: at most %d are allowed", locals, MaxLocals)
			}
		}
		b.code = code.at
		if code.err == nil && code.left() == 0 {
			code.fail("a function has no code")
		}
		if code.err == nil {
			s.addCost(code, functionCost(locals+int64(len(s.typeOf(s.imported+i).params)), r.data[b.code:b.to]))
		}
		if code.err != nil {
			r.err = code.err
			return
		}
		s.bodies = append(s.bodies, b)
	}
}

// functionCost follows what was measured of the compiler: locals times structured
// instructions (its phi values), and a part that is quadratic in the latter alone
// (10,000 ifs: 2.1 s). Bytes that look like block, loop, if or else are counted
// without decoding, so the cost may come out too high but never too low.
func functionCost(locals int64, code []byte) int64 {
	structured := int64(0)
	for _, b := range code {
		if b >= 0x02 && b <= 0x05 {
			structured++
		}
	}
	return locals*structured + structured*structured/67
}

func (s *shape) addCost(code *reader, cost int64) {
	s.cost += cost
	switch {
	case cost > MaxFunctionCost:
		code.fail("a function would cost %d to compile: at most %d are allowed; build with optimisation", cost, MaxFunctionCost)
	case s.cost > MaxModuleCost:
		code.fail("the module would cost over %d to compile; build with optimisation or split the skill", MaxModuleCost)
	}
}

func readElements(r *reader) {
	flags := r.u32()
	if flags > 7 {
		r.fail("an element segment of kind %d is not supported", flags)
		return
	}
	active, explicit, expressions := flags&1 == 0, flags&2 != 0, flags&4 != 0
	if active {
		if explicit {
			r.u32()
		}
		r.constant()
	}
	if !active || explicit {
		r.byte() // element kind or type
	}
	for range r.count("elements", maxItems) {
		if expressions {
			r.constant()
		} else {
			r.u32()
		}
	}
}

func readData(r *reader) {
	switch flags := r.u32(); flags {
	case 0:
		r.constant()
	case 1:
	case 2:
		r.u32()
		r.constant()
	default:
		r.fail("a data segment of kind %d is not supported", flags)
	}
	r.skip(r.count("bytes of data", MaxModuleBytes))
}
