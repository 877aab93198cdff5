package wasm

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	asm "github.com/writ-run/writ/host/wasmtest"
)

func appendSigned(b []byte, v int64) []byte {
	for {
		low := byte(v & 0x7f)
		v >>= 7
		if (v == 0 && low&0x40 == 0) || (v == -1 && low&0x40 != 0) {
			return append(b, low)
		}
		b = append(b, low|0x80)
	}
}

func TestSignedNumbers(t *testing.T) {
	read := func(b []byte, bits int) (int64, *Error) {
		r := &reader{data: b, end: len(b)}
		value := r.signed(bits)
		if r.err == nil && r.left() > 0 {
			t.Errorf("% x: %d bytes are left", b, r.left())
		}
		return value, r.err
	}
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Int64().Draw(t, "v")
		if got, err := read(appendSigned(nil, v), 64); err != nil || got != v {
			t.Fatalf("%d came back as %d, %v", v, got, err)
		}
		n := int64(rapid.Int32().Draw(t, "n"))
		if got, err := read(appendSigned(nil, n), 32); err != nil || got != n {
			t.Fatalf("%d came back as %d, %v", n, got, err)
		}
	})
	for _, v := range []int64{math.MaxInt32 + 1, math.MinInt32 - 1, math.MaxInt64} {
		if _, err := read(appendSigned(nil, v), 32); err == nil {
			t.Errorf("%d fits 32 bits", v)
		}
	}
	if got, err := read([]byte{0xff, 0xff, 0x7f}, 32); err != nil || got != -1 {
		t.Errorf("padded: %d, %v", got, err)
	}
	for _, bad := range [][]byte{{}, {0x80}, {0x80, 0x80, 0x80, 0x80, 0x80, 0}, {0xff, 0xff, 0xff, 0xff, 0x47}} {
		if _, err := read(bad, 32); err == nil {
			t.Errorf("% x is a number", bad)
		}
	}
}

func module(sections ...[]byte) []byte {
	return append(slices.Clone(Header), slices.Concat(sections...)...)
}

