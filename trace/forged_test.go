package trace

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// A bundle that its host signed is still checked in every part: a host key can
// be stolen, and a host can be wrong.
func TestForgedEvidenceIsRefused(t *testing.T) {
	j := inside(t)
	appendSized(t, j, "exe_1", 2, 100)
	appendSized(t, j, "exe_2", 2, 100)
	var bundle bytes.Buffer
	if err := j.Export(context.Background(), ExportRequest{Tenant: "default", Execution: "exe_1"}, &bundle); err != nil {
		t.Fatal(err)
	}
	keys := []ed25519.PublicKey{j.signer.public}
	body, _, err := unseal(bundle.Bytes(), keys)
	if err != nil {
		t.Fatal(err)
	}
	for name, forge := range map[string]func(s *statement){
		"type":              func(s *statement) { s.Type = "x" },
		"predicate type":    func(s *statement) { s.PredicateType = "x" },
		"subject":           func(s *statement) { s.Subject[0].Digest["sha256"] = canon.SHA256(nil).Hex() },
		"second subject":    func(s *statement) { s.Subject = append(s.Subject, s.Subject[0]) },
		"no records":        func(s *statement) { s.Predicate.Records = nil },
		"record left out":   func(s *statement) { s.Predicate.Records = append(s.Predicate.Records[:1], s.Predicate.Records[2:]...) },
		"first left out":    func(s *statement) { s.Predicate.Records = s.Predicate.Records[1:] },
		"last left out":     func(s *statement) { s.Predicate.Records = s.Predicate.Records[:3] },
		"records swapped":   func(s *statement) { r := s.Predicate.Records; r[1], r[2] = r[2], r[1] },
		"record twice":      func(s *statement) { s.Predicate.Records = append(s.Predicate.Records, s.Predicate.Records[3]) },
		"record not CBOR":   func(s *statement) { s.Predicate.Records[1] = []byte{0xff} },
		"record not exact":  func(s *statement) { s.Predicate.Records[3] = longInteger(t, s.Predicate.Records[3]) },
		"payload changed":   func(s *statement) { s.Predicate.Payloads[0].Data[0] ^= 1 },
		"salt changed":      func(s *statement) { s.Predicate.Payloads[0].Salt[0] ^= 1 },
		"payload left out":  func(s *statement) { s.Predicate.Payloads = s.Predicate.Payloads[1:] },
		"payload added":     func(s *statement) { s.Predicate.Payloads = append(s.Predicate.Payloads, s.Predicate.Payloads[0]) },
		"missing but there": func(s *statement) { s.Predicate.Missing = []writ.Digest{s.Predicate.Payloads[0].Digest} },
		"plan":              func(s *statement) { s.Predicate.PlanHash = canon.SHA256(nil) },
		"skills":            func(s *statement) { s.Predicate.Skills = []writ.SkillRef{{Key: "a/b"}} },
		"policies":          func(s *statement) { s.Predicate.Policies = []writ.Digest{canon.SHA256(nil)} },
		"tenant":            func(s *statement) { s.Predicate.Tenant = "other" },
		"tenant with NUL":   func(s *statement) { s.Predicate.Tenant = "a\x00b" },
		"execution":         func(s *statement) { s.Predicate.Execution = "exe_2" },
		"system journal":    func(s *statement) { s.Predicate.Execution = "system" },
		"origin":            func(s *statement) { s.Predicate.Origin = "other.example" },
		"checkpoint":        func(s *statement) { s.Predicate.Checkpoint += "x" },
		"proof index":       func(s *statement) { s.Predicate.Proof.Index = 1 },
		"proof beyond":      func(s *statement) { s.Predicate.Proof.Index = 1 << 40 },
		"proof hash":        func(s *statement) { s.Predicate.Proof.Hashes[0][0] ^= 1 },
		"proof too long":    func(s *statement) { s.Predicate.Proof.Hashes[0] = append(s.Predicate.Proof.Hashes[0], 0) },
		"proof left out":    func(s *statement) { s.Predicate.Proof.Hashes = nil },
	} {
		t.Run(name, func(t *testing.T) {
			s, err := decodeStatement(body)
			if err != nil {
				t.Fatal(err)
			}
			forge(s)
			refuseSealed(t, j, s)
		})
	}
	t.Run("unknown member", func(t *testing.T) {
		var members map[string]any
		if err := json.Unmarshal(body, &members); err != nil {
			t.Fatal(err)
		}
		members["more"] = true
		refuseSealed(t, j, members)
	})
}

func refuseSealed(t *testing.T, j *Journal, v any) {
	t.Helper()
	forged, err := canon.MarshalJSON(v)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := j.signer.seal(context.Background(), forged)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := VerifyEvidence(bytes.NewReader(raw), []ed25519.PublicKey{j.signer.public}); !writ.IsCode(err, writ.CodeTampered) {
		t.Fatalf("got %v", err)
	}
}

// longInteger writes the record's sequence number in two bytes where one does.
func longInteger(t *testing.T, record []byte) []byte {
	t.Helper()
	at := bytes.Index(record, []byte("\x63seq"))
	if at < 0 || record[at+4] > 0x17 {
		t.Fatal("no short sequence number in the record")
	}
	return append(append(bytes.Clone(record[:at+4]), 0x18, record[at+4]), record[at+5:]...)
}

// The envelope is written by hand; it must be what the general form is.
func TestEnvelopeIsCanonical(t *testing.T) {
	j := inside(t)
	raw, err := j.signer.seal(context.Background(), []byte(`{"a":"<&>é"}`))
	if err != nil {
		t.Fatal(err)
	}
	canonical, err := canon.JSON(raw)
	if err != nil || !bytes.Equal(raw, canonical) {
		t.Fatalf("%s is not %s: %v", raw, canonical, err)
	}
}
