package canon

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// ErrNotCanonical is returned by UnmarshalCBOR for bytes that decode but are not
// the deterministic encoding of what they decode to.
var ErrNotCanonical = errors.New("cbor: not in core deterministic form")

var (
	cborEncoder = mustEncoder()
	cborDecoder = mustDecoder()
)

func mustEncoder() cbor.EncMode {
	mode, err := cbor.CoreDetEncOptions().EncMode()
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
func MarshalCBOR(v any) ([]byte, error) {
	b, err := cborEncoder.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("cbor: marshal: %w", err)
	}
	return b, nil
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
