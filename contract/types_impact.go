package contract

import (
	"encoding/json"
	"slices"

	"github.com/writ-run/writ"
)

// ImpactKind is in what a step's outcome would differ with another version of its
// skill.
type ImpactKind string

// The kinds.
const (
	ImpactConstraint   ImpactKind = "constraint"   // the draft's range does not accept the version
	ImpactPlan         ImpactKind = "plan"         // the draft does not compile any more
	ImpactInput        ImpactKind = "input"        // the input is refused
	ImpactPath         ImpactKind = "path"         // the step would run where it was skipped, or the other way round
	ImpactCall         ImpactKind = "call"         // a tool call is new, another one, or not made
	ImpactOutput       ImpactKind = "output"       // the output differs
	ImpactFailure      ImpactKind = "failure"      // it fails, does not fail any more, or fails otherwise
	ImpactFuel         ImpactKind = "fuel"         // it needs more fuel than its limit
	ImpactSchema       ImpactKind = "schema"       // the output does not fit its schema
	ImpactCapabilities ImpactKind = "capabilities" // the step would be granted more
	ImpactEffect       ImpactKind = "effect"       // the effect class is worse
	ImpactRisk         ImpactKind = "risk"         // the tier is higher
	ImpactVerdict      ImpactKind = "verdict"      // policy would have said something else
	ImpactUpstream     ImpactKind = "upstream"     // a step that it needs has no known outcome
)

// SkillImpactInput is the input of SkillImpact. Either Source or Bundle names the
// version. What is examined comes in pages, each of which ends by its number of
// executions or by its time.
type SkillImpactInput struct {
	Source   string    `json:"source,omitempty" jsonschema:"Path on the server, an OCI reference (oci://HOST/REPOSITORY:TAG or @sha256:...), or binary: and the name of a skill that the server's binary carries."`
	Bundle   []byte    `json:"bundle,omitempty" jsonschema:"The bundle itself, base64."`
	Since    writ.Time `json:"since,omitempty" jsonschema:"Executions received at this time or later. Absent: all."`
	Limit    int       `json:"limit,omitempty" jsonschema:"Executions of the page. Absent: 200, at most 1000."`
	BudgetMS int       `json:"budgetMs,omitempty" jsonschema:"Milliseconds that the page may take. Absent: 10000, at most 60000."`
	Cursor   string    `json:"cursor,omitempty" jsonschema:"nextCursor of the page before."`
}

// SkillImpactOutput is the output of SkillImpact. A version that does not verify
// is described as far as signed words go, and nothing of it is run.
type SkillImpactOutput struct {
	Result
	SkillReport
	From       string        `json:"from,omitempty" jsonschema:"The newest enabled other version, which changes are against."`
	Changes    []SkillChange `json:"changes" jsonschema:"What its manifest says otherwise."`
	Impact     *StoredImpact `json:"impact,omitempty" jsonschema:"Absent where nothing was run."`
	NextCursor string        `json:"nextCursor,omitempty"`
}

// StoredImpact is what stored executions would have come to with another version of a
// skill, everything else being as it was recorded.
type StoredImpact struct {
	Examined     int                `json:"examined" jsonschema:"Executions in which another version of the skill ran."`
	Same         int                `json:"same"`
	Already      int                `json:"already,omitempty" jsonschema:"Executions of older versions that would differ with the version in use in the same way."`
	Differing    int                `json:"differing"`
	Unknown      int                `json:"unknown" jsonschema:"Of the differing ones: those with a step whose outcome cannot be told."`
	Unreplayable int                `json:"unreplayable" jsonschema:"Executions that cannot be derived again, e.g. because a payload has expired."`
	Open         int                `json:"open" jsonschema:"Executions with the skill that have not ended; they are not examined."`
	Versions     []string           `json:"versions" jsonschema:"That ran."`
	Oldest       writ.Time          `json:"oldest,omitempty" jsonschema:"When the oldest examined execution was received."`
	Complete     bool               `json:"complete" jsonschema:"There is nothing older left to examine."`
	Groups       []ImpactGroup      `json:"groups" jsonschema:"By action and kind."`
	Items        []ImpactDifference `json:"items" jsonschema:"Every difference, newest execution first, at most 1000."`
	Omitted      int                `json:"omitted,omitempty" jsonschema:"Differences that items has no room for."`
	Gaps         []ImpactGap        `json:"gaps,omitempty" jsonschema:"Why executions are unreplayable, at most 10."`
}

// ImpactGroup counts the differences of one kind in one action.
type ImpactGroup struct {
	Action     string             `json:"action" jsonschema:"publisher/name#action"`
	Kind       ImpactKind         `json:"kind"`
	Count      int                `json:"count" jsonschema:"Steps."`
	Executions int                `json:"executions"`
	Unknown    int                `json:"unknown,omitempty" jsonschema:"Of count: without a known outcome."`
	Examples   []ImpactDifference `json:"examples" jsonschema:"At most 3."`
}

