package meter

import "github.com/writ-run/writ/host/wasm"

// encode writes the derived module.
func (r *rewriter) encode() []byte {
	refill, growth, results := r.typeOf(refillType), r.typeOf(growType), r.typeOf(wasm.Signature{})
	out := make(code, 0, len(r.m.Bytes)+len(r.bodies)-r.codeSize()+4096)
	out.op(wasm.Header...)
	for _, id := range []byte{
		wasm.SectionType, wasm.SectionImport, wasm.SectionFunction, wasm.SectionTable, wasm.SectionMemory, wasm.SectionGlobal,
		wasm.SectionExport, wasm.SectionStart, wasm.SectionElement, wasm.SectionDataCount, wasm.SectionCode, wasm.SectionData,
	} {
		var c code
		switch id {
		case wasm.SectionType:
			c = r.encodeTypes()
		case wasm.SectionImport:
			c = r.encodeImports(refill)
		case wasm.SectionFunction:
			c = r.extended(id, 2, len(r.m.Functions)-r.m.Imported)
			c = appendU32(appendU32(c, results), growth)
		case wasm.SectionTable:
			if len(r.m.Tables) > 0 {
				c = r.m.BoundedTables()
			}
		case wasm.SectionMemory:
			c = r.encodeMemory()
		case wasm.SectionGlobal:
			c = r.encodeGlobals()
		case wasm.SectionExport:
			c = r.encodeExports()
		case wasm.SectionCode:
			c = r.encodeCode()
		default:
			c = r.patched(r.section(id).Span)
		}
		if len(c) > 0 {
			out.op(id)
			out = append(appendU32(out, uint32(len(c))), c...)
		}
	}
	return out
}

// section is the module's section, empty where it has none.
func (r *rewriter) section(id byte) wasm.Section {
	for _, s := range r.m.Sections {
		if s.ID == id {
			return s
		}
	}
	return wasm.Section{ID: id}
}

func (r *rewriter) codeSize() int {
	s := r.section(wasm.SectionCode)
	return s.To - s.From
}

// patched copies a span and shifts the functions that it names.
func (r *rewriter) patched(s wasm.Span) code {
	out := make(code, 0, s.To-s.From+16)
	at := s.From
	for _, ref := range r.m.References {
		if ref.From < s.From || ref.From >= s.To {
			continue
		}
		out.op(r.m.Bytes[at:ref.From]...)
		out = appendU32(out, r.shifted(ref.Function))
		at = ref.To
	}
	out.op(r.m.Bytes[at:s.To]...)
	return out
}

// extended is a section's vector of count items, to which so many more are added.
func (r *rewriter) extended(id byte, more, count int) code {
	s := r.section(id)
	c := appendU32(nil, uint32(count+more))
	return append(c, r.patched(wasm.Span{From: s.Items, To: s.To})...)
}

func (r *rewriter) encodeTypes() code {
	c := r.extended(wasm.SectionType, len(r.types), len(r.m.Types))
	for _, t := range r.types {
		c = append(c, functionType)
		c = append(appendU32(c, uint32(len(t.Params))), t.Params...)
		c = append(appendU32(c, uint32(len(t.Results))), t.Results...)
	}
	return c
}

func (r *rewriter) encodeImports(refill uint32) code {
	c := r.extended(wasm.SectionImport, 1, len(r.m.Imports))
	c.name(HostModule)
	c.name(HostFunction)
	c.indexed(wasm.KindFunc, refill)
	return c
}

func (r *rewriter) encodeMemory() code {
	if r.m.Memory == nil {
		return nil
	}
	return appendU32(appendU32(code{1, 1}, r.o.Pages), r.o.Pages)
}

func (r *rewriter) encodeGlobals() code {
	added := 2
	if r.m.Memory != nil {
		added += 2
	}
	c := r.extended(wasm.SectionGlobal, added, len(r.m.Globals))
	add := func(t byte, value func()) {
		c.op(t, mutableGlobal)
		value()
		c.op(wasm.OpEnd)
	}
	add(wasm.I64, func() { c.i64(0) })
	add(wasm.I64, func() { c.i64(Stack) })
	if r.m.Memory != nil {
		add(wasm.I32, func() { c.i32(int32(r.m.Memory.Min)) })
		add(wasm.I32, func() { c.i32(0) })
	}
	return c
}

func (r *rewriter) encodeExports() code {
	var added code
	n := 0
	add := func(name string, index uint32) {
		n++
		added.name(name)
		added.indexed(wasm.KindGlobal, index)
	}
	for i, g := range r.m.Globals {
		if g.Mutable {
			add(globalExport(i), uint32(i))
		}
	}
	add(exportPrefix+"fuel", r.fuel)
	add(exportPrefix+"depth", r.depth)
	if r.m.Memory != nil {
		add(exportPrefix+"pages", r.pages)
		add(exportPrefix+"refused", r.refused)
	}
	return append(r.extended(wasm.SectionExport, n, len(r.m.Exports)), added...)
}

// encodeCode is the module's functions and the two that are added.
func (r *rewriter) encodeCode() code {
	c := code(appendU32(nil, uint32(len(r.m.Bodies)+2)))
	c.op(r.bodies...)
	for _, body := range []code{r.tickBody(), r.growBody()} {
		c = append(appendU32(c, uint32(len(body))), body...)
	}
	return c
}

// tickBody is the function that is called where fuel or depth is negative.
func (r *rewriter) tickBody() code {
	c := code{0}
	c.indexed(wasm.OpGlobalGet, r.depth)
	c.i64(0)
	c.op(opI64LtS, wasm.OpIf, noBlockType, wasm.OpUnreachable, wasm.OpEnd)
	c.indexed(wasm.OpGlobalGet, r.fuel)
	c.indexed(wasm.OpCall, r.refill)
	c.indexed(wasm.OpGlobalSet, r.fuel)
	c.op(wasm.OpEnd)
	return c
}

// growBody is memory.grow for the size that the module sees. Where there is no
// memory nobody calls it.
func (r *rewriter) growBody() code {
	c := code{0}
	if r.m.Memory == nil {
		c.i32(-1)
		c.op(wasm.OpEnd)
		return c
	}
	maximum := r.o.Pages
	if r.m.Memory.Bounded {
		maximum = min(maximum, r.m.Memory.Max)
	}
	const by = 0 // the parameter
	c.indexed(wasm.OpLocalGet, by)
	c.i32(int32(maximum))
	c.indexed(wasm.OpGlobalGet, r.pages)
	c.op(opI32Sub, opI32GtU, wasm.OpIf, noBlockType)
	if maximum == r.o.Pages {
		c.i32(1)
		c.indexed(wasm.OpGlobalSet, r.refused)
	}
	c.i32(-1)
	c.op(wasm.OpReturn, wasm.OpEnd)

	c.indexed(wasm.OpGlobalGet, r.fuel)
	c.indexed(wasm.OpLocalGet, by)
	c.op(opI64ExtendU)
	c.i64(pageFuel)
	c.op(opI64Mul, opI64Sub)
	c.indexed(wasm.OpGlobalSet, r.fuel)
	r.look(&c)

	c.indexed(wasm.OpGlobalGet, r.pages) // what it answers
	c.indexed(wasm.OpGlobalGet, r.pages)
	c.indexed(wasm.OpLocalGet, by)
	c.op(opI32Add)
	c.indexed(wasm.OpGlobalSet, r.pages)
	c.op(wasm.OpEnd)
	return c
}
