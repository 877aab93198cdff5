// Package contract is the fabric that every face of Writ is made of: the typed
// operations with their schemas, the events, the capabilities, the documents
// generated from them and the check that none of them drifts.
package contract

import (
	"reflect"

	"github.com/writ-run/writ"
)

// Kind says whether an operation changes state.
type Kind string

// The kinds.
const (
	Command Kind = "command"
	Query   Kind = "query"
)

// Auth is the least role that a caller needs besides the capability.
type Auth string

// The levels, lowest first. A level includes those below it, but System, which
// is the host's own.
const (
	User     Auth = "user"
	Operator Auth = "operator"
	Admin    Auth = "admin"
	System   Auth = "system"
)

// Stability is what a contract promises.
type Stability string

// The stabilities. A stable contract changes by semantic versioning; an
// experimental one may break in a minor version.
const (
	Stable       Stability = "stable"
	Experimental Stability = "experimental"
)

// Contract is what is promised of an operation, apart from its two types.
type Contract struct {
	Key         string // controlPlane.NOUN.VERB, or controlPlane.VERB
	Version     string // semantic version
	Title       string
	Description string
	Goal        string // why somebody calls it
	Context     string // when in the way of an intent it is called
	Owners      []string
	Tags        []string
	Stability   Stability
	Kind        Kind
	Capability  string // key of a Capability
	Auth        Auth
	PII         []string // members that hold personal data or secrets: "input.text"
	Idempotent  bool     // the same call twice has one effect
	Errors      []Failure
	Emits       []string // keys of Events
	Examples    []Example
	CLI         string // the command line that reaches it

	in, out reflect.Type
}

// Failure is one way in which an operation fails.
type Failure struct {
	Code        writ.Code `json:"code"`
	HTTP        int       `json:"http"`
	Description string    `json:"description"`
	When        string    `json:"when"`
}

// Example is a call and its answer; a test holds both against the schemas.
type Example struct {
	Name   string
	Input  any
	Output any
}

// Operation is a contract with the Go types of its input and output.
type Operation[In, Out any] struct{ *Contract }

// define completes a contract with what most of them share.
func define[In, Out any](c Contract) *Operation[In, Out] {
	c.in, c.out = reflect.TypeFor[In](), reflect.TypeFor[Out]()
	if c.Version == "" {
		c.Version = "1.0.0"
	}
	if c.Stability == "" {
		c.Stability = Stable
	}
	if c.Owners == nil {
		c.Owners = []string{"control-plane"}
	}
	if c.Tags == nil {
		c.Tags = []string{c.Noun(), string(c.Kind)}
	}
	c.Errors = append(c.Errors, common()...)
	return &Operation[In, Out]{Contract: &c}
}

// Result stands in every output. The dispatcher fills what a handler leaves
// empty: "ok", and the time of the answer.
type Result struct {
	Status    string    `json:"status" jsonschema:"State after the call; ok for a query that read what it was asked for."`
	ChangedAt writ.Time `json:"changedAt" jsonschema:"When the state last changed."`
}

func (r *Result) result() *Result { return r }
