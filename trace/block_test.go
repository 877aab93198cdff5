package trace

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

func TestBlocks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := slices.Repeat(rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "data"), rapid.IntRange(1, 50).Draw(t, "times"))
		before := rapid.SliceOf(rapid.Byte()).Draw(t, "before")
		out := appendBlock(bytes.Clone(before), data)
		if !bytes.HasPrefix(out, before) {
			t.Fatal("what was there is gone")
		}
		b := out[len(before):]
		if len(b) > blockHeader+len(data) {
			t.Fatalf("%d bytes became %d", len(data), len(b))
		}
		if back, err := openBlock(b); err != nil || !bytes.Equal(back, data) {
			t.Fatalf("%d bytes, %v", len(back), err)
		}
		at := rapid.IntRange(0, len(b)-1).Draw(t, "at")
		b[at] ^= byte(rapid.IntRange(1, 255).Draw(t, "flip"))
		if _, err := openBlock(b); err == nil {
			t.Fatalf("byte %d of %d may be anything", at, len(b))
		}
	})
}

// A block is not inflated beyond what a commit can have put into it.
func TestABlockIsBounded(t *testing.T) {
	if _, err := openBlock(sealBlock(make([]byte, maxBlock))); err != nil {
		t.Fatal(err)
	}
	if _, err := openBlock(sealBlock(make([]byte, maxBlock+1))); err == nil {
		t.Fatal("a block of more than the bound was opened")
	}
}

func TestSegments(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.Uint64Range(1, 1<<40).Draw(t, "first")
		var want []slot
		var segment []byte
		for i := range uint64(rapid.IntRange(1, 20).Draw(t, "records")) {
			s := slot{first + i, writ.Position(rapid.Uint64().Draw(t, "position")), rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")}
			want, segment = append(want, s), appendSlot(segment, s)
		}
		got, err := openSegment(sealBlock(segment))
		if err != nil || !slices.EqualFunc(got, want, func(a, b slot) bool {
			return a.seq == b.seq && a.position == b.position && bytes.Equal(a.bytes, b.bytes)
		}) {
			t.Fatalf("got %v, want %v: %v", got, want, err)
		}
	})
}

// FuzzStored holds that nothing which lies in the store makes a reader panic, and
// that what it accepts fits together.
func FuzzStored(f *testing.F) {
	one := salted{salt: make([]byte, saltSize), data: []byte("data")}
	one.digest = canon.Sum(canon.DomainPayload, one.salt, one.data)
	key := positionKey("default", 3)
	for _, plain := range [][]byte{
		appendSlot(nil, slot{1, 2, []byte("record")}),
		appendPacked(nil, &one),
		(&run{first: 1, count: 3, seq: 1, stream: "exe_1"}).append(nil),
		{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
	} {
		f.Add(plain, false)
		f.Add(sealBlock(plain), true)
		f.Add(appendPack(nil, tagOf(one.digest), plain), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, whole bool) {
		block := data
		if !whole {
			block = sealBlock(data)
		}
		if slots, err := openSegment(block); err == nil && len(slots) == 0 {
			t.Error("a segment without records")
		}
		runs, err := openRuns(key, block)
		for i := range runs {
			if err == nil && (runs[i].count == 0 || runs[i].last() > 3 || (i > 0 && runs[i].first <= runs[i-1].last())) {
				t.Errorf("runs %+v", runs)
			}
		}
		if p, err := readPack(data); err == nil {
			_, _ = p.find(tagOf(one.digest), writ.PayloadRef{Digest: one.digest, Size: 4})
			_, _ = p.payloads()
		}
	})
}
