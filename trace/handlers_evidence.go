package trace

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// EvidenceExport handles contract.EvidenceExport.
func (j *Journal) EvidenceExport(ctx context.Context, in *contract.EvidenceExportInput) (*contract.EvidenceExportOutput, error) {
	caller, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	e, err := j.export(ctx, ExportRequest{
		Tenant: caller.Tenant, Execution: in.ExecutionID, ExcludePayloads: in.ExcludePayloads,
	})
	if err != nil {
		return nil, err
	}
	record := j.systemRecord(ctx, caller.Tenant, writ.RecEvidenceExported, e)
	receipt, err := j.Append(ctx, &writ.Batch{
		Tenant: caller.Tenant, Stream: writ.SystemStream, Expect: writ.AnySeq, Records: []writ.NewRecord{record},
	})
	if err != nil {
		return nil, err
	}
	if err := j.Barrier(ctx, receipt.Position); err != nil {
		return nil, err
	}
	return &contract.EvidenceExportOutput{
		Result: contract.Result{Status: "exported", ChangedAt: record.Time}, Bundle: e.raw, Digest: e.Digest(),
		Records: uint64(len(e.Records)), Head: e.Head, Assurance: contract.HostSigned,
	}, nil
}

// export makes a bundle with its attachments and verifies it as its reader will.
func (j *Journal) export(ctx context.Context, req ExportRequest) (*Evidence, error) {
	keys, err := j.known(req.Tenant, req.Execution)
	if err != nil {
		return nil, err
	}
	if j.opts.Attach != nil {
		records, err := j.Records(ctx, writ.RecordQuery{Tenant: req.Tenant, Stream: writ.StreamID(req.Execution)})
		if err != nil {
			return nil, err
		}
		_, skills, policies := summarise(records)
		if req.Attachments, err = j.opts.Attach(ctx, req.Tenant, skills, policies); err != nil {
			return nil, err
		}
	}
	var bundle bytes.Buffer
	if err := j.Export(ctx, req, &bundle); err != nil {
		return nil, err
	}
	return VerifyEvidence(&bundle, keys)
}

// EvidenceImport handles contract.EvidenceImport.
func (j *Journal) EvidenceImport(ctx context.Context, in *contract.EvidenceImportInput) (*contract.EvidenceImportOutput, error) {
	caller, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	keys := j.trusted()
	if in.PublicKeyPEM != "" {
		key, err := parseKey(in.PublicKeyPEM)
		if err != nil {
			return nil, err
		}
		keys = []ed25519.PublicKey{key}
	}
	out := &contract.EvidenceImportOutput{Assurance: contract.HostSigned, Problems: []contract.TraceProblem{}}
	e, err := VerifyEvidence(bytes.NewReader(in.Bundle), keys)
	var fault *writ.Error
	switch {
	case errors.As(err, &fault) && fault.Code == writ.CodeTampered && fault.Place != placeEnvelope:
		problem, ok := fault.Details.(Problem)
		if !ok {
			problem = Problem{Field: fault.Place, Message: fault.Message}
		}
		out.Result, out.Problems = j.ok(0), problemsOf([]Problem{problem})
		out.Status = "refused"
		return out, nil
	case err != nil:
		return nil, err
	}
	if j.opts.Keep != nil {
		if err := j.opts.Keep(ctx, e.Attachments); err != nil {
			return nil, err
		}
	}
	if err := j.Import(ctx, caller.Tenant, e); err != nil {
		return nil, err
	}
	out.Result, out.Status = j.ok(0), "imported"
	out.ExecutionID, out.Valid, out.Records, out.Head = e.Execution, true, uint64(len(e.Records)), e.Head
	return out, nil
}

func parseKey(text string) (ed25519.PublicKey, error) {
	const op = "publicKeyPem"
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "PUBLIC KEY" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, writ.Errorf(writ.CodeInvalid, op, "want one PUBLIC KEY block")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, writ.Errorf(writ.CodeInvalid, op, "%w", err)
	}
	key, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return nil, writ.Errorf(writ.CodeInvalid, op, "want an Ed25519 key, not %T", parsed)
	}
	return key, nil
}
