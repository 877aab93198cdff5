package contract

import (
	_ "embed"
	"encoding/json"
	"slices"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

//go:embed baseline.json
var baseline []byte

// Snapshot is everything that the contracts promise at one time, in a form that
// can be kept and compared.
type Snapshot struct {
	Version      string         `json:"version"` // abi.ContractsVersion
	Contracts    []SnapContract `json:"contracts"`
	Events       []SnapEvent    `json:"events"`
	Capabilities []Capability   `json:"capabilities"`
}

// SnapContract is one contract of a Snapshot.
type SnapContract struct {
	Key         string             `json:"key"`
	Version     string             `json:"version"`
	Kind        Kind               `json:"kind"`
	Stability   Stability          `json:"stability"`
	Capability  string             `json:"capability"`
	Auth        Auth               `json:"auth"`
	Idempotent  bool               `json:"idempotent"`
	CLI         string             `json:"cli,omitempty"`
	Title       string             `json:"title"`
	Description string             `json:"description"`
	Goal        string             `json:"goal"`
	Context     string             `json:"context"`
	Owners      []string           `json:"owners"`
	Tags        []string           `json:"tags"`
	PII         []string           `json:"pii"`
	Errors      []Failure          `json:"errors"`
	Emits       []string           `json:"emits"`
	Input       *jsonschema.Schema `json:"input"`
	Output      *jsonschema.Schema `json:"output"`
}

// SnapEvent is one event of a Snapshot.
type SnapEvent struct {
	Key         string             `json:"key"`
	Version     string             `json:"version"`
	Capability  string             `json:"capability"`
	Title       string             `json:"title"`
	Description string             `json:"description"`
	PII         []string           `json:"pii"`
	Data        *jsonschema.Schema `json:"data"`
}

// Current is what this binary promises.
func Current() *Snapshot {
	s := &Snapshot{Version: abi.ContractsVersion, Capabilities: Capabilities()}
	for _, c := range All() {
		s.Contracts = append(s.Contracts, SnapContract{
			Key: c.Key, Version: c.Version, Kind: c.Kind, Stability: c.Stability, Capability: c.Capability,
			Auth: c.Auth, Idempotent: c.Idempotent, CLI: c.CLI, Title: c.Title, Description: c.Description,
			Goal: c.Goal, Context: c.Context, Owners: c.Owners, Tags: c.Tags, PII: c.PII, Errors: c.Errors,
			Emits: c.Emits, Input: c.InputSchema(), Output: c.OutputSchema(),
		})
	}
	for _, e := range Events() {
		s.Events = append(s.Events, SnapEvent{
			Key: e.Key, Version: e.Version, Capability: e.Capability, Title: e.Title,
			Description: e.Description, PII: e.PII, Data: e.DataSchema(),
		})
	}
	return s
}

// Baseline is what was promised when the contracts were last published: the file
// baseline.json of this package, built in.
func Baseline() (*Snapshot, error) { return ParseSnapshot(baseline) }

// ParseSnapshot reads what Encode wrote. CodeInvalid.
func ParseSnapshot(raw []byte) (*Snapshot, error) {
	var s Snapshot
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, writ.Errorf(writ.CodeInvalid, "contract baseline", "%w", err).
			WithFix("restore baseline.json from version control")
	}
	return &s, nil
}

// Encode is the JSON of the snapshot, indented, the same for the same contracts.
func (s *Snapshot) Encode() ([]byte, error) { return indented(s) }

// Drift is a contract that changed without the version that its change asks for.
type Drift struct {
	Key     string   `json:"key"`
	Have    string   `json:"have"` // its version now
	Want    string   `json:"want"` // the least version that the changes ask for
	Changes []Change `json:"changes"`
}

// Check holds the contracts of this binary against a baseline. It returns what
// changed without the right version: a breaking change asks for the next major
// version (the next minor one while it is experimental), an additive one for the
// next minor, an editorial one for the next patch. A contract that disappears
// asks for the next major version of the contracts as a whole.
func Check(baseline *Snapshot) []Drift { return driftBetween(baseline, Current()) }

func driftBetween(old, now *Snapshot) []Drift {
	versions := func(s *Snapshot) (map[string]string, map[string]bool) {
		have, experimental := map[string]string{}, map[string]bool{}
		for _, c := range s.Contracts {
			have[c.Key], experimental[c.Key] = c.Version, c.Stability == Experimental
		}
		// A command and the event of its outcome never share a key; a test holds that.
		for _, e := range s.Events {
			have[e.Key] = e.Version
		}
		for _, c := range s.Capabilities {
			have[c.Key] = c.Version
		}
		return have, experimental
	}
	before, experimental := versions(old)
	after, _ := versions(now)
	byKey := map[string][]Change{}
	for _, c := range Impact(old, now) {
		byKey[c.Key] = append(byKey[c.Key], c)
	}
	var out []Drift
	for key, changes := range byKey {
		was, known := before[key]
		is, there := after[key]
		if !known {
			continue // new: it starts with the version that it has
		}
		worst := worstOf(changes)
		if !there {
			was, is = old.Version, now.Version
		} else if experimental[key] && worst == Breaking {
			worst = Additive
		}
		if want := bump(was, worst); !reaches(is, want) {
			out = append(out, Drift{Key: key, Have: is, Want: want, Changes: changes})
		}
	}
	slices.SortFunc(out, func(a, b Drift) int { return compareText(a.Key, b.Key) })
	return out
}
