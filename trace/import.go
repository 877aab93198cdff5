package trace

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"strings"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// Import stores a verified bundle, so that its execution can be read, verified
// and replayed here under its own id. It never runs: only what has ended is
// taken, and no record can follow. The change is recorded in the system journal
// under the caller's name. CodeInvalid for evidence that VerifyEvidence did not
// return, CodeConflict where the execution has not ended or another one of its
// id is here; the same bundle again changes nothing.
func (j *Journal) Import(ctx context.Context, tenant writ.TenantID, e *Evidence) error {
	const op = "evidence: import"
	if e == nil || e.raw == nil || !validName(string(tenant)) {
		return writ.Errorf(writ.CodeInvalid, op, "want verified evidence and a tenant")
	}
	execution := Fold(e.Records)
	execution.Tenant = tenant
	if execution.ID == "" || !execution.Status.Final() {
		return writ.Errorf(writ.CodeConflict, op, "%s has not ended (%s)", e.Execution, orDefault(execution.Status, "unknown")).
			WithFix("export it again when it has ended; `trace verify FILE` checks the bundle as it is")
	}
	if known, err := j.alreadyImported(tenant, e); known || err != nil {
		return err
	}
	receipt, err := j.appendImport(ctx, tenant, e, execution)
	if err != nil {
		return err
	}
	return j.Barrier(ctx, receipt.Position)
}