// ImpactDifference is one step whose outcome would differ.
type ImpactDifference struct {
	ExecutionID writ.ExecutionID `json:"executionId"`
	StepID      writ.StepID      `json:"stepId,omitempty"`
	Step        string           `json:"step,omitempty"`
	Action      string           `json:"action" jsonschema:"publisher/name#action"`
	Version     string           `json:"version" jsonschema:"That ran."`
	Kind        ImpactKind       `json:"kind"`
	Field       string           `json:"field,omitempty" jsonschema:"JSON pointer of the first member that differs."`
	Recorded    json.RawMessage  `json:"recorded,omitempty" jsonschema:"Shortened."`
	Candidate   json.RawMessage  `json:"candidate,omitempty" jsonschema:"Shortened."`
	Message     string           `json:"message,omitempty"`
	Unknown     bool             `json:"unknown,omitempty" jsonschema:"What the step comes to cannot be told: there is no recorded answer."`
	Because     string           `json:"because,omitempty" jsonschema:"Name of a step that it needs and that differs."`
}

// ImpactGap is an execution that cannot be derived again.
type ImpactGap struct {
	ExecutionID writ.ExecutionID `json:"executionId"`
	Message     string           `json:"message"`
}

// ExecutionImpact is one execution with another version of a skill.
type ExecutionImpact struct {
	ExecutionID  writ.ExecutionID
	ReceivedAt   writ.Time
	Versions     []string // of the skill that ran
	Differences  []ImpactDifference
	Unreplayable string // why
	Already      bool   // it differs, and would with the version in use too
}

// Bounds of a StoredImpact. A person reads examples; items are for programs.
const (
	maxImpactItems    = 1000
	maxImpactExamples = 3
	maxImpactGaps     = 10
)

// Add counts an execution in.
func (i *StoredImpact) Add(x *ExecutionImpact) {
	i.Examined++
	i.Oldest = x.ReceivedAt
	i.Versions = union(i.Versions, x.Versions)
	switch {
	case len(x.Differences) > 0:
		i.Differing++
	case x.Unreplayable != "":
		i.Unreplayable++
		i.addGap(ImpactGap{ExecutionID: x.ExecutionID, Message: x.Unreplayable})
	case x.Already:
		i.Already++
	default:
		i.Same++
	}
	unknown := false
	for n := range x.Differences {
		d := &x.Differences[n]
		unknown = unknown || d.Unknown
		one := ImpactGroup{Action: d.Action, Kind: d.Kind, Count: 1, Examples: []ImpactDifference{*d}}
		if d.Unknown {
			one.Unknown = 1
		}
		if !counted(x.Differences[:n], d) {
			one.Executions = 1
		}
		i.addGroup(&one)
		i.addItem(d)
	}
	if unknown {
		i.Unknown++
	}
}

func counted(before []ImpactDifference, d *ImpactDifference) bool {
	for i := range before {
		if before[i].Action == d.Action && before[i].Kind == d.Kind {
			return true
		}
	}
	return false
}

// Merge adds the next page.
func (i *StoredImpact) Merge(next *StoredImpact) {
	i.Examined, i.Same, i.Differing = i.Examined+next.Examined, i.Same+next.Same, i.Differing+next.Differing
	i.Already += next.Already
	i.Unknown, i.Unreplayable, i.Open = i.Unknown+next.Unknown, i.Unreplayable+next.Unreplayable, i.Open+next.Open
	i.Versions, i.Complete = union(i.Versions, next.Versions), next.Complete
	if next.Oldest != 0 {
		i.Oldest = next.Oldest
	}
	for n := range next.Groups {
		i.addGroup(&next.Groups[n])
	}
	for n := range next.Items {
		i.addItem(&next.Items[n])
	}
	i.Omitted += next.Omitted
	for _, gap := range next.Gaps {
		i.addGap(gap)
	}
}

// WithoutValues leaves out what stands in the traces, for a caller who may not
// read them: where something differs is still said.
func (i *StoredImpact) WithoutValues() {
	for n := range i.Items {
		i.Items[n].withoutValue()
	}
	for n := range i.Groups {
		for k := range i.Groups[n].Examples {
			i.Groups[n].Examples[k].withoutValue()
		}
	}
}

func (d *ImpactDifference) withoutValue() { d.Recorded, d.Candidate, d.Message = nil, nil, "" }

func union(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

func (i *StoredImpact) addGroup(one *ImpactGroup) {
	for n := range i.Groups {
		g := &i.Groups[n]
		if g.Action != one.Action || g.Kind != one.Kind {
			continue
		}
		g.Count, g.Executions, g.Unknown = g.Count+one.Count, g.Executions+one.Executions, g.Unknown+one.Unknown
		g.Examples = append(g.Examples, one.Examples...)
		g.Examples = g.Examples[:min(len(g.Examples), maxImpactExamples)]
		return
	}
	i.Groups = append(i.Groups, *one)
}

func (i *StoredImpact) addItem(d *ImpactDifference) {
	if !addUpTo(&i.Items, maxImpactItems, *d) {
		i.Omitted++
	}
}

func (i *StoredImpact) addGap(gap ImpactGap) { addUpTo(&i.Gaps, maxImpactGaps, gap) }

// addUpTo is false where the list is full.
func addUpTo[T any](list *[]T, most int, one T) bool {
	if len(*list) >= most {
		return false
	}
	*list = append(*list, one)
	return true
}
