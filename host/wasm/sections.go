package wasm

import "encoding/binary"

// read reads the content of a section.
func (m *Module) read(id byte, r *reader, s *Section) {
	vector := func(what string, limit int, item func(*reader)) {
		n := r.count(what, limit)
		s.Items = r.at
		for i := 0; i < n && r.err == nil; i++ {
			item(r)
		}
	}
	switch id {
	case SectionType:
		vector("types", MaxItems, m.readType)
	case SectionImport:
		vector("imports", MaxImports, m.readImport)
	case SectionFunction:
		vector("functions", MaxItems, func(r *reader) { m.Functions = append(m.Functions, r.u32()) })
	case SectionTable:
		vector("tables", MaxTables, m.readTable)
	case SectionMemory:
		vector("memories", 1, func(r *reader) {
			l := r.limits()
			m.Memory = &l
		})
	case SectionGlobal:
		vector("globals", MaxItems, m.readGlobal)
	case SectionExport:
		seen := map[string]bool{}
		vector("exports", MaxItems, func(r *reader) { m.readExport(r, seen) })
	case SectionStart:
		m.readFunction(r)
	case SectionDataCount:
		r.u32()
	case SectionElement:
		vector("element segments", MaxItems, m.readElements)
	case SectionCode:
		vector("functions", MaxItems, m.readBody)
	case SectionData:
		vector("data segments", MaxItems, m.readData)
	}
}

func (m *Module) readType(r *reader) {
	if r.byte() != 0x60 {
		r.fail("a type is not that of a function")
		return
	}
	m.Types = append(m.Types, Signature{Params: r.values("parameters"), Results: r.values("results")})
}

func (m *Module) readImport(r *reader) {
	from := r.at
	im := Import{Module: r.name()}
	im.Place = Span{from, r.at}
	im.Name, im.Kind = r.name(), r.byte()
	switch im.Kind {
	case KindFunc:
		m.Functions = append(m.Functions, r.u32())
		m.Imported++
	case KindTable:
		r.refType()
		r.limits()
	case KindMemory:
		r.limits()
	case KindGlobal:
		readGlobalType(r)
	default:
		r.fail("an import of kind %d is not supported", im.Kind)
	}
	m.Imports = append(m.Imports, im)
}

func (m *Module) readTable(r *reader) {
	m.Tables = append(m.Tables, Table{Type: r.refType(), Limits: r.limits()})
	var total int64
	for _, t := range m.Tables {
		total += int64(t.Min)
	}
	if r.err == nil && total > MaxTableEntries {
		r.fail("the tables have %d entries: at most %d are allowed", total, MaxTableEntries)
	}
}

// BoundedTables is the content of a table section like the module's in which no
// table may grow beyond MaxTableEntries.
func (m *Module) BoundedTables() []byte {
	out := binary.AppendUvarint(nil, uint64(len(m.Tables)))
	for _, t := range m.Tables {
		maximum := uint32(MaxTableEntries)
		if t.Bounded {
			maximum = min(maximum, t.Max)
		}
		out = append(out, t.Type, 1)
		out = binary.AppendUvarint(out, uint64(t.Min))
		out = binary.AppendUvarint(out, uint64(maximum))
	}
	return out
}

func (m *Module) readGlobal(r *reader) {
	m.Globals = append(m.Globals, readGlobalType(r))
	m.readConstant(r)
}

func readGlobalType(r *reader) Global {
	g := Global{Type: r.valueType()}
	switch r.byte() {
	case 0:
	case 1:
		g.Mutable = true
	default:
		r.fail("a global is neither constant nor mutable")
	}
	return g
}

func (m *Module) readExport(r *reader, seen map[string]bool) {
	e := Export{Name: r.name(), Kind: r.byte()}
	if e.Kind == KindFunc {
		e.Index = m.readFunction(r)
	} else {
		e.Index = r.u32()
	}
	switch {
	case e.Kind >= kinds:
		r.fail("an export of kind %d is not supported", e.Kind)
	case seen[e.Name]:
		r.fail("the export %q stands twice", e.Name)
	}
	seen[e.Name] = true
	m.Exports = append(m.Exports, e)
}

// readFunction reads a function's index and notes where it stands.
func (m *Module) readFunction(r *reader) uint32 {
	from := r.at
	function := r.u32()
	m.References = append(m.References, Reference{Span{from, r.at}, function})
	return function
}

func (m *Module) readElements(r *reader) {
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
		m.readConstant(r)
	}
	if !active || explicit {
		switch {
		case expressions:
			r.refType()
		case r.byte() != 0:
			r.fail("an element kind is not supported")
		}
	}
	n := r.count("elements", MaxItems)
	for i := 0; i < n && r.err == nil; i++ {
		if expressions {
			m.readConstant(r)
		} else {
			m.readFunction(r)
		}
	}
}

func (m *Module) readBody(r *reader) {
	code := r.sub(r.count("bytes of a function", MaxModuleBytes))
	b := Body{Span: Span{code.at, code.end}}
	b.Groups = code.count("groups of locals", MaxLocals)
	b.Declared.From = code.at
	locals := int64(0)
	for i := 0; i < b.Groups && code.err == nil; i++ {
		locals += int64(code.u32())
		b.Vectors = code.valueType() == V128 || b.Vectors
		if locals > MaxLocals {
			code.fail("a function has %d locals: at most %d are allowed", locals, MaxLocals)
		}
	}
	b.Locals, b.Code, b.Declared.To = int(locals), code.at, code.at
	if code.err == nil && code.left() == 0 {
		code.fail("a function has no code")
	}
	if code.err != nil {
		r.err = code.err
		return
	}
	m.Bodies = append(m.Bodies, b)
}

func (m *Module) readData(r *reader) {
	var d DataSegment
	switch flags := r.u32(); flags {
	case 0:
		d.Active = true
		d.Offset, d.Known = m.readConstant(r)
	case 1:
	case 2:
		if d.Active = true; r.u32() != 0 {
			r.fail("a data segment is for a second memory")
		}
		d.Offset, d.Known = m.readConstant(r)
	default:
		r.fail("a data segment of kind %d is not supported", flags)
	}
	d.Size = r.count("bytes of data", MaxModuleBytes)
	r.skip(d.Size)
	d.To = r.at
	m.Data = append(m.Data, d)
}

// readConstant passes a constant expression; it is known where it is one i32.const.
func (m *Module) readConstant(r *reader) (value uint32, known bool) {
	for n := 0; r.err == nil; n++ {
		switch op := r.byte(); op {
		case OpEnd:
			return value, known && n == 1
		case OpI32Const:
			value, known = uint32(r.signed(32)), true
		case OpI64Const:
			r.signed(64)
		case OpF32Const:
			r.skip(4)
		case OpF64Const:
			r.skip(8)
		case OpGlobalGet:
			r.u32()
		case OpRefFunc:
			m.readFunction(r)
		case opRefNull:
			r.refType()
		case OpVector:
			if r.byte() != vectorConst {
				r.fail("a constant expression holds an unknown instruction")
			}
			r.skip(16)
		default:
			r.fail("a constant expression holds instruction 0x%02x", op)
		}
	}
	return 0, false
}
