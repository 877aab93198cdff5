package writ

import "encoding/json"

// Edit is a value that somebody put into the input of a draft's step, in place of
// what the draft says. It is a literal, whatever text it holds.
type Edit struct {
	Step   string          `json:"step"`            // its name
	Path   string          `json:"path"`            // RFC 6901 pointer into the input
	Value  json.RawMessage `json:"value,omitempty"` // canonical JSON; absent: the member is taken away
	Labels []Label         `json:"labels"`          // of who wrote it, and of how private what stood there was
}

// EditedValue is the place of an edit in a plan's step, whose value is in the
// template: its labels are not those of the draft's author.
type EditedValue struct {
	Path   string  `json:"path"` // RFC 6901 pointer into Template
	Labels []Label `json:"labels"`
}

// EditRequest asks in what an input differs from what a draft says.
type EditRequest struct {
	Draft  Interpretation
	Edits  []Edit // of the draft, made before
	Step   string // by name
	Was    json.RawMessage
	Now    json.RawMessage
	Labels []Label // of what is new
	// Pending: the step has not been resolved. Was is its template, and what is null
	// or left out in Now where an expression stands keeps the expression.
	Pending bool
}

// EditFacts link an execution to the one that its plan was edited from or into.
type EditFacts struct {
	Execution  ExecutionID `json:"execution"` // the other one
	PlanHash   Digest      `json:"planHash"`  // of the other one's plan
	Steps      []string    `json:"steps"`     // whose input was edited, by name
	By         PrincipalID `json:"by"`
	For        PrincipalID `json:"for,omitempty"` // the absent person in whose place By edited
	Delegation string      `json:"delegation,omitempty"`
	Reason     string      `json:"reason"`
	// Key is the editor's idempotency key. intent.received.
	Key string `json:"key,omitempty"`
	// Authors are all who wrote the draft or edited it, sorted. intent.received.
	Authors []PrincipalID `json:"authors,omitempty"`
}

// People are those who count as having edited: who edits in another's place and
// that other, and everybody whom the editor acts for.
func (f *EditFacts) People(onBehalfOf []PrincipalID) []PrincipalID {
	people := []PrincipalID{f.By}
	if f.For != "" {
		people = append(people, f.For)
	}
	return sortedUnion(people, onBehalfOf, f.Authors)
}