// alreadyImported is CodeConflict where the id is taken by something else.
func (j *Journal) alreadyImported(tenant writ.TenantID, e *Evidence) (bool, error) {
	stream, known := writ.StreamID(e.Execution), false
	err := j.view(func(txn *badger.Txn) error {
		records, err := readRecords(txn, &writ.RecordQuery{Tenant: tenant, Stream: stream})
		if writ.IsCode(err, writ.CodeNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if !e.same(records) {
			return taken(e.Execution)
		}
		known = true
		return nil
	})
	return known, err
}

func taken(id writ.ExecutionID) error {
	return writ.Errorf(writ.CodeConflict, "evidence: import", "another execution %s is here", id).
		WithFix("import it into another home")
}

func (j *Journal) appendImport(ctx context.Context, tenant writ.TenantID, e *Evidence, execution *writ.Execution) (writ.Receipt, error) {
	last := &e.Records[len(e.Records)-1]
	h := &head{Seq: last.Seq, Digest: last.Digest, Leaf: -1, Owner: e.Tenant, Key: e.Key}
	in := &writ.Batch{
		Tenant: tenant, Stream: writ.SystemStream, Expect: writ.AnySeq,
		Records: []writ.NewRecord{j.systemRecord(ctx, tenant, writ.RecEvidenceImported, e)},
	}
	b, err := j.prepare(in)
	if err != nil {
		return writ.Receipt{}, err
	}
	b.inline = false
	if b.bulk, err = j.importBulk(tenant, e); err != nil {
		return writ.Receipt{}, err
	}
	if b.extra, err = importHead(tenant, h, execution); err != nil {
		return writ.Receipt{}, err
	}
	name := streamName(tenant, writ.StreamID(e.Execution))
	defer j.lockStreams(name, b.name)()
	current, err := j.head(name)
	if err != nil {
		return writ.Receipt{}, err
	}
	if current.Seq != 0 {
		return writ.Receipt{}, taken(e.Execution)
	}
	receipt, err := j.accept(b, in)
	if err == nil {
		h.Position = receipt.Position // keeps it in the cache until it is durable
		j.mu.Lock()
		j.heads[name] = h
		j.mu.Unlock()
	}
	return receipt, err
}

// systemRecord says in the system journal what happened to a bundle.
func (j *Journal) systemRecord(ctx context.Context, tenant writ.TenantID, kind writ.RecordType, e *Evidence) writ.NewRecord {
	actor := writ.Audit{
		ActorID: "host", ActorType: writ.Service, TenantID: tenant, WorkspaceID: writ.DefaultWorkspace,
		CapabilityGrants: []string{}, CapabilitySource: "host", OnBehalfOf: []writ.PrincipalID{},
	}
	if p, err := writ.PrincipalFrom(ctx); err == nil {
		actor = writ.AuditOf(p, "")
	}
	return writ.NewRecord{
		Type: kind, Time: j.opts.Clock.Now(), Actor: actor,
		Body: writ.Body{System: &writ.SystemFacts{
			Subject: string(e.Execution), Digest: e.Digest(), Status: strings.TrimPrefix(string(kind), "evidence."),
			Details: map[string]string{"origin": e.Origin, "head": string(e.Head), "key": hex.EncodeToString(e.Key)},
		}},
	}
}

// importBulk is what nothing sees before the head is there.
func (j *Journal) importBulk(tenant writ.TenantID, e *Evidence) ([]write, error) {
	name := streamName(tenant, writ.StreamID(e.Execution))
	writes := pieceWrites(numberedPrefix(spaceEvidence, name), e.raw)
	for i := range e.Records {
		r := &e.Records[i]
		writes = append(writes, write{numberedKey(spaceForeign, name, r.Seq), sealBlock(appendSlot(nil, slot{r.Seq, r.Position, r.Bytes}))})
		for _, ref := range r.Payloads {
			if p, ok := e.payloads[ref.Digest]; ok {
				writes = append(writes, payloadWrites(tenant, &p)...)
			}
		}
	}
	// A bundle may name a payload of somebody else as missing: what is here stays.
	err := j.view(func(txn *badger.Txn) error {
		for _, digest := range e.Missing {
			key := payloadKey(tenant, digest)
			if have, err := get(txn, key); err != nil {
				return err
			} else if have == nil {
				writes = append(writes, write{key, expiredMark(0)})
			}
		}
		return nil
	})
	return writes, err
}

func importHead(tenant writ.TenantID, h *head, execution *writ.Execution) ([]write, error) {
	name := streamName(tenant, writ.StreamID(execution.ID))
	encoded, err := canon.MarshalCBOR(h)
	if err != nil {
		return nil, err
	}
	projection, _, err := appendProjection([]byte{}, execution)
	if err != nil {
		return nil, err
	}
	writes := []write{{streamPrefix(spaceHead, name), encoded}, {streamPrefix(spaceProject, name), projection}}
	listed := listEntryOf(execution)
	for _, key := range listed.keys(tenant) {
		writes = append(writes, write{key, []byte{}})
	}
	return writes, nil
}

func readEvidence(txn *badger.Txn, tenant writ.TenantID, stream writ.StreamID) ([]byte, error) {
	return readPieces(txn, numberedPrefix(spaceEvidence, streamName(tenant, stream)))
}

// evidence verifies an imported journal against the bundle that it came with.
// under the key that was trusted then.
func (v *verifier) evidence(tenant writ.TenantID, h *head, records []writ.Stored) error {
	stream := records[0].Stream
	raw, err := readEvidence(v.txn, tenant, stream)
	if err != nil {
		return err
	}
	e, err := VerifyEvidence(bytes.NewReader(raw), []ed25519.PublicKey{h.Key})
	if err != nil {
		return err
	}
	if !e.same(records) {
		return broken(where{stream, 1, "evidence"}, "holds other records than the store")
	}
	return nil
}

// trusted are the keys under which evidence is accepted: this host's own and
// those that it was told of.
func (j *Journal) trusted() []ed25519.PublicKey {
	return append([]ed25519.PublicKey{j.signer.public}, j.opts.Hosts...)
}

// known are the keys for an execution of this store: of the host that an imported
// one came from, otherwise this host's.
func (j *Journal) known(tenant writ.TenantID, id writ.ExecutionID) ([]ed25519.PublicKey, error) {
	keys := j.trusted()
	err := j.view(func(txn *badger.Txn) error {
		h, err := existingHead(txn, tenant, writ.StreamID(id))
		if err == nil && h.imported() {
			keys = []ed25519.PublicKey{h.Key}
		}
		return err
	})
	return keys, err
}
