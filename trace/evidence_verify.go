package trace

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"io"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// placeEnvelope is the Place of an error about the signature or the envelope: of
// what is inside nothing is known then.
const placeEnvelope = "evidence"

var errNotCanonical = errors.New("the statement is not in canonical form")

// maxEvidenceRecords bounds the work on a hostile bundle: 256 steps with a
// thousand calls each stay under it.
const maxEvidenceRecords = 1 << 20

// VerifyEvidence reads a bundle and checks everything in it with public keys
// alone: signature, chain, payloads, what it says of plan, skills and policies,
// and the inclusion of the execution in the signed log. CodeTooLarge beyond
// MaxEvidence, CodeInvalid where no key is given, CodeTampered otherwise; the
// message names the record and field.
func VerifyEvidence(r io.Reader, keys []ed25519.PublicKey) (*Evidence, error) {
	const op = placeEnvelope
	if len(keys) == 0 {
		return nil, writ.Errorf(writ.CodeInvalid, op, "no key is trusted").
			WithFix("give the public key of the host that exported it")
	}
	for _, key := range keys {
		if len(key) != ed25519.PublicKeySize {
			return nil, writ.Errorf(writ.CodeInvalid, op, "a key is not an Ed25519 public key")
		}
	}
	raw, err := io.ReadAll(io.LimitReader(r, MaxEvidence+1))
	if err != nil {
		return nil, writ.Errorf(writ.CodeUnavailable, op, "%w", err)
	}
	if len(raw) > MaxEvidence {
		return nil, writ.Errorf(writ.CodeTooLarge, op, "the bundle has more than %d bytes", MaxEvidence)
	}
	body, key, err := unseal(raw, keys)
	if err != nil {
		return nil, tampered(op, "%w", err)
	}
	s, err := decodeStatement(body)
	if err != nil {
		return nil, tampered(op, "%w", err)
	}
	e := &Evidence{Key: key, raw: raw}
	if err := e.take(s); err != nil {
		return nil, err
	}
	return e, nil
}

// take checks the statement and fills e from it.
func (e *Evidence) take(s *statement) error {
	p := &s.Predicate
	switch {
	case s.Type != statementType || s.PredicateType != EvidenceType:
		return tampered("predicateType", "is not an evidence bundle of version 1")
	case len(p.Records) == 0 || len(p.Records) > maxEvidenceRecords:
		return tampered("records", "there are %d of them", len(p.Records))
	case !validName(string(p.Tenant)) || !validName(string(p.Execution)) || p.Execution == writ.ExecutionID(writ.SystemStream):
		return tampered("executionId", "is not the name of an execution")
	}
	e.Tenant, e.Execution, e.Origin, e.ExportedAt = p.Tenant, p.Execution, p.Origin, p.ExportedAt
	e.PlanHash, e.Skills, e.Policies = p.PlanHash, p.Skills, p.Policies
	e.Missing, e.Attachments = p.Missing, p.Attachments
	for _, check := range []func(*statement) error{e.takeRecords, e.takePayloads, e.checkSummary, e.checkProof} {
		if err := check(s); err != nil {
			return err
		}
	}
	return nil
}

func (e *Evidence) takeRecords(s *statement) error {
	stream := writ.StreamID(e.Execution)
	for i, encoded := range s.Predicate.Records {
		seq := uint64(i) + 1
		r := writ.Stored{Position: writ.Position(seq), Bytes: encoded, Digest: canon.Sum(canon.DomainRecord, encoded)}
		if err := canon.UnmarshalForeignCBOR(encoded, &r.Record); err != nil {
			return broken(where{stream, seq, "record"}, "%w", err)
		}
		if r.Tenant != e.Tenant || r.Stream != stream {
			return broken(where{stream, seq, "stream"}, "is of another journal")
		}
		if err := checkLink(&r, e.Records, seq); err != nil {
			return err
		}
		if !hasBody(r.Type, &r.Body) {
			return broken(where{stream, seq, "body"}, "the facts of %s are missing", r.Type)
		}
		e.Records = append(e.Records, r)
	}
	e.Head = e.Records[len(e.Records)-1].Digest
	named := s.Subject
	if len(named) != 1 || named[0].Name != string(e.Execution) || len(named[0].Digest) != 1 || named[0].Digest["sha256"] != e.Head.Hex() {
		return tampered("subject", "is not the last record of the execution")
	}
	return nil
}

// takePayloads wants every payload that a record names, in the bundle or listed
// as missing, in the order of the records, and no other.
func (e *Evidence) takePayloads(s *statement) error {
	e.payloads = map[writ.Digest]salted{}
	payloads, missing := s.Predicate.Payloads, s.Predicate.Missing
	for i := range e.Records {
		for _, ref := range e.Records[i].Payloads {
			if !ref.Digest.Valid() {
				return broken(where{e.Records[i].Stream, e.Records[i].Seq, "payloads/" + ref.Name}, "has no digest")
			}
			if len(missing) > 0 && missing[0] == ref.Digest {
				missing = missing[1:]
				continue
			}
			if len(payloads) == 0 {
				return broken(where{e.Records[i].Stream, e.Records[i].Seq, "payloads/" + ref.Name}, "is neither there nor listed as missing")
			}
			p := payloads[0]
			payloads = payloads[1:]
			if p.Digest != ref.Digest || int64(len(p.Data)) != ref.Size || len(p.Salt) != saltSize ||
				canon.Sum(canon.DomainPayload, p.Salt, p.Data) != ref.Digest {
				return broken(where{e.Records[i].Stream, e.Records[i].Seq, "payloads/" + ref.Name}, "the bytes are not what the record names")
			}
			e.payloads[p.Digest] = salted{digest: p.Digest, salt: p.Salt, data: p.Data}
		}
	}
	if len(payloads) > 0 || len(missing) > 0 {
		return tampered("payloads", "no record names some of them")
	}
	return nil
}

func (e *Evidence) checkSummary(*statement) error {
	plan, skills, policies := summarise(e.Records)
	if plan != e.PlanHash || !slices.Equal(skills, e.Skills) || !slices.Equal(policies, e.Policies) {
		return tampered("planHash", "plan, skills or policies are not those of the records")
	}
	return nil
}

// checkProof verifies that the execution is in the log of the host that signed.
func (e *Evidence) checkProof(s *statement) error {
	verifier, err := noteVerifier(e.Origin, e.Key)
	if err != nil {
		return tampered("origin", "%w", err)
	}
	c, err := openCheckpoint([]byte(s.Predicate.Checkpoint), verifier)
	if err != nil {
		return tampered("checkpoint", "%w", err)
	}
	var proof tlog.RecordProof
	for _, h := range s.Predicate.Proof.Hashes {
		if len(h) != tlog.HashSize {
			return tampered("proof", "a hash has %d bytes", len(h))
		}
		proof = append(proof, tlog.Hash(h))
	}
	index := s.Predicate.Proof.Index
	if c.origin != e.Origin || index < 0 || index >= c.Leaves {
		return tampered("proof", "is of another log")
	}
	hash := leafHash(streamName(e.Tenant, writ.StreamID(e.Execution)), e.Records[0].Digest)
	if err := tlog.CheckRecord(proof, c.Leaves, c.root, index, hash); err != nil {
		return tampered("proof", "the execution is not in the signed log: %w", err)
	}
	return nil
}

// same reports whether two bundles hold the same journal.
func (e *Evidence) same(records []writ.Stored) bool {
	return slices.EqualFunc(e.Records, records, func(a, b writ.Stored) bool { return bytes.Equal(a.Bytes, b.Bytes) })
}
