package trace

import (
	"context"
	"encoding/json"
	"strings"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// maxAnswer bounds the payloads of one answer, in bytes.
const maxAnswer = 16 << 20

// ok is the result of a query.
func (j *Journal) ok(at writ.Time) contract.Result {
	return contract.Result{Status: "ok", ChangedAt: orDefault(at, j.opts.Clock.Now())}
}

// ExecutionGet handles contract.ExecutionGet.
func (j *Journal) ExecutionGet(ctx context.Context, in *contract.ExecutionGetInput) (*contract.ExecutionGetOutput, error) {
	caller, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	execution, err := j.Execution(ctx, caller.Tenant, in.ExecutionID)
	if err != nil {
		return nil, err
	}
	if err := contract.Own(caller, execution); err != nil {
		return nil, err
	}
	wire, err := contract.ExecutionFrom(execution)
	if err != nil {
		return nil, err
	}
	if !in.IncludeOutputs {
		return &contract.ExecutionGetOutput{Result: j.ok(execution.UpdatedAt), Execution: *wire}, nil
	}
	read, err := j.Payloads(ctx, caller.Tenant, writ.StreamID(execution.ID))
	if err != nil {
		return nil, err
	}
	for i := range execution.Steps {
		ref := execution.Steps[i].Output
		if ref == nil {
			continue
		}
		output, err := read(*ref)
		if err != nil && !writ.IsCode(err, writ.CodeUnreplayable) {
			return nil, err
		}
		wire.Steps[i].Output = output
	}
	return &contract.ExecutionGetOutput{Result: j.ok(execution.UpdatedAt), Execution: *wire}, nil
}

// ExecutionList handles contract.ExecutionList.
func (j *Journal) ExecutionList(ctx context.Context, in *contract.ExecutionListInput) (*contract.ExecutionListOutput, error) {
	caller, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	page, err := j.Executions(ctx, writ.ExecutionQuery{
		Tenant: caller.Tenant, Workspace: in.WorkspaceID, Status: in.Status, Risk: in.RiskTier,
		Limit: in.Limit, Cursor: in.Cursor,
	})
	if err != nil {
		return nil, err
	}
	out := &contract.ExecutionListOutput{Result: j.ok(0), Items: []contract.Execution{}, NextCursor: page.Next}
	for _, execution := range page.Items {
		wire, err := contract.ExecutionFrom(execution)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, *wire)
	}
	return out, nil
}

// TraceGet handles contract.TraceGet.
func (j *Journal) TraceGet(ctx context.Context, in *contract.TraceGetInput) (*contract.TraceGetOutput, error) {
	caller, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	records, err := j.Records(ctx, writ.RecordQuery{Tenant: caller.Tenant, Stream: writ.StreamID(in.ExecutionID)})
	if err != nil {
		return nil, err
	}
	out := &contract.TraceGetOutput{Entries: make([]contract.TraceEntry, 0, len(records))}
	room := int64(maxAnswer)
	var read writ.PayloadReader
	if in.IncludePayloads {
		if read, err = j.Payloads(ctx, caller.Tenant, writ.StreamID(in.ExecutionID)); err != nil {
			return nil, err
		}
	}
	for i := range records {
		entry, err := entryOf(&records[i])
		if err != nil {
			return nil, err
		}
		if in.IncludePayloads {
			if err := fillData(entry, read, &room); err != nil {
				return nil, err
			}
		}
		out.Entries = append(out.Entries, *entry)
		out.Result = j.ok(records[i].Time)
	}
	return out, nil
}

func entryOf(r *writ.Stored) (*contract.TraceEntry, error) {
	facts, err := json.Marshal(&r.Body)
	if err != nil {
		return nil, writ.Errorf(writ.CodeInternal, "trace", "%w", err)
	}
	stage, status, _ := strings.Cut(string(r.Type), ".")
	entry := &contract.TraceEntry{
		Seq: r.Seq, Timestamp: r.Time, Stage: stage, Type: r.Type, Status: status, StepID: r.Step,
		Attempt: r.Attempt, ActorID: r.Actor.ActorID, Audit: r.Actor, Metadata: facts, Digest: r.Digest, Prev: r.Prev,
	}
	for _, ref := range r.Payloads {
		entry.Payloads = append(entry.Payloads, contract.TracePayload{Name: ref.Name, Digest: ref.Digest, Size: ref.Size})
	}
	return entry, nil
}

// fillData adds payloads. The seed of a step is secret: whoever has it can
// recompute the guest's randomness.
func fillData(entry *contract.TraceEntry, read writ.PayloadReader, room *int64) error {
	for i := range entry.Payloads {
		p := &entry.Payloads[i]
		if p.Name == writ.PayloadSeed {
			continue
		}
		if *room -= p.Size; *room < 0 {
			return writ.Errorf(writ.CodeTooLarge, "trace", "the payloads have more than %d bytes", maxAnswer).
				WithFix("export the evidence instead: `writ trace export`")
		}
		data, err := read(writ.PayloadRef{Name: p.Name, Digest: p.Digest, Size: p.Size})
		if err != nil && !writ.IsCode(err, writ.CodeUnreplayable) {
			return err
		}
		p.Data, p.Missing = data, err != nil
	}
	return nil
}

// TraceList handles contract.TraceList.
func (j *Journal) TraceList(ctx context.Context, in *contract.TraceListInput) (*contract.TraceListOutput, error) {
	caller, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	page, err := j.Executions(ctx, writ.ExecutionQuery{
		Tenant: caller.Tenant, Workspace: in.WorkspaceID, Limit: in.Limit, Cursor: in.Cursor,
	})
	if err != nil {
		return nil, err
	}
	out := &contract.TraceListOutput{Result: j.ok(0), Items: []contract.TraceSummary{}, NextCursor: page.Next}
	err = j.view(func(txn *badger.Txn) error {
		for _, e := range page.Items {
			h, err := existingHead(txn, caller.Tenant, writ.StreamID(e.ID))
			if err != nil {
				return err
			}
			out.Items = append(out.Items, contract.TraceSummary{
				ExecutionID: e.ID, Status: e.Status, Records: h.Seq, Head: h.Digest,
				CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt,
			})
		}
		return nil
	})
	return out, err
}

// TraceVerify handles contract.TraceVerify.
func (j *Journal) TraceVerify(ctx context.Context, in *contract.TraceVerifyInput) (*contract.TraceVerifyOutput, error) {
	caller, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	var report *Report
	if in.ExecutionID == "" {
		report, err = j.VerifyAll(ctx, caller.Tenant)
	} else {
		report, err = j.Verify(ctx, caller.Tenant, writ.StreamID(in.ExecutionID))
	}
	if err != nil {
		return nil, err
	}
	return &contract.TraceVerifyOutput{
		Result: j.ok(0), Valid: report.Valid(), Records: report.Records, Head: report.Head,
		Assurance: contract.HostSigned, Problems: problemsOf(report.Problems),
	}, nil
}

func problemsOf(problems []Problem) []contract.TraceProblem {
	out := []contract.TraceProblem{}
	for _, p := range problems {
		out = append(out, contract.TraceProblem{
			ExecutionID: writ.ExecutionID(p.Stream), Seq: p.Seq, Code: string(writ.CodeTampered),
			Message: p.Field + ": " + p.Message,
		})
	}
	return out
}
