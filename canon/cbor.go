package canon

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
)

// ErrNotCanonical is returned by UnmarshalCBOR for bytes that decode but are not
// the deterministic encoding of what they decode to.
var ErrNotCanonical = errors.New("cbor: not in core deterministic form")

var (
	cborEncoder = mustEncoder()
	cborDecoder = mustDecoder()
)

func mustEncoder() cbor.UserBufferEncMode {
	mode, err := cbor.CoreDetEncOptions().UserBufferEncMode()
	if err != nil {
		panic(err) // the options are constants of this file
	}
	return mode
}

func mustDecoder() cbor.DecMode {
	mode, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		UTF8:              cbor.UTF8RejectInvalid,
		MaxNestedLevels:   64,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return mode
}

// MarshalCBOR encodes v in the core deterministic form (RFC 8949 section 4.2.1).
// It refuses text that is not UTF-8, which UnmarshalCBOR would refuse to read.
func MarshalCBOR(v any) ([]byte, error) { return AppendCBOR(nil, v) }

// AppendCBOR appends what MarshalCBOR returns to prefix, in memory that holds
// exactly both.
func AppendCBOR(prefix []byte, v any) ([]byte, error) {
	if out, ok := pack(prefix, v); ok {
		return out, nil
	}
	return checkedCBOR(prefix, v)
}

// checkedCBOR is AppendCBOR by the library.
func checkedCBOR(prefix []byte, v any) ([]byte, error) {
	buffer, _ := buffers.Get().(*bytes.Buffer)
	defer keepBuffer(buffer)
	buffer.Write(prefix)
	if err := cborEncoder.MarshalToBuffer(v, buffer); err != nil {
		return nil, fmt.Errorf("cbor: marshal: %w", err)
	}
	if !validText(buffer.Bytes()[len(prefix):]) {
		return nil, errors.New("cbor: marshal: text that is not UTF-8")
	}
	return append(make([]byte, 0, buffer.Len()), buffer.Bytes()...), nil
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maxKept bounds what one encoding leaves in the pool: records have a few KiB.
const maxKept = 64 << 10

func keepBuffer(buffer *bytes.Buffer) {
	if buffer.Cap() <= maxKept {
		buffer.Reset()
		buffers.Put(buffer)
	}
}

// validText reports whether all text in b, which is what the encoder wrote, is
// UTF-8. Arrays, maps and tags need no stack: their items follow in any case.
func validText(b []byte) bool {
	for len(b) > 0 {
		major, size, head := b[0]>>5, uint64(b[0]&31), 1
		if size >= 24 {
			width := 1 << (size - 24)
			size, head = 0, 1+width
			for _, c := range b[1:head] {
				size = size<<8 | uint64(c)
			}
		}
		b = b[head:]
		switch major {
		case majorText:
			if !utf8.Valid(b[:size]) {
				return false
			}
			b = b[size:]
		case majorBytes:
			b = b[size:]
		}
	}
	return true
}

// UnmarshalCBOR decodes b into v. It refuses unknown members, duplicate keys,
// tags and indefinite lengths. It does not prove that b is canonical: the bytes
// of our own store are hashed as they stand.
func UnmarshalCBOR(b []byte, v any) error {
	if err := cborDecoder.Unmarshal(b, v); err != nil {
		return fmt.Errorf("cbor: unmarshal: %w", err)
	}
	return nil
}

// UnmarshalForeignCBOR decodes bytes that came from elsewhere and also refuses
// every encoding but the deterministic one (ErrNotCanonical): the decoder alone
// accepts unsorted keys and long integers.
func UnmarshalForeignCBOR(b []byte, v any) error {
	if err := UnmarshalCBOR(b, v); err != nil {
		return err
	}
	again, err := MarshalCBOR(v)
	if err != nil {
		return err
	}
	if !bytes.Equal(b, again) {
		return ErrNotCanonical
	}
	return nil
}
