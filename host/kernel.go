package host

import (
	"context"
	"encoding/binary"
	"errors"
	"math/bits"

	"github.com/writ-run/writ/abi"
)

// Faults of a plug-in that end its call, as they do in every Extism runtime.
var (
	errBlock = errors.New("the plug-in used memory that is not allocated")
	errVars  = errors.New("the plug-in's variables are full")
)

const (
	// firstBlock keeps 0 free: it is the handle of nothing.
	firstBlock = 64
	// minBlock and blockCost bound what the host spends on a plug-in that
	// allocates one byte at a time: a block is charged what it costs here.
	minBlock  = 16
	blockCost = 64
)

// kernel is the memory that an Extism plug-in shares with its host: blocks that
// are named by their offset. A freed block is used again for the next one of its
// size class, a power of two.
type kernel struct {
	g       *guest // whose memory limit and fuel it uses
	mem     []byte
	charged int64
	blocks  map[uint64]block
	free    [64][]uint64 // by size class
}

type block struct {
	length uint64
	class  int
	freed  bool
}

// reset forgets every block.
func (k *kernel) reset() {
	clear(k.mem)
	k.g.memory.used -= k.charged
	*k = kernel{g: k.g, mem: k.mem[:0]}
}

// alloc gives the handle of a zeroed block, 0 where there is no memory left.
func (k *kernel) alloc(length uint64) uint64 {
	memory := &k.g.memory
	if length == 0 || length > uint64(memory.limit) {
		memory.refused = memory.refused || length > 0
		return 0
	}
	k.g.spend(int(length))
	class := bits.Len64(max(length, minBlock) - 1)
	if reusable := k.free[class]; len(reusable) > 0 {
		offset := reusable[len(reusable)-1]
		k.free[class] = reusable[:len(reusable)-1]
		k.blocks[offset] = block{length: length, class: class}
		clear(k.mem[offset:][:uint64(1)<<class])
		return offset
	}
	size := uint64(1) << class
	if !memory.take(int64(size + blockCost)) {
		return 0
	}
	k.charged += int64(size + blockCost)
	if len(k.mem) == 0 {
		k.mem = append(k.mem, make([]byte, firstBlock)...)
	}
	offset := uint64(len(k.mem))
	k.mem = append(k.mem, make([]byte, size)...)
	if k.blocks == nil {
		k.blocks = map[uint64]block{}
	}
	k.blocks[offset] = block{length: length, class: class}
	return offset
}

// release frees a block; freeing what is no block does nothing.
func (k *kernel) release(offset uint64) {
	b, ok := k.blocks[offset]
	if !ok || b.freed {
		return
	}
	b.freed = true
	k.blocks[offset] = b
	k.free[b.class] = append(k.free[b.class], offset)
}

// length is that of the block, 0 where there is none.
func (k *kernel) length(offset uint64) uint64 {
	if b, ok := k.blocks[offset]; ok && !b.freed {
		return b.length
	}
	return 0
}

// at is a view of n bytes.
func (k *kernel) at(offset, n uint64) []byte {
	if offset > uint64(len(k.mem)) || n > uint64(len(k.mem))-offset {
		panic(errBlock)
	}
	return k.mem[offset:][:n]
}

// read is a copy of a block.
func (k *kernel) read(offset uint64) []byte {
	b := k.at(offset, k.length(offset))
	k.g.spend(len(b))
	return append([]byte{}, b...)
}

// write makes a block of b.
func (k *kernel) write(b []byte) uint64 {
	offset := k.alloc(uint64(len(b)))
	if offset == 0 && len(b) > 0 {
		panic(errBlock)
	}
	copy(k.mem[offset:], b)
	return offset
}

// kernelFunctions are the part of extism:host/env that go-sdk has of its own.
func kernelFunctions(add func(importKey, hostFunc)) {
	env := func(name, params, results string, call func(p *plugin, stack []uint64)) {
		add(importKey{abi.ModuleExtism, name}, hostFunc{params, results, func(_ context.Context, g *guest, stack []uint64) {
			call(&g.plugin, stack)
		}})
	}
	memoryFunctions(env)
	inputFunctions(env)
	env("error_set", "l", "", func(p *plugin, s []uint64) { p.failed = s[0] })
	env("error_get", "", "l", func(p *plugin, s []uint64) { s[0] = p.failed })
	// A skill has no configuration: what it needs is in its input.
	env("config_get", "l", "l", func(p *plugin, s []uint64) { p.kernel.read(s[0]); s[0] = 0 })
	env("var_get", "l", "l", func(p *plugin, s []uint64) { s[0] = p.variable(s[0]) })
	env("var_set", "ll", "", func(p *plugin, s []uint64) { p.setVariable(s[0], s[1]) })
}

func memoryFunctions(env func(name, params, results string, call func(p *plugin, stack []uint64))) {
	env("alloc", "l", "l", func(p *plugin, s []uint64) { s[0] = p.kernel.alloc(s[0]) })
	env("free", "l", "", func(p *plugin, s []uint64) { p.kernel.release(s[0]) })
	env("length", "l", "l", func(p *plugin, s []uint64) { s[0] = p.kernel.length(s[0]) })
	env("length_unsafe", "l", "l", func(p *plugin, s []uint64) { s[0] = p.kernel.length(s[0]) })
	env("load_u8", "l", "i", func(p *plugin, s []uint64) { s[0] = uint64(p.kernel.at(s[0], 1)[0]) })
	env("load_u64", "l", "l", func(p *plugin, s []uint64) { s[0] = binary.LittleEndian.Uint64(p.kernel.at(s[0], 8)) })
	env("store_u8", "li", "", func(p *plugin, s []uint64) { p.kernel.at(s[0], 1)[0] = byte(s[1]) })
	env("store_u64", "ll", "", func(p *plugin, s []uint64) { binary.LittleEndian.PutUint64(p.kernel.at(s[0], 8), s[1]) })
	env("memory_bytes", "", "l", func(p *plugin, s []uint64) { s[0] = uint64(len(p.kernel.mem)) })
}

func inputFunctions(env func(name, params, results string, call func(p *plugin, stack []uint64))) {
	env("input_offset", "", "l", func(p *plugin, s []uint64) { s[0] = p.input })
	env("input_length", "", "l", func(p *plugin, s []uint64) { s[0] = p.kernel.length(p.input) })
	env("input_load_u8", "l", "i", func(p *plugin, s []uint64) { s[0] = uint64(p.inputAt(s[0], 1)[0]) })
	env("input_load_u64", "l", "l", func(p *plugin, s []uint64) { s[0] = binary.LittleEndian.Uint64(p.inputAt(s[0], 8)) })
	env("output_set", "ll", "", func(p *plugin, s []uint64) {
		p.kernel.at(s[0], s[1])
		p.output, p.outputLength = s[0], s[1]
	})
	env("output_offset", "", "l", func(p *plugin, s []uint64) { s[0] = p.output })
	env("output_length", "", "l", func(p *plugin, s []uint64) { s[0] = p.outputLength })
}

// inputAt is a view of the input from an offset within it.
func (p *plugin) inputAt(offset, n uint64) []byte {
	if offset > uint64(len(p.kernel.mem)) { // or the sum could wrap around
		panic(errBlock)
	}
	return p.kernel.at(p.input+offset, n)
}
