package trace

import (
	"bytes"
	"context"
	"errors"
	"os"

	badger "github.com/dgraph-io/badger/v4"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// Problem is one thing that is wrong with a stored journal.
type Problem struct {
	Stream  writ.StreamID `json:"stream,omitempty"`
	Seq     uint64        `json:"seq,omitempty"` // 0: of the journal as a whole
	Field   string        `json:"field"`
	Message string        `json:"message"`
}

// HostSigned is the assurance that this host's key alone gives.
const HostSigned = "host-signed"

// Report says what verification found. It is valid where there are no problems.
type Report struct {
	Journals  int         // that were verified
	Records   uint64      // in them
	Expired   int         // payloads and journals whose retention has passed
	Head      writ.Digest // of one journal; empty for many
	Assurance string
	Problems  []Problem // the first of each journal, at most a thousand and that there are more
}

// maxProblems bounds a report of a store whose log claims journals without end.
const maxProblems = 1000

// Valid reports whether nothing is wrong.
func (r *Report) Valid() bool { return len(r.Problems) == 0 }

// Verify checks one journal: the chain, every payload, where each record stands
// in the store, the projection, and its leaf in the log that the anchor signs.
// An imported one is checked against the evidence it came with. CodeNotFound for
// a journal that does not exist; what is wrong is in the report.
func (j *Journal) Verify(ctx context.Context, tenant writ.TenantID, stream writ.StreamID) (*Report, error) {
	report := &Report{Assurance: HostSigned}
	err := j.verifying(ctx, report, func(v *verifier) error { return v.journal(tenant, stream) })
	return report, err
}

// VerifyAll checks every journal of a tenant (empty: of all tenants), that every
// leaf of the log has its journal, and the chain over all records.
func (j *Journal) VerifyAll(ctx context.Context, tenant writ.TenantID) (*Report, error) {
	report := &Report{Assurance: HostSigned}
	err := j.verifying(ctx, report, func(v *verifier) error { return v.all(ctx, tenant) })
	report.Head = ""
	return report, err
}

// verifier works on one view of the store.
type verifier struct {
	j      *Journal
	txn    *badger.Txn
	report *Report
	log    checkpoint // what this host has signed, or would sign
	open   int        // executions that have not ended
	index  index      // of positions
}

func (j *Journal) verifying(ctx context.Context, report *Report, fn func(*verifier) error) error {
	if err := ctx.Err(); err != nil {
		return contextError("verify", err)
	}
	return j.view(func(txn *badger.Txn) error {
		v := &verifier{j: j, txn: txn, report: report}
		if err := v.note("", v.checkLog()); err != nil {
			return err
		}
		return fn(v)
	})
}

// note turns what is tampered with into a problem and leaves other errors.
func (v *verifier) note(stream writ.StreamID, err error) error {
	var e *writ.Error
	if err == nil || !errors.As(err, &e) || e.Code != writ.CodeTampered {
		return err
	}
	problem, ok := e.Details.(Problem)
	if !ok {
		problem = Problem{Stream: stream, Field: orDefault(e.Place, e.Op), Message: e.Error()}
	}
	v.report.Problems = append(v.report.Problems, problem)
	return nil
}

// checkLog reads the tree of journals and compares it with the anchor on disk.
func (v *verifier) checkLog() error {
	s, err := readState(v.txn)
	if err != nil {
		return err
	}
	v.log.state = *s
	if v.log.root, err = rootAt(v.txn, s.Leaves); err != nil {
		return err
	}
	if v.j.disk == nil {
		return nil
	}
	signed, err := os.ReadFile(v.j.anchorPath())
	if err != nil {
		return tampered("anchor", "cannot be read: %w", err)
	}
	anchor, err := openCheckpoint(signed, v.j.signer.verifier)
	if err != nil {
		return tampered("anchor", "is not signed by this host: %w", err)
	}
	// The anchor may have moved on since the view was opened.
	if anchor.Leaves > s.Leaves {
		return nil
	}
	root, err := rootAt(v.txn, anchor.Leaves)
	if err != nil {
		return err
	}
	if root != anchor.root {
		return tampered("anchor", "the log of journals is not the one that was signed")
	}
	return nil
}

func tampered(field, format string, args ...any) error {
	err := writ.Errorf(writ.CodeTampered, field, format, args...)
	err.Place = field
	return err
}

func (v *verifier) journal(tenant writ.TenantID, stream writ.StreamID) error {
	h, err := existingHead(v.txn, tenant, stream)
	if err != nil {
		return v.note(stream, err)
	}
	v.report.Journals++
	v.report.Head = h.Digest
	records, err := readRecords(v.txn, &writ.RecordQuery{Tenant: tenant, Stream: stream})
	if err != nil {
		return v.note(stream, err)
	}
	v.report.Records += uint64(len(records))
	if err := v.records(tenant, h, records); err != nil {
		return v.note(stream, err)
	}
	if err := v.projection(tenant, stream, records); err != nil {
		return v.note(stream, err)
	}
	if last := &records[len(records)-1]; !h.imported() && last.Position != h.Position {
		return v.note(stream, broken(where{stream, last.Seq, "position"}, "the head says %d", h.Position))
	}
	if h.imported() {
		return v.note(stream, v.evidence(tenant, h, records))
	}
	return v.note(stream, v.leaf(tenant, h, &records[0]))
}

// records checks their payloads and where they stand in the store.
func (v *verifier) records(tenant writ.TenantID, h *head, records []writ.Stored) error {
	of, err := openPayloads(v.txn, tenant, records[0].Stream)
	if err != nil {
		return err
	}
	if v.index.txn == nil || v.index.tenant != tenant {
		v.index = index{txn: v.txn, tenant: tenant}
	}
	for i := range records {
		if err := v.record(of, h, &records[i]); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) record(of *payloads, h *head, r *writ.Stored) error {
	for _, ref := range r.Payloads {
		_, err := of.read(ref)
		if writ.IsCode(err, writ.CodeUnreplayable) && (h.imported() || h.Swept != 0) {
			v.report.Expired++
			continue
		}
		if writ.IsCode(err, writ.CodeUnreplayable) {
			return broken(where{r.Stream, r.Seq, "payloads/" + ref.Name}, "is marked as expired, and nothing of this journal was swept")
		}
		if err != nil {
			return broken(where{r.Stream, r.Seq, "payloads/" + ref.Name}, "%w", err)
		}
	}
	if h.imported() {
		return nil
	}
	p, err := v.index.at(r.Position)
	if err != nil {
		return broken(where{r.Stream, r.Seq, "position"}, "%w", err)
	}
	if p == nil || p.stream != r.Stream || p.seq+uint64(r.Position-p.first) != r.Seq ||
		(r.Position == p.last() && digestOf(p.digest[:]) != r.Digest) {
		return broken(where{r.Stream, r.Seq, "position"}, "the index of positions names another record at %d", r.Position)
	}
	return nil
}

// projection compares what lists and queries show with the fold of the records.
func (v *verifier) projection(tenant writ.TenantID, stream writ.StreamID, records []writ.Stored) error {
	if stream == writ.SystemStream {
		return nil
	}
	value, err := get(v.txn, streamPrefix(spaceProject, streamName(tenant, stream)))
	if err != nil {
		return err
	}
	folded := Fold(records)
	if folded.ID == "" {
		if value != nil {
			return broken(where{stream, folded.Seq, "projection"}, "is of no execution")
		}
		return nil
	}
	if !folded.Status.Final() {
		v.open++
	}
	folded.Tenant = tenant // an imported execution belongs to who imported it
	same, err := holds(value, folded)
	if err != nil {
		return err
	}
	if !same {
		return broken(where{stream, folded.Seq, "projection"}, "is not the fold of the records")
	}
	return nil
}

// holds says whether a stored projection is that of an execution. One that is too
// large is stored as nothing.
func holds(value []byte, execution *writ.Execution) (bool, error) {
	want, err := canon.MarshalCBOR(execution)
	if err != nil {
		return false, err
	}
	if len(value) == 0 || len(want) > maxProjection {
		return value != nil && len(value) == 0 && len(want) > maxProjection, nil
	}
	have, damaged := openBlock(value)
	return damaged == nil && bytes.Equal(want, have), nil
}

// leaf proves that the journal's first record is in the log.
func (v *verifier) leaf(tenant writ.TenantID, h *head, first *writ.Stored) error {
	if h.Leaf < 0 || h.Leaf >= v.log.Leaves {
		return broken(where{first.Stream, 1, "leaf"}, "the journal is not in the log")
	}
	proof, err := tlog.ProveRecord(v.log.Leaves, h.Leaf, treeReader(v.txn))
	if err != nil {
		return err
	}
	hash := leafHash(streamName(tenant, first.Stream), first.Digest)
	if err := tlog.CheckRecord(proof, v.log.Leaves, v.log.root, h.Leaf, hash); err != nil {
		return broken(where{first.Stream, 1, "leaf"}, "the log holds another first record: %w", err)
	}
	return nil
}

// all walks the leaves, then the chain over all records.
func (v *verifier) all(ctx context.Context, tenant writ.TenantID) error {
	for i := range v.log.Leaves {
		if err := ctx.Err(); err != nil {
			return contextError("verify", err)
		}
		if len(v.report.Problems) >= maxProblems {
			return v.note("", tampered("log", "the rest was not looked at"))
		}
		l, err := readLeaf(v.txn, i)
		if err == nil {
			err = v.tree(i, l)
		}
		if err != nil {
			if err := v.note("", err); err != nil {
				return err
			}
			continue
		}
		if tenant != "" && l.tenant != tenant {
			continue
		}
		if err := v.existing(l); err != nil {
			return err
		}
	}
	if err := v.note("", v.chain()); err != nil || tenant != "" {
		return err
	}
	if err := v.note("", v.opened()); err != nil || v.open == 0 {
		return err
	}
	return v.note("", tampered("open", "of those that have not ended %d are missing", v.open))
}

// tree computes again what the leaf added to the log.
func (v *verifier) tree(index int64, l *leaf) error {
	stored := treeReader(v.txn)
	want, err := tlog.StoredHashesForRecordHash(index, leafHash(streamName(l.tenant, l.stream), l.first), stored)
	if err != nil {
		return err
	}
	at := tlog.StoredHashIndex(0, index)
	for i := range want {
		have, err := stored.ReadHashes([]int64{at + int64(i)})
		if err != nil {
			return err
		}
		if have[0] != want[i] {
			return broken(where{l.stream, 1, "leaf"}, "the log holds another leaf %d", index)
		}
	}
	return nil
}

// existing verifies the journal of a leaf, which may have expired and may not be
// absent.
func (v *verifier) existing(l *leaf) error {
	err := v.journal(l.tenant, l.stream)
	if !writ.IsCode(err, writ.CodeNotFound) {
		return err
	}
	gone, err := get(v.txn, streamPrefix(spaceGone, streamName(l.tenant, l.stream)))
	if err != nil {
		return v.note(l.stream, err)
	}
	if gone == nil {
		return v.note(l.stream, broken(where{l.stream, 1, "journal"}, "is in the log and not in the store: it was removed"))
	}
	v.report.Expired++
	return nil
}

// chain links all records again in the order of the store.
func (v *verifier) chain() error {
	var chain [32]byte
	last := writ.Position(0)
	err := eachRun(v.txn, 0, func(r *run) error {
		if r.first != last+1 {
			return tampered("position", "record %d of the store is missing", last+1)
		}
		last = r.last()
		chain = link(chain, r.digest[:])
		return nil
	})
	if err != nil {
		return err
	}
	if last != v.log.Position || !bytes.Equal(chain[:], v.log.Chain) {
		return tampered("chain", "the records do not lead to the end of the store")
	}
	return nil
}
