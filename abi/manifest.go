package abi

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Manifest is what a skill declares of itself: skill.yaml at the author's, JSON
// in the bundle. The signature covers it.
type Manifest struct {
	APIVersion   string       `json:"apiVersion"` // ManifestVersion
	Name         string       `json:"name"`       // publisher/name
	Version      string       `json:"version"`    // semantic version
	Description  string       `json:"description"`
	Licence      string       `json:"licence,omitempty"` // SPDX identifier
	Repository   string       `json:"repository,omitempty"`
	ABI          string       `json:"abi"` // V1, Extism1 or ExtismMCP1
	Requires     Requires     `json:"requires"`
	Capabilities []Capability `json:"capabilities,omitempty"`
	Actions      []Action     `json:"actions"`
	Limits       Limits       `json:"limits"`
}

// ManifestVersion is the only apiVersion of a Manifest.
const ManifestVersion = "writ/v1"

// Requires are semver constraints on what must be there; empty means any.
type Requires struct {
	ABI       string `json:"abi,omitempty"`
	Host      string `json:"host,omitempty"`
	Contracts string `json:"contracts,omitempty"`
}

// Capability names a tool and the scope in which it may be used. Which members
// apply depends on the tool; an empty list of a member that applies allows
// nothing. Patterns: see the grammar in docs/skills.md.
type Capability struct {
	Tool     string   `json:"tool"`
	Hosts    []string `json:"hosts,omitempty"`    // http.request: host or host:port
	Methods  []string `json:"methods,omitempty"`  // http.request: upper case
	Paths    []string `json:"paths,omitempty"`    // http.request, file.*: slash-separated globs
	Prefixes []string `json:"prefixes,omitempty"` // kv.*: key prefixes
	Servers  []string `json:"servers,omitempty"`  // mcp.call
	Models   []string `json:"models,omitempty"`   // model.complete
	Channels []string `json:"channels,omitempty"` // message.send
	Skills   []string `json:"skills,omitempty"`   // skill.call: publisher/name#action
	Secrets  []Secret `json:"secrets,omitempty"`  // http.request
	// Idempotent says that the server honours Idempotency-Key for these methods,
	// so that a POST may be sent again under the same key.
	Idempotent bool `json:"idempotent,omitempty"`
	// Costs are what a call under this capability takes of budgets. Where two
	// capabilities allow a call, the dearer counts.
	Costs []Cost `json:"costs,omitempty"`
}

// Cost is one thing that each call takes of a budget: a fixed amount, or one that
// stands in the call's arguments.
type Cost struct {
	Kind   CostKind `json:"kind"`
	Amount int64    `json:"amount,omitempty"` // fixed; of spend in micro-units: 1000000 is one
	// Pointer (RFC 6901) finds a plain decimal in the arguments. Behind /body of
	// http.request it points into the body, which must be JSON.
	Pointer string `json:"pointer,omitempty"`
	// Times is what one of what Pointer finds is; 0: 1. Micro-units of a cent: 10000.
	Times int64 `json:"times,omitempty"`
}

// CostKind is what a cost takes. The zero value is nothing.
type CostKind string

// The kinds of cost.
const (
	CostSpend  CostKind = "spend"  // micro-units of the host's currency
	CostTokens CostKind = "tokens" // of a model, at most
)

// Secret is injected by the host at egress for one scheme and host. The guest
// never sees it.
type Secret struct {
	Name   string `json:"name"`
	Scheme string `json:"scheme"` // https, or http where the operator maps the host to loopback
	Host   string `json:"host"`
	// InjectAs is "bearer", "basic", "header:NAME" or "query:NAME".
	InjectAs string `json:"injectAs"`
}

// Action is one thing that a skill can do.
type Action struct {
	Name        string          `json:"name"`
	Title       string          `json:"title,omitempty"`
	Description string          `json:"description"`
	Input       json.RawMessage `json:"input"`  // JSON Schema 2020-12
	Output      json.RawMessage `json:"output"` // JSON Schema 2020-12
	Effects     []Effect        `json:"effects"`
	Risk        Risk            `json:"risk,omitempty"` // the author's own estimate; may only raise
	// Sinks are the paths of input members ("recipient", "payment.amount")
	// through which untrusted data must not pass unseen.
	Sinks []string `json:"sinks,omitempty"`
	// Sensitivity is of the output; empty is SensitivityInternal.
	Sensitivity Sensitivity `json:"sensitivity,omitempty"`
	// Uses narrows the manifest's capabilities to what this action needs. A
	// pattern may hold {member} and {member.host}, {member.path} of the input.
	Uses []Capability `json:"uses,omitempty"`
	// Utterances are example phrases that the interpreter may match.
	Utterances []string `json:"utterances,omitempty"`
}

// Sensitivity says who may know what an action gives out.
type Sensitivity string

