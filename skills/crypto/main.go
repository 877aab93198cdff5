// Command crypto is the skill writ/crypto: digests, encodings and JSON Web Tokens.
// It uses no tool. Nothing in it is for secrets: an input stands in the plan and in
// the journal.
package main

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"unicode/utf8"

	"github.com/writ-run/writ/sdk"
)

// Data is bytes, as text or in an encoding.
type Data struct {
	Data     string `json:"data"`
	Encoding string `json:"encoding,omitempty" enum:"text,base64,base64url,hex" doc:"How data is written; text if absent"`
}

func (d Data) bytes() ([]byte, error) { return decoded(d.Data, d.Encoding) }

func decoded(data, encoding string) (out []byte, err error) {
	switch encoding {
	case "base64":
		out, err = base64.StdEncoding.Strict().DecodeString(data)
	case "base64url":
		out, err = base64.RawURLEncoding.Strict().DecodeString(data)
	case "hex":
		out, err = hex.DecodeString(data)
	default:
		return []byte(data), nil
	}
	if err != nil {
		return nil, sdk.Fail("bad_data", fmt.Sprintf("data is not %s", encoding))
	}
	return out, nil
}

// Digest is a digest.
type Digest struct {
	Hex    string `json:"hex"`
	Base64 string `json:"base64"`
}

func digestOf(sum []byte) Digest {
	return Digest{Hex: hex.EncodeToString(sum), Base64: base64.StdEncoding.EncodeToString(sum)}
}

// HashIn is the input of hash.
type HashIn struct {
	Data
	Algorithm string `json:"algorithm,omitempty" enum:"sha256,sha384,sha512,sha1" doc:"sha256 if absent; sha1 proves nothing any more"`
}

func algorithm(name string) func() hash.Hash {
	switch name {
	case "sha384":
		return sha512.New384
	case "sha512":
		return sha512.New
	case "sha1":
		return sha1.New
	}
	return sha256.New
}

func digest(_ *sdk.Context, in HashIn) (Digest, error) {
	data, err := in.bytes()
	if err != nil {
		return Digest{}, err
	}
	h := algorithm(in.Algorithm)()
	h.Write(data)
	return digestOf(h.Sum(nil)), nil
}

// HMACIn is the input of hmac.
type HMACIn struct {
	HashIn
	Key string `json:"key" doc:"As text. It stands in the plan and in the journal: no secret"`
}

func mac(_ *sdk.Context, in HMACIn) (Digest, error) {
	data, err := in.bytes()
	if err != nil {
		return Digest{}, err
	}
	if in.Key == "" {
		return Digest{}, sdk.Fail("empty", "the key is empty")
	}
	h := hmac.New(algorithm(in.Algorithm), []byte(in.Key))
	h.Write(data)
	return digestOf(h.Sum(nil)), nil
}

// EqualIn is the input of equal.
type EqualIn struct {
	Left          string `json:"left"`
	LeftEncoding  string `json:"leftEncoding,omitempty" enum:"text,base64,base64url,hex"`
	Right         string `json:"right"`
	RightEncoding string `json:"rightEncoding,omitempty" enum:"text,base64,base64url,hex"`
}

// EqualOut is the output of equal.
type EqualOut struct {
	Equal bool `json:"equal"`
}

// equal takes the same time wherever two values of one length differ.
func equal(_ *sdk.Context, in EqualIn) (EqualOut, error) {
	left, err := decoded(in.Left, in.LeftEncoding)
	if err != nil {
		return EqualOut{}, err
	}
	right, err := decoded(in.Right, in.RightEncoding)
	if err != nil {
		return EqualOut{}, err
	}
	return EqualOut{Equal: subtle.ConstantTimeCompare(left, right) == 1}, nil
}

// EncodeIn is the input of encode.
type EncodeIn struct {
	Data
	To string `json:"to" enum:"text,base64,base64url,hex"`
}

// EncodeOut is the output of encode.
type EncodeOut struct {
	Data string `json:"data"`
}

func encode(_ *sdk.Context, in EncodeIn) (EncodeOut, error) {
	data, err := in.bytes()
	if err != nil {
		return EncodeOut{}, err
	}
	switch in.To {
	case "base64":
		return EncodeOut{base64.StdEncoding.EncodeToString(data)}, nil
	case "base64url":
		return EncodeOut{base64.RawURLEncoding.EncodeToString(data)}, nil
	case "hex":
		return EncodeOut{hex.EncodeToString(data)}, nil
	}
	if !utf8.Valid(data) {
		return EncodeOut{}, sdk.Fail("not_text", "the bytes are no UTF-8 text")
	}
	return EncodeOut{string(data)}, nil
}

var (
	_ = sdk.Action("hash", digest)
	_ = sdk.Action("hmac", mac)
	_ = sdk.Action("equal", equal)
	_ = sdk.Action("encode", encode)
	_ = sdk.Action("jwt_decode", jwtDecode)
	_ = sdk.Action("jwt_verify", jwtVerify)
)

func main() {} // a skill is entered through its actions
