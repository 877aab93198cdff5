package trace

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"slices"

	badger "github.com/dgraph-io/badger/v4"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// EvidenceType is the predicate type of an evidence bundle.
const EvidenceType = "https://writ.dev/attestations/evidence/v1"

const statementType = "https://in-toto.io/Statement/v1"

// MaxEvidence bounds what is read, in bytes: a plan of 256 steps with large
// outputs and its skills is under 50 MiB.
const MaxEvidence = 128 << 20

// Evidence is one execution with all that is needed to verify it, and with the
// attachments to replay it.
type Evidence struct {
	Tenant      writ.TenantID
	Execution   writ.ExecutionID
	Origin      string // of the log that holds it
	ExportedAt  writ.Time
	Records     []writ.Stored // Position is the sequence number: the store's order is not told
	Head        writ.Digest
	PlanHash    writ.Digest
	Skills      []writ.SkillRef
	Policies    []writ.Digest
	Missing     []writ.Digest     // payloads that had expired or were left out
	Attachments map[string][]byte // by a name that the exporter chose; not covered by the chain
	Key         ed25519.PublicKey // that signed it

	payloads map[writ.Digest]salted
	raw      []byte // as it was read; nil: this value was not verified
}

// Payload is CodeUnreplayable where the bundle does not hold it.
func (e *Evidence) Payload(ref writ.PayloadRef) ([]byte, error) {
	if p, ok := e.payloads[ref.Digest]; ok {
		return p.data, nil
	}
	return nil, writ.Errorf(writ.CodeUnreplayable, "payload "+ref.Name, "is not in the evidence")
}

// Digest is the plain SHA-256 of the bundle.
func (e *Evidence) Digest() writ.Digest { return canon.SHA256(e.raw) }

// statement and what it holds are the wire form. Member names are fixed in
// docs/formats.md.
type statement struct {
	Type          string    `json:"_type"`
	Subject       []subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
	Predicate     predicate `json:"predicate"`
}

type subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

type predicate struct {
	Tenant      writ.TenantID     `json:"tenantId"`
	Execution   writ.ExecutionID  `json:"executionId"`
	ExportedAt  writ.Time         `json:"exportedAt"`
	Records     [][]byte          `json:"records"`
	Payloads    []wirePayload     `json:"payloads"`
	Missing     []writ.Digest     `json:"missing"`
	PlanHash    writ.Digest       `json:"planHash"`
	Skills      []writ.SkillRef   `json:"skills"`
	Policies    []writ.Digest     `json:"policies"`
	Origin      string            `json:"origin"`
	Checkpoint  string            `json:"checkpoint"`
	Proof       wireProof         `json:"proof"`
	Attachments map[string][]byte `json:"attachments"`
}

type wirePayload struct {
	Digest writ.Digest `json:"digest"`
	Salt   []byte      `json:"salt"`
	Data   []byte      `json:"data"`
}

type wireProof struct {
	Index  int64    `json:"index"`
	Hashes [][]byte `json:"hashes"`
}

func base64Of(b []byte) []byte { return base64.StdEncoding.AppendEncode(nil, b) }

func base64Decode(s string) ([]byte, error) { return base64.StdEncoding.DecodeString(s) }

// ExportRequest says what goes into a bundle.
type ExportRequest struct {
	Tenant          writ.TenantID
	Execution       writ.ExecutionID
	ExcludePayloads bool              // the chain verifies, but nothing replays
	Attachments     map[string][]byte // skill bundles and policy bundles, named by the caller
}

// Export writes the execution as one file: a DSSE envelope of an in-toto
// statement, signed by the host. An imported execution is given out as it came.
// CodeNotFound, CodeTampered, CodeTooLarge.
func (j *Journal) Export(ctx context.Context, req ExportRequest, w io.Writer) error {
	if err := ctx.Err(); err != nil {
		return contextError("evidence: export", err)
	}
	raw, err := j.exported(ctx, &req)
	if err != nil {
		return err
	}
	if len(raw) > MaxEvidence {
		return writ.Errorf(writ.CodeTooLarge, "evidence: export", "the bundle has %d bytes: at most %d", len(raw), MaxEvidence).
			WithFix("leave payloads or attachments out")
	}
	if _, err := w.Write(raw); err != nil {
		return writ.Errorf(writ.CodeUnavailable, "evidence: export", "%w", err)
	}
	return nil
}

