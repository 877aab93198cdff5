package contract

import (
	"slices"

	"github.com/writ-run/writ"
)

// PolicyImpactInput is the input of PolicyImpact. Exactly one of Source, Bundle and
// Digest names the candidate. What is examined comes in pages, each of which ends
// by its number of executions or by its time.
type PolicyImpactInput struct {
	Source   string      `json:"source,omitempty" jsonschema:"Path on the server."`
	Bundle   []byte      `json:"bundle,omitempty" jsonschema:"OPA bundle (tar.gz), base64."`
	Digest   writ.Digest `json:"digest,omitempty" jsonschema:"A bundle that this host has kept."`
	Layer    writ.Layer  `json:"layer,omitempty" jsonschema:"organisation or tenant: where it would be active. Absent: organisation."`
	Since    writ.Time   `json:"since,omitempty" jsonschema:"Executions received at this time or later. Absent: all."`
	Limit    int         `json:"limit,omitempty" jsonschema:"Executions of the page. Absent: 200, at most 1000."`
	BudgetMS int         `json:"budgetMs,omitempty" jsonschema:"Milliseconds that the page may take. Absent: 10000, at most 60000."`
	Cursor   string      `json:"cursor,omitempty" jsonschema:"nextCursor of the page before."`
}

// PolicyImpactOutput is the output of PolicyImpact.
type PolicyImpactOutput struct {
	Result
	Digest     writ.Digest    `json:"digest" jsonschema:"Of the candidate."`
	Version    string         `json:"version,omitempty"`
	Layer      writ.Layer     `json:"layer"`
	Layers     []PolicyLayer  `json:"layers" jsonschema:"What was asked: the candidate, and what is active in the other layers."`
	Impact     StoredVerdicts `json:"impact"`
	NextCursor string         `json:"nextCursor,omitempty"`
}

// StoredVerdicts are what stored verdicts would have been under another policy,
// each of its recorded question. Advisory ones started nothing and are left out.
type StoredVerdicts struct {
	Executions int            `json:"executions" jsonschema:"Examined."`
	Verdicts   int            `json:"verdicts" jsonschema:"Judged again: same, changed, flipped and already."`
	Same       int            `json:"same"`
	Changed    int            `json:"changed" jsonschema:"The mode is the same; people, deadlines, risk or budget are others."`
	Flipped    int            `json:"flipped" jsonschema:"The mode is another."`
	Already    int            `json:"already" jsonschema:"The mode is another, and what is active now answers it too."`
	Unjudged   int            `json:"unjudged" jsonschema:"Verdicts whose question has expired or cannot be read: nobody can tell."`
	Oldest     writ.Time      `json:"oldest,omitempty" jsonschema:"When the oldest examined execution was received."`
	Complete   bool           `json:"complete" jsonschema:"There is nothing older left to examine."`
	Changes    []ModeChange   `json:"changes" jsonschema:"Flips by what was and what would be."`
	Groups     []VerdictGroup `json:"groups" jsonschema:"Flips by the rule that decides in the candidate."`
	Items      []VerdictFlip  `json:"items" jsonschema:"Every flip, newest execution first, at most 1000."`
	Omitted    int            `json:"omitted,omitempty" jsonschema:"Flips that items has no room for."`
	Gaps       []ImpactGap    `json:"gaps,omitempty" jsonschema:"Why verdicts could not be judged, at most 10."`
}

// ModeChange counts flips from one mode to another.
type ModeChange struct {
	From  writ.Mode `json:"from"`
	To    writ.Mode `json:"to"`
	Count int       `json:"count"`
}

// VerdictGroup are the flips that one rule decides.
type VerdictGroup struct {
	Layer      writ.Layer    `json:"layer,omitempty"`
	Rule       string        `json:"rule" jsonschema:"More than one where they decide together."`
	Count      int           `json:"count"`
	Executions int           `json:"executions"`
	Changes    []ModeChange  `json:"changes"`
	Examples   []VerdictFlip `json:"examples" jsonschema:"At most 3."`
}

