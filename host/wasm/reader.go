package wasm

import (
	"fmt"
	"unicode/utf8"
)

// Error says where a module stops being one that is taken here, and why.
type Error struct {
	Offset  int // of the byte in the module
	Message string
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("byte %d: %s", e.Offset, e.Message) }

// Span is a piece of the module, from the first byte to the one behind the last.
type Span struct{ From, To int }

// reader walks a module's bytes. The first fault sticks: every later read
// answers zero, so a caller may check once at the end of a piece, as long as it
// bounds its loops by count.
type reader struct {
	data []byte
	at   int // absolute offset of the next byte
	end  int // absolute offset of the first byte that is out of reach
	err  *Error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = &Error{Offset: r.at, Message: fmt.Sprintf(format, args...)}
		r.end = r.at
	}
}

func (r *reader) left() int { return r.end - r.at }

func (r *reader) byte() byte {
	if r.at >= r.end {
		r.fail("the module ends too early")
		return 0
	}
	b := r.data[r.at]
	r.at++
	return b
}

// u32 reads an unsigned LEB128 of at most five bytes.
func (r *reader) u32() uint32 {
	b := r.byte()
	if b < 0x80 {
		return uint32(b)
	}
	value := uint32(b & 0x7f)
	for shift := 7; shift < 35; shift += 7 {
		b := r.byte()
		if r.err != nil {
			return 0
		}
		if shift == 28 && b > 0x0f {
			break
		}
		value |= uint32(b&0x7f) << shift
		if b < 0x80 {
			return value
		}
	}
	r.fail("a number does not fit 32 bits")
	return 0
}

// signed reads a signed LEB128 of so many bits. The bits of the last byte that
// are beyond them repeat the sign.
func (r *reader) signed(bits int) int64 {
	var value int64
	for shift := 0; shift < bits; shift += 7 {
		b := r.byte()
		if r.err != nil {
			return 0
		}
		value |= int64(b&0x7f) << shift
		if b >= 0x80 {
			continue
		}
		if shift+7 < 64 {
			value = value << (57 - shift) >> (57 - shift)
		}
		if used := bits - shift; used < 7 {
			if rest := int8(b<<1) >> used; rest != 0 && rest != -1 {
				break
			}
		}
		return value
	}
	r.fail("a number does not fit %d bits", bits)
	return 0
}

func (r *reader) skip(n int) {
	if n < 0 || n > r.left() {
		r.fail("the module ends too early")
		return
	}
	r.at += n
}

// count reads the length of a vector. An element takes at least one byte, so a
// count beyond what is left is a lie that a decoder would allocate for.
func (r *reader) count(what string, limit int) int {
	n := r.u32()
	if r.err != nil {
		return 0
	}
	if int64(n) > int64(r.left()) {
		r.fail("%d %s cannot stand in the %d bytes that are left", n, what, r.left())
		return 0
	}
	if int64(n) > int64(limit) {
		r.fail("%d %s: at most %d are allowed", n, what, limit)
		return 0
	}
	return int(n)
}

func (r *reader) name() string {
	n := r.count("bytes of a name", MaxNameBytes)
	from := r.at
	r.skip(n)
	if r.err != nil {
		return ""
	}
	name := r.data[from:r.at]
	if !utf8.Valid(name) {
		r.fail("a name is not UTF-8")
		return ""
	}
	return string(name)
}

// values reads the value types of a signature.
func (r *reader) values(what string) string {
	n := r.count(what, MaxArity)
	from := r.at
	for range n {
		r.valueType()
	}
	if r.err != nil {
		return ""
	}
	return string(r.data[from:r.at])
}

// valueType reads one of the value types of WebAssembly 2.0.
func (r *reader) valueType() byte {
	t := r.byte()
	if !isValueType(t) {
		r.fail("the type 0x%02x is not supported", t)
	}
	return t
}

func (r *reader) refType() byte {
	t := r.byte()
	if t != FuncRef && t != ExternRef {
		r.fail("the reference type 0x%02x is not supported", t)
	}
	return t
}

// sub gives a reader of the next n bytes and passes them.
func (r *reader) sub(n int) *reader {
	from := r.at
	r.skip(n)
	if r.err != nil {
		return &reader{err: r.err}
	}
	return &reader{data: r.data, at: from, end: r.at}
}

// Limits are the bounds of a memory or table.
type Limits struct {
	Min, Max uint32
	Bounded  bool
}

func (r *reader) limits() Limits {
	switch flag := r.byte(); flag {
	case 0:
		return Limits{Min: r.u32()}
	case 1:
		l := Limits{Min: r.u32(), Max: r.u32(), Bounded: true}
		if r.err == nil && l.Max < l.Min {
			r.fail("a maximum of %d is below the minimum of %d", l.Max, l.Min)
		}
		return l
	default:
		r.fail("limits of kind %d are not supported", flag)
		return Limits{}
	}
}