// The sensitivities.
const (
	// SensitivityPublic says that what the action fetches with a secret is no
	// secret: the secret pays for it or counts it. It takes nothing from labels
	// that the action's input, files and stored values bring.
	SensitivityPublic   Sensitivity = "public"
	SensitivityInternal Sensitivity = "internal" // as private as what it was made of
	SensitivityPrivate  Sensitivity = "private"  // whatever it was made of
)

// Valid reports whether s is one of the three, or empty.
func (s Sensitivity) Valid() bool {
	return s == "" || s == SensitivityPublic || s == SensitivityInternal || s == SensitivityPrivate
}

// Limits bound one run of an action. Zero means the host's default; a value
// above the host's maximum is refused at install.
type Limits struct {
	Memory Bytes    `json:"memory,omitempty"`
	Fuel   uint64   `json:"fuel,omitempty"`
	Time   Duration `json:"time,omitempty"`
	Calls  int      `json:"calls,omitempty"`
	Output Bytes    `json:"output,omitempty"`
}

// Effect is the class of what an action or a tool call does to the world.
// The zero value is unknown and is treated as the worst.
type Effect string

// The effect classes, mildest first.
const (
	EffectNone          Effect = "none"
	EffectRead          Effect = "read"
	EffectWriteLocal    Effect = "write-local"
	EffectWriteExternal Effect = "write-external"
	EffectIrreversible  Effect = "irreversible"
	EffectFinancial     Effect = "financial"
	EffectAdmin         Effect = "admin"
)

// Effects lists the classes, mildest first.
var Effects = []Effect{
	EffectNone, EffectRead, EffectWriteLocal, EffectWriteExternal,
	EffectIrreversible, EffectFinancial, EffectAdmin,
}

// Severity is the place of e in Effects; an unknown effect is beyond the worst.
func (e Effect) Severity() int {
	for i, known := range Effects {
		if e == known {
			return i
		}
	}
	return len(Effects)
}

// Valid reports whether e is one of Effects.
func (e Effect) Valid() bool { return e.Severity() < len(Effects) }

// Writes reports whether something outside the step may differ afterwards.
func (e Effect) Writes() bool { return e.Severity() >= EffectWriteLocal.Severity() }

// Join is the worse of the two.
func (e Effect) Join(other Effect) Effect {
	if other.Severity() > e.Severity() {
		return other
	}
	return e
}

// Risk is a tier of risk. The zero value is unknown and is treated as blocked.
type Risk string

// The tiers, lowest first.
const (
	RiskLow     Risk = "low"
	RiskMedium  Risk = "medium"
	RiskHigh    Risk = "high"
	RiskBlocked Risk = "blocked"
)

// Rank orders the tiers; an unknown tier ranks as blocked.
func (r Risk) Rank() int {
	switch r {
	case RiskLow:
		return 0
	case RiskMedium:
		return 1
	case RiskHigh:
		return 2
	}
	return 3
}

// Valid reports whether r is one of the four tiers.
func (r Risk) Valid() bool { return r == RiskBlocked || r.Rank() < 3 }

// Join is the higher of the two.
func (r Risk) Join(other Risk) Risk {
	if other.Rank() > r.Rank() {
		return other
	}
	return r
}

// Bytes is a size. JSON: an integer, or a string such as "64MiB" or "10KB".
type Bytes int64

// UnmarshalJSON implements json.Unmarshaler.
func (b *Bytes) UnmarshalJSON(raw []byte) error {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		text = string(raw)
	}
	n, err := ParseBytes(text)
	if err != nil {
		return err
	}
	*b = n
	return nil
}

var byteUnits = []struct {
	suffix string
	factor int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1}}

// ParseBytes reads "1048576", "1MiB" or "10KB".
func ParseBytes(text string) (Bytes, error) {
	for _, unit := range byteUnits {
		digits, ok := strings.CutSuffix(text, unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > (1<<62)/unit.factor {
			break
		}
		return Bytes(n * unit.factor), nil
	}
	return 0, fmt.Errorf("size %q: want a number of bytes such as 1048576 or 64MiB", text)
}

// Duration is a span of time. JSON: a string such as "10s" or "1m30s".
type Duration time.Duration

// MarshalJSON implements json.Marshaler.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// UnmarshalJSON implements json.Unmarshaler.
func (d *Duration) UnmarshalJSON(raw []byte) error {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return fmt.Errorf(`duration %s: want a string such as "10s"`, raw)
	}
	parsed, err := time.ParseDuration(text)
	if err != nil || parsed < 0 {
		return fmt.Errorf(`duration %q: want a positive span such as "10s" or "1m30s"`, text)
	}
	*d = Duration(parsed)
	return nil
}

// Std is the standard library's form of d.
func (d Duration) Std() time.Duration { return time.Duration(d) }
