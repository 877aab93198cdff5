// Package canon owns the two canonical forms that Writ hashes, signs and
// compares: RFC 8785 for JSON documents and RFC 8949 core deterministic CBOR for
// journal records. Nothing else in the module encodes bytes that are hashed.
package canon

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
	"sync"
)

// Digest is "sha256:" and 64 lower-case hexadecimal digits, the form of OCI.
type Digest string

const digestPrefix = "sha256:"

// Domain separates hashes of different meaning, so that the bytes of one kind
// of document can never be passed off as another kind.
type Domain string

// The closed set of domains. docs/formats.md fixes what each one hashes.
const (
	DomainRecord         Domain = "writ/record/v1"
	DomainPayload        Domain = "writ/payload/v1"
	DomainPlan           Domain = "writ/plan/v1"
	DomainStep           Domain = "writ/step/v1"
	DomainIntent         Domain = "writ/intent/v1"
	DomainExecution      Domain = "writ/execution/v1"
	DomainRun            Domain = "writ/run/v1"
	DomainApproval       Domain = "writ/approval/v1"
	DomainStepKey        Domain = "writ/step-key/v1"
	DomainCallKey        Domain = "writ/call-key/v1"
	DomainArguments      Domain = "writ/arguments/v1"
	DomainInput          Domain = "writ/input/v1"
	DomainVerdict        Domain = "writ/verdict/v1"
	DomainTrail          Domain = "writ/trail/v1"
	DomainSchema         Domain = "writ/schema/v1"
	DomainPolicy         Domain = "writ/policy/v1"
	DomainPolicyLayers   Domain = "writ/policy-layers/v1"
	DomainSeed           Domain = "writ/seed/v1"
	DomainToken          Domain = "writ/token/v1"
	DomainPerson         Domain = "writ/person/v1"
	DomainEvent          Domain = "writ/event/v1"
	DomainLeaf           Domain = "writ/leaf/v1"
	DomainIdempotencyKey Domain = "writ/idempotency/v1"
	DomainContract       Domain = "writ/contract/v1"
	DomainInstallation   Domain = "writ/installation/v1"
	DomainDelivery       Domain = "writ/delivery/v1"
	DomainMessage        Domain = "writ/message/v1"
)

// Hash is SHA-256 over the domain and the parts, each preceded by its length as
// eight big-endian bytes, so no two lists of parts share an encoding.
func Hash(domain Domain, parts ...[]byte) [sha256.Size]byte {
	h, _ := hashers.Get().(*hasher)
	feed(h, domain)
	for _, p := range parts {
		feed(h, p)
	}
	sum := h.finish()
	hashers.Put(h)
	return sum
}

// hasher collects what is hashed in a buffer of its own, so that nothing of the
// caller's escapes to the heap: a record costs no allocation but its digest.
type hasher struct {
	sha    hash.Hash
	n      int // bytes in buffer
	buffer [1024]byte
}

var hashers = sync.Pool{New: func() any { return &hasher{sha: sha256.New()} }}

func (h *hasher) flush() {
	h.sha.Write(h.buffer[:h.n])
	h.n = 0
}

// feed adds a part with its length before it.
func feed[T ~string | ~[]byte](h *hasher, part T) {
	if len(h.buffer)-h.n < 8 {
		h.flush()
	}
	binary.BigEndian.PutUint64(h.buffer[h.n:], uint64(len(part)))
	h.n += 8
	for len(part) > 0 {
		if h.n == len(h.buffer) {
			h.flush()
		}
		n := copy(h.buffer[h.n:], part)
		h.n += n
		part = part[n:]
	}
}

// finish leaves the hasher as it was new.
func (h *hasher) finish() (sum [sha256.Size]byte) {
	h.flush()
	copy(sum[:], h.sha.Sum(h.buffer[:0]))
	h.sha.Reset()
	return sum
}

// Sum is Hash in the form of a Digest.
func Sum(domain Domain, parts ...[]byte) Digest {
	return DigestOf(Hash(domain, parts...))
}

// DigestOf is the Digest of a hash.
func DigestOf(sum [sha256.Size]byte) Digest {
	var text [len(digestPrefix) + 2*sha256.Size]byte
	hex.Encode(text[copy(text[:], digestPrefix):], sum[:])
	return Digest(text[:])
}

// SHA256 is the plain SHA-256 of b without a domain: the digest that OCI,
// Sigstore and other standards use for a blob. Writ's own documents use Sum.
func SHA256(b []byte) Digest {
	sum := sha256.Sum256(b)
	return Digest(digestPrefix + hex.EncodeToString(sum[:]))
}

// ParseDigest accepts exactly the form of Digest.
func ParseDigest(s string) (Digest, error) {
	if d := Digest(s); d.Valid() {
		return d, nil
	}
	return "", fmt.Errorf("digest %q: want sha256: and 64 lower-case hexadecimal digits", s)
}

// Valid reports whether d has the form of a digest. The empty digest has not.
func (d Digest) Valid() bool {
	rest, ok := strings.CutPrefix(string(d), digestPrefix)
	if !ok || len(rest) != 2*sha256.Size {
		return false
	}
	for _, c := range rest {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// Hex is the hexadecimal part of d, empty where d is not valid.
func (d Digest) Hex() string {
	if !d.Valid() {
		return ""
	}
	return string(d[len(digestPrefix):])
}

// Bytes are the 32 bytes of d, nil where d is not valid.
func (d Digest) Bytes() []byte {
	b, err := hex.DecodeString(d.Hex())
	if err != nil || len(b) == 0 {
		return nil
	}
	return b
}

// idEncoding is lower-case base32 without padding: safe in URLs, file names and
// NATS subjects, and not case sensitive.
var idEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// idLength keeps 130 bits of the hash: collisions stay out of reach.
const idLength = 26

// ID derives a deterministic identifier, PREFIX_ and 26 base32 characters, from
// the same hash that Sum uses.
func ID(prefix string, domain Domain, parts ...[]byte) string {
	sum := Hash(domain, parts...)
	return prefix + "_" + idEncoding.EncodeToString(sum[:])[:idLength]
}
