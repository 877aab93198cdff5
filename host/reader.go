package host

import (
	"fmt"
	"unicode/utf8"
)

// reader walks a module's bytes. The first fault sticks: every later read
// answers zero, so a caller may check once at the end of a piece, as long as it
// bounds its loops by count.
type reader struct {
	data []byte
	at   int // absolute offset of the next byte
	end  int // absolute offset of the first byte that is out of reach
	err  *formatError
}

// formatError says where a module stops being one.
type formatError struct {
	offset  int
	message string
}

// Error implements error.
func (e *formatError) Error() string { return fmt.Sprintf("byte %d: %s", e.offset, e.message) }

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = &formatError{offset: r.at, message: fmt.Sprintf(format, args...)}
	}
}

func (r *reader) left() int {
	if r.err != nil {
		return 0
	}
	return r.end - r.at
}

func (r *reader) byte() byte {
	if r.left() < 1 {
		r.fail("the module ends too early")
		return 0
	}
	b := r.data[r.at]
	r.at++
	return b
}

// u32 reads an unsigned LEB128 of at most five bytes.
func (r *reader) u32() uint32 {
	var value uint32
	for shift := 0; shift < 35; shift += 7 {
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

// skipLEB passes a signed LEB128 of at most max bytes; its value is of no use here.
func (r *reader) skipLEB(max int) {
	for range max {
		if r.byte() < 0x80 {
			return
		}
	}
	r.fail("a number is too long")
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
	n := r.count("bytes of a name", maxNameBytes)
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
	n := r.count(what, maxArity)
	from := r.at
	r.skip(n)
	if r.err != nil {
		return ""
	}
	return string(r.data[from:r.at])
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

// limits are the bounds of a memory or table.
type limits struct {
	min, max uint32
	bounded  bool
}

func (r *reader) limits() limits {
	switch flag := r.byte(); flag {
	case 0:
		return limits{min: r.u32()}
	case 1:
		l := limits{min: r.u32(), max: r.u32(), bounded: true}
		if r.err == nil && l.max < l.min {
			r.fail("a maximum of %d is below the minimum of %d", l.max, l.min)
		}
		return l
	default:
		r.fail("limits of kind %d are not supported", flag)
		return limits{}
	}
}

// constant passes a constant expression.
func (r *reader) constant() {
	for r.err == nil {
		switch op := r.byte(); op {
		case 0x0b: // end
			return
		case 0x41: // i32.const
			r.skipLEB(5)
		case 0x42: // i64.const
			r.skipLEB(10)
		case 0x43: // f32.const
			r.skip(4)
		case 0x44: // f64.const
			r.skip(8)
		case 0x23, 0xd2: // global.get, ref.func
			r.u32()
		case 0xd0: // ref.null
			r.byte()
		case 0xfd: // v128.const
			if r.u32() != 12 {
				r.fail("a constant expression holds an unknown instruction")
			}
			r.skip(16)
		default:
			r.fail("a constant expression holds instruction 0x%02x", op)
		}
	}
}
