package trace

import (
	"context"
	"slices"
	"strings"

	"github.com/writ-run/writ"
)

// unrecorded are the owners of documents that may change without a record: nothing
// that is decided, and nothing that is derived again, rests on them.
var unrecorded = []string{"hook", "asked", "askref", "askin", "askold"}

// maxNote bounds the bytes of one Note: it holds up all writers.
const maxNote = 256 << 10

// Note implements writ.Notes. Beyond its codes: CodeTooLarge above 256 KiB.
func (j *Journal) Note(ctx context.Context, tenant writ.TenantID, changes ...writ.Change) error {
	const op = "note"
	if !validName(string(tenant)) {
		return writ.Errorf(writ.CodeInvalid, op, "no tenant is named")
	}
	writes, size := make([]write, 0, len(changes)), 0
	for _, c := range changes {
		owner, rest, _ := strings.Cut(c.Key, "/")
		if rest == "" || !validDocumentKey(c.Key) || !slices.Contains(unrecorded, owner) {
			return writ.Errorf(writ.CodeInvalid, op, "document %s changes with a record alone", writ.Clip(c.Key, 80))
		}
		size += len(c.Key) + len(c.Value)
		writes = append(writes, write{documentKey(tenant, c.Key), slices.Clone(c.Value)})
	}
	if size > maxNote {
		return writ.Errorf(writ.CodeTooLarge, op, "%d bytes: at most %d", size, maxNote)
	}
	return j.do(ctx, func() error {
		if err := j.put(writes); err != nil {
			j.poison(err)
			return poisoned(op, err)
		}
		return nil
	})
}
