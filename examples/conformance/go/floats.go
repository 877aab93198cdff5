package main

import (
	"fmt"
	"math"

	"github.com/writ-run/writ/sdk"
)

type bits struct {
	Bits []string `json:"bits"`
}

func (b *bits) add64(value float64) {
	b.Bits = append(b.Bits, fmt.Sprintf("%016x", math.Float64bits(value)))
}

func (b *bits) add32(value float32) {
	b.Bits = append(b.Bits, fmt.Sprintf("%08x", math.Float32bits(value)))
}

// operands are variables so that the machine computes and not the compiler.
var operands = struct {
	zero, one, infinity, nan float64
	zero32, one32, nan32     float32
}{
	0, 1, math.Inf(1), math.Float64frombits(0x7ff4000000abcdef),
	0, 1, math.Float32frombits(0x7fa00bcd),
}

func floats(_ *sdk.Context, _ nothing) (bits, error) {
	var b bits
	o := &operands
	b.add64(o.zero / o.zero)
	b.add64(o.infinity - o.infinity)
	b.add64(o.infinity * o.zero)
	b.add64(math.Sqrt(-o.one))
	b.add64(o.nan + o.one)
	b.add64(o.one - o.nan)
	b.add64(o.nan * -o.nan)
	b.add64(math.Floor(o.nan))
	b.add64(float64(o.nan32))
	b.add32(o.zero32 / o.zero32)
	b.add32(o.nan32 + o.one32)
	b.add32(float32(o.nan))
	b.add64(o.one / 3)
	b.add64(math.Sqrt(o.one + o.one))
	b.add32(o.one32 / 3)
	return b, nil
}