// VerdictFlip is one stored verdict whose mode would be another.
type VerdictFlip struct {
	ExecutionID writ.ExecutionID `json:"executionId"`
	StepID      writ.StepID      `json:"stepId"`
	Step        string           `json:"step,omitempty"`
	Stage       string           `json:"stage" jsonschema:"verify, dispatch or call."`
	Sequence    int              `json:"sequence,omitempty" jsonschema:"Of the call."`
	From        writ.Mode        `json:"from"`
	To          writ.Mode        `json:"to"`
	Layer       writ.Layer       `json:"layer,omitempty"`
	Rule        string           `json:"rule"`
	Message     string           `json:"message"`
}

// Flip adds one. first says that the execution has no other of its rule before it.
func (i *StoredVerdicts) Flip(f *VerdictFlip, first bool) {
	i.Flipped++
	one := VerdictGroup{Layer: f.Layer, Rule: f.Rule, Count: 1, Changes: []ModeChange{{f.From, f.To, 1}}, Examples: []VerdictFlip{*f}}
	if first {
		one.Executions = 1
	}
	i.Changes = addChanges(i.Changes, one.Changes)
	i.addGroup(&one)
	i.addItem(f)
}

// Word is the status of an answer: differs, or same where all was judged and
// nothing flips; unknown where only what could not be judged is left.
func (i *StoredVerdicts) Word() string {
	switch {
	case i.Flipped > 0:
		return "differs"
	case i.Unjudged > 0:
		return "unknown"
	}
	return "same"
}

// Gap adds a verdict that could not be judged.
func (i *StoredVerdicts) Gap(id writ.ExecutionID, message string) {
	i.Unjudged++
	i.addGap(ImpactGap{ExecutionID: id, Message: message})
}

// Merge adds the next page.
func (i *StoredVerdicts) Merge(next *StoredVerdicts) {
	i.Executions, i.Verdicts, i.Same = i.Executions+next.Executions, i.Verdicts+next.Verdicts, i.Same+next.Same
	i.Changed, i.Flipped, i.Already = i.Changed+next.Changed, i.Flipped+next.Flipped, i.Already+next.Already
	i.Unjudged, i.Omitted, i.Complete = i.Unjudged+next.Unjudged, i.Omitted+next.Omitted, next.Complete
	if next.Oldest != 0 {
		i.Oldest = next.Oldest
	}
	i.Changes = addChanges(i.Changes, next.Changes)
	for n := range next.Groups {
		i.addGroup(&next.Groups[n])
	}
	for n := range next.Items {
		i.addItem(&next.Items[n])
	}
	for _, gap := range next.Gaps {
		i.addGap(gap)
	}
}

func (i *StoredVerdicts) addGroup(one *VerdictGroup) {
	for n := range i.Groups {
		g := &i.Groups[n]
		if g.Layer != one.Layer || g.Rule != one.Rule {
			continue
		}
		g.Count, g.Executions, g.Changes = g.Count+one.Count, g.Executions+one.Executions, addChanges(g.Changes, one.Changes)
		g.Examples = append(g.Examples, one.Examples...)
		g.Examples = g.Examples[:min(len(g.Examples), maxImpactExamples)]
		return
	}
	group := *one
	group.Changes, group.Examples = slices.Clone(one.Changes), slices.Clone(one.Examples)
	i.Groups = append(i.Groups, group)
}

func (i *StoredVerdicts) addItem(f *VerdictFlip) {
	if !addUpTo(&i.Items, maxImpactItems, *f) {
		i.Omitted++
	}
}

func (i *StoredVerdicts) addGap(gap ImpactGap) { addUpTo(&i.Gaps, maxImpactGaps, gap) }

func addChanges(to, from []ModeChange) []ModeChange {
	for _, change := range from {
		n := slices.IndexFunc(to, func(c ModeChange) bool { return c.From == change.From && c.To == change.To })
		if n < 0 {
			to = append(to, change)
			continue
		}
		to[n].Count += change.Count
	}
	return to
}
