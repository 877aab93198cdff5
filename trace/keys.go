package trace

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"

	"github.com/writ-run/writ"
)

// Key spaces. A key is the space, the tenant, a NUL and what the space orders
// by. Numbers are big-endian so that they sort.
const (
	spaceRecord   = 'r' // stream NUL last seq -> see segment.go
	spacePack     = 'k' // stream NUL last seq -> payloads, see pack.go
	spacePosition = 'p' // last position -> see places.go
	spaceHead     = 'h' // stream -> head
	spaceProject  = 'e' // stream -> block of the Execution in CBOR, empty where it is too large
	spaceList     = 'x' // see list.go
	spaceOpen     = 'o' // no tenant; slot -> see open.go
	spacePayload  = 'y' // digest -> payload that is in no pack, see pack.go
	spaceDocument = 'd' // key -> document
	spaceGone     = 'g' // stream -> tombstone of what has expired
	spaceForeign  = 'f' // stream NUL last seq -> as spaceRecord, of an imported journal
	spaceEvidence = 'i' // stream NUL number -> piece of the evidence it came with
	spaceLeaf     = 'l' // no tenant; index -> leaf
	spaceTree     = 't' // no tenant; index -> hash of the Merkle tree
)

var (
	keySchema = []byte("m/schema")
	keyState  = []byte("m/state")
)

const nul = 0

// maxName bounds tenants and streams: an identifier is 30 bytes, a name given
// by an operator rarely longer.
const maxName = 128

func validName(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for _, c := range []byte(s) {
		letter := (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')
		if !letter && !strings.ContainsRune("._-:@", rune(c)) {
			return false
		}
	}
	return true
}

// maxDocumentKey keeps documents well under Badger's limit of 65,000 bytes a key.
const maxDocumentKey = 1024

func validDocumentKey(key string) bool {
	return key != "" && len(key) <= maxDocumentKey && utf8.ValidString(key)
}

// keyRoom is what is put behind a prefix: a NUL and a number, or a digest.
const keyRoom = 32

func tenantKey(space byte, tenant writ.TenantID, rest ...string) []byte {
	key := append(make([]byte, 0, 2+len(tenant)+keyRoom), space)
	key = append(append(key, tenant...), nul)
	for _, part := range rest {
		key = append(key, part...)
	}
	return key
}

func streamName(tenant writ.TenantID, stream writ.StreamID) string {
	return string(tenant) + "\x00" + string(stream)
}

// streamPrefix is the key of a stream in a space; name is of streamName.
func streamPrefix(space byte, name string) []byte {
	return append(append(make([]byte, 0, 1+len(name)+keyRoom), space), name...)
}

func recordKey(name string, seq uint64) []byte {
	return numberedKey(spaceRecord, name, seq)
}

func numberedPrefix(space byte, name string) []byte {
	return append(streamPrefix(space, name), nul)
}

func numberedKey(space byte, name string, n uint64) []byte {
	return binary.BigEndian.AppendUint64(numberedPrefix(space, name), n)
}

func positionKey(tenant writ.TenantID, p writ.Position) []byte {
	return binary.BigEndian.AppendUint64(tenantKey(spacePosition, tenant), uint64(p))
}

func payloadKey(tenant writ.TenantID, digest writ.Digest) []byte {
	return append(tenantKey(spacePayload, tenant), digest.Bytes()...)
}

func documentKey(tenant writ.TenantID, key string) []byte {
	return tenantKey(spaceDocument, tenant, key)
}

func indexKey(space byte, index int64) []byte {
	return binary.BigEndian.AppendUint64([]byte{space, nul}, uint64(index))
}