func TestParseRefusesWhatNamesNothing(t *testing.T) {
	types := asm.Section(SectionType, []byte{1, 0x60, 0, 0})
	functions := asm.Section(SectionFunction, []byte{1, 0})
	code := asm.Section(SectionCode, []byte{1, 2, 0, OpEnd})
	for name, c := range map[string]struct {
		module []byte
		want   string
	}{
		"type":           {module(types, asm.Section(SectionFunction, []byte{1, 48}), code), "the type 48"},
		"exported":       {module(types, functions, asm.Section(SectionExport, []byte{1, 1, 'a', KindFunc, 1}), code), "the function 1"},
		"global":         {module(asm.Section(SectionExport, []byte{1, 1, 'a', KindGlobal, 0})), "of a global"},
		"start":          {module(types, functions, asm.Section(SectionStart, []byte{2}), code), "the function 2"},
		"element":        {module(types, functions, asm.Section(SectionElement, []byte{1, 1, 0, 1, 3}), code), "the function 3"},
		"expression":     {module(types, functions, asm.Section(SectionGlobal, []byte{1, FuncRef, 0, OpRefFunc, 4, OpEnd}), code), "the function 4"},
		"value type":     {module(asm.Section(SectionType, []byte{1, 0x60, 1, 0x63, 0})), "0x63"},
		"reference type": {module(asm.Section(4, []byte{1, I32, 0, 1})), "0x7f"},
		"second memory":  {module(asm.Section(SectionData, []byte{1, 2, 1, OpI32Const, 0, OpEnd, 0})), "second memory"},
	} {
		m, err := Parse(c.module)
		if m != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReferencesOfEveryKind(t *testing.T) {
	six := []byte{
		0, OpI32Const, 0, OpEnd, 1, 0, // active
		1, 0, 1, 1, // passive
		2, 0, OpI32Const, 0, OpEnd, 0, 1, 2, // active in a table
		3, 0, 1, 3, // declared
		4, OpI32Const, 0, OpEnd, 1, OpRefFunc, 4, OpEnd,
		5, FuncRef, 2, OpRefFunc, 5, OpEnd, 0xd0, FuncRef, OpEnd,
		6, 0, OpI32Const, 0, OpEnd, FuncRef, 1, OpRefFunc, 6, OpEnd,
		7, FuncRef, 1, OpRefFunc, 7, OpEnd,
	}
	m, err := Parse(module(
		asm.Section(SectionType, []byte{1, 0x60, 0, 0}),
		asm.Section(SectionFunction, append([]byte{8}, make([]byte, 8)...)),
		asm.Section(SectionTable, []byte{1, FuncRef, 0, 9}),
		asm.Section(SectionElement, append([]byte{8}, six...)),
		asm.Section(SectionCode, append([]byte{8}, bytes.Repeat([]byte{2, 0, OpEnd}, 8)...)),
	))
	if err != nil {
		t.Fatal(err)
	}
	for i, ref := range m.References {
		if int(ref.Function) != i || m.Bytes[ref.From] != byte(i) || ref.To != ref.From+1 {
			t.Errorf("reference %d: %+v", i, ref)
		}
	}
	if len(m.References) != 8 {
		t.Errorf("%d references", len(m.References))
	}
}

func TestInstructions(t *testing.T) {
	for _, c := range []struct {
		code []byte
		want Instruction
	}{
		{[]byte{OpCall, 0x80, 1}, Instruction{Op: OpCall, Index: 128}},
		{[]byte{OpBrTable, 2, 3, 4, 5}, Instruction{Op: OpBrTable, Labels: []uint32{3, 4, 5}}},
		{[]byte{OpBlock, 0x40}, Instruction{Op: OpBlock}},
		{[]byte{OpIf, 0x80, 1}, Instruction{Op: OpIf}},
		{[]byte{OpCallIndirect, 6, 0x81, 0}, Instruction{Op: OpCallIndirect, Index: 6}},
		{[]byte{OpMisc, 0x8b, 0, 0}, Instruction{Op: OpMisc, Sub: MiscMemoryFill}},
		{[]byte{OpMisc, MiscTableInit, 7, 0}, Instruction{Op: OpMisc, Sub: MiscTableInit, Index: 7}},
		{[]byte{OpVector, 0x80, 1}, Instruction{Op: OpVector, Sub: 0x80}},
		{append([]byte{OpVector, vectorConst}, make([]byte, 16)...), Instruction{Op: OpVector, Sub: vectorConst}},
		{[]byte{OpVector, 0x54, 0, 0, 15}, Instruction{Op: OpVector, Sub: 0x54}},
		{[]byte{opTypedSelect, 1, V128}, Instruction{Op: opTypedSelect}},
		{[]byte{OpF64Const, 1, 2, 3, 4, 5, 6, 7, 8}, Instruction{Op: OpF64Const}},
	} {
		m := &Module{Bytes: append(slices.Clone(c.code), OpEnd)}
		code := m.Code(Body{Span: Span{0, len(m.Bytes)}})
		var in Instruction
		if !code.Next(&in) || in.Op != c.want.Op || in.Sub != c.want.Sub || in.To != len(c.code) ||
			(c.want.Index != 0 && in.Index != c.want.Index) || !slices.Equal(in.Labels, c.want.Labels) {
			t.Errorf("% x: %+v, %v", c.code, in, code.Err())
		}
		if code.Peek() != OpEnd || !code.Next(&in) || code.Next(&in) || code.Err() != nil {
			t.Errorf("% x: what comes behind is lost", c.code)
		}
	}
	for _, bad := range [][]byte{
		{0x12, 0},
		{0x06, 0x40},
		{0xfe, 0, 0},
		{OpMisc, 18},
		{OpVector, 0x80, 2},
		{OpMemoryGrow, 1},
		{OpBlock, 0x63, 0x70},
		{opTypedSelect, 2, I32, I32},
		{OpBrTable, 0xff, 0xff, 0xff, 0xff, 0x0f},
		{OpI32Const},
		{OpF32Const, 0},
	} {
		code := (&Module{Bytes: bad}).Code(Body{Span: Span{0, len(bad)}})
		if code.Next(&Instruction{}) || code.Err() == nil {
			t.Errorf("% x is an instruction", bad)
		}
	}
}