func (j *Journal) exported(ctx context.Context, req *ExportRequest) ([]byte, error) {
	stream := writ.StreamID(req.Execution)
	s := &statement{Type: statementType, PredicateType: EvidenceType}
	var original []byte
	err := j.view(func(txn *badger.Txn) error {
		h, err := existingHead(txn, req.Tenant, stream)
		if err != nil {
			return err
		}
		if h.imported() {
			original, err = readEvidence(txn, req.Tenant, stream)
			return err
		}
		s.Subject = []subject{{Name: string(req.Execution), Digest: map[string]string{"sha256": h.Digest.Hex()}}}
		return j.describe(txn, h, req, &s.Predicate)
	})
	if err != nil || original != nil {
		return original, err
	}
	body, err := canon.MarshalJSON(s)
	if err != nil {
		return nil, writ.Errorf(writ.CodeInternal, "evidence: export", "%w", err)
	}
	raw, err := j.signer.seal(ctx, body)
	if err != nil {
		return nil, writ.Errorf(writ.CodeUnavailable, "evidence: export", "the host key does not sign: %w", err)
	}
	return raw, nil
}

func (j *Journal) describe(txn *badger.Txn, h *head, req *ExportRequest, p *predicate) error {
	*p = predicate{
		Tenant: req.Tenant, Execution: req.Execution, ExportedAt: j.opts.Clock.Now(), Origin: j.opts.Origin,
		Records: [][]byte{}, Payloads: []wirePayload{}, Missing: []writ.Digest{},
		Attachments: req.Attachments,
	}
	if p.Attachments == nil {
		p.Attachments = map[string][]byte{}
	}
	records, err := readRecords(txn, &writ.RecordQuery{Tenant: req.Tenant, Stream: writ.StreamID(req.Execution)})
	if err != nil {
		return err
	}
	of, err := openPayloads(txn, req.Tenant, writ.StreamID(req.Execution))
	if err != nil {
		return err
	}
	for i := range records {
		p.Records = append(p.Records, records[i].Bytes)
		for _, ref := range records[i].Payloads {
			stored, err := of.read(ref)
			switch {
			case err != nil && !writ.IsCode(err, writ.CodeUnreplayable):
				return err
			case err != nil || req.ExcludePayloads:
				p.Missing = append(p.Missing, ref.Digest)
			default:
				p.Payloads = append(p.Payloads, wirePayload{ref.Digest, stored.salt, stored.data})
			}
		}
	}
	p.PlanHash, p.Skills, p.Policies = summarise(records)
	return j.prove(txn, h, p)
}

// summarise names what a replay needs besides the records.
func summarise(records []writ.Stored) (plan writ.Digest, skills []writ.SkillRef, policies []writ.Digest) {
	refs, seen := map[string]writ.SkillRef{}, map[writ.Digest]bool{}
	for i := range records {
		b := &records[i].Body
		if b.Plan != nil && b.Plan.Hash != "" {
			plan = b.Plan.Hash
			if b.Plan.Law != "" {
				seen[b.Plan.Law] = true
			}
			for _, step := range slices.Concat(b.Plan.Steps, b.Plan.Templates) {
				refs[step.Skill.String()+string(step.Skill.Digest)] = step.Skill
			}
		}
		if b.Decided != nil && b.Decided.Verdict.PolicyDigest != "" {
			seen[b.Decided.Verdict.PolicyDigest] = true
		}
		if b.Started != nil && b.Started.Policy != "" {
			seen[b.Started.Policy] = true
		}
	}
	skills, policies = []writ.SkillRef{}, []writ.Digest{}
	for _, key := range slices.Sorted(maps.Keys(refs)) {
		skills = append(skills, refs[key])
	}
	return plan, skills, append(policies, slices.Sorted(maps.Keys(seen))...)
}

// prove adds a signed checkpoint and the proof that the execution is in it.
func (j *Journal) prove(txn *badger.Txn, h *head, p *predicate) error {
	s, err := readState(txn)
	if err != nil {
		return err
	}
	c := &checkpoint{origin: j.opts.Origin, state: *s}
	if c.root, err = rootAt(txn, s.Leaves); err != nil {
		return err
	}
	signed, err := note.Sign(&note.Note{Text: c.text()}, j.signer)
	if err != nil {
		return writ.Errorf(writ.CodeUnavailable, "evidence: export", "the host key does not sign: %w", err)
	}
	proof, err := tlog.ProveRecord(s.Leaves, h.Leaf, treeReader(txn))
	if err != nil {
		return writ.Errorf(writ.CodeTampered, "evidence: export", "the log does not prove the journal: %w", err)
	}
	p.Checkpoint, p.Proof = string(signed), wireProof{Index: h.Leaf, Hashes: [][]byte{}}
	for _, hash := range proof {
		p.Proof.Hashes = append(p.Proof.Hashes, hash[:])
	}
	return nil
}

// decodeStatement accepts canonical JSON with known members alone.
func decodeStatement(body []byte) (*statement, error) {
	var s statement
	if err := json.Unmarshal(body, &s); err != nil {
		return nil, err
	}
	again, err := canon.MarshalJSON(&s)
	if err != nil {
		return nil, err
	}
	if string(again) != string(body) {
		return nil, errNotCanonical
	}
	return &s, nil
}
