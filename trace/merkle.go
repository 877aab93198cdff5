package trace

import (
	"bytes"
	"crypto/sha256"

	badger "github.com/dgraph-io/badger/v4"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// leafHash is the Merkle leaf of a stream. It binds the first record, so that a
// stream cannot be replaced by another one of its name.
func leafHash(name string, first writ.Digest) tlog.Hash {
	tenant, stream, _ := bytes.Cut([]byte(name), []byte{nul})
	leaf := canon.Hash(canon.DomainLeaf, tenant, stream, first.Bytes())
	return tlog.RecordHash(leaf[:])
}

// addLeaf appends the stream to the Merkle log and returns its index.
func (c *change) addLeaf(name string, first writ.Digest) (int64, error) {
	n := c.state.Leaves
	hashes, err := tlog.StoredHashesForRecordHash(n, leafHash(name, first), c.hashes())
	if err != nil {
		return 0, err
	}
	at := tlog.StoredHashIndex(0, n)
	for i, h := range hashes {
		c.tree[at+int64(i)] = h
	}
	value := append(first.Bytes(), name...)
	if err := c.set(indexKey(spaceLeaf, n), value); err != nil {
		return 0, err
	}
	c.state.Leaves++
	return n, nil
}

func (c *change) writeTree() error {
	for i, h := range c.tree {
		if err := c.set(indexKey(spaceTree, i), h[:]); err != nil {
			return err
		}
	}
	return nil
}

// hashes reads the tree with what this transaction adds.
func (c *change) hashes() tlog.HashReader {
	stored := treeReader(c.txn)
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			if h, ok := c.tree[index]; ok {
				out[i] = h
				continue
			}
			h, err := stored.ReadHashes(indexes[i : i+1])
			if err != nil {
				return nil, err
			}
			out[i] = h[0]
		}
		return out, nil
	})
}

func treeReader(txn *badger.Txn) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			value, err := get(txn, indexKey(spaceTree, index))
			if err != nil {
				return nil, err
			}
			if len(value) != tlog.HashSize {
				return nil, writ.Errorf(writ.CodeTampered, "log", "hash %d of the tree is missing", index)
			}
			copy(out[i][:], value)
		}
		return out, nil
	})
}

// rootAt is the root of the log's first n leaves. RFC 6962 section 2.1 fixes that
// of none, which tlog does not know.
func rootAt(txn *badger.Txn, n int64) (tlog.Hash, error) {
	if n == 0 {
		return sha256.Sum256(nil), nil
	}
	return tlog.TreeHash(n, treeReader(txn))
}

// leaf is one entry of the Merkle log.
type leaf struct {
	first  writ.Digest
	tenant writ.TenantID
	stream writ.StreamID
}

func readLeaf(txn *badger.Txn, index int64) (*leaf, error) {
	value, err := get(txn, indexKey(spaceLeaf, index))
	if err != nil {
		return nil, err
	}
	if len(value) <= 32 {
		return nil, writ.Errorf(writ.CodeTampered, "log", "leaf %d is missing", index)
	}
	tenant, stream, _ := bytes.Cut(value[32:], []byte{nul})
	return &leaf{
		first: digestOf(value[:32]), tenant: writ.TenantID(tenant), stream: writ.StreamID(stream),
	}, nil
}
