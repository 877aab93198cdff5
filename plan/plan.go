// Package plan compiles drafts into plans and resolves their steps. It is pure:
// no clock, no randomness, no I/O beyond the catalogue that it is given, so that
// the same draft, intent and skills give the same bytes on any machine.
package plan

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"github.com/writ-run/writ"
)

// Options of a Planner. The zero value works.
type Options struct {
	// MaxCost bounds the cost of one expression, estimated before and counted
	// while it runs, in CEL's units. Zero is 500,000: about 50 ms of one core.
	MaxCost uint64
	// CacheSize is how many schemas, how many compiled expressions and how many
	// plans are kept. Zero is 512.
	CacheSize int
}

const (
	defaultMaxCost   = 500_000
	defaultCacheSize = 512
)

// Planner implements writ.Planner. It may be used by many goroutines at once.
type Planner struct {
	maxCost  uint64
	base     *cel.Env
	registry *types.Registry
	schemas  *cache[*schema]
	programs *cache[*runnable]
	memos    *cache[*memo]
}

var _ writ.Planner = (*Planner)(nil)

// New makes a Planner. The only error is a fault of this package: CodeInternal.
func New(o Options) (*Planner, error) {
	if o.MaxCost == 0 {
		o.MaxCost = defaultMaxCost
	}
	if o.CacheSize <= 0 {
		o.CacheSize = defaultCacheSize
	}
	base, registry, err := baseEnv()
	if err != nil {
		return nil, &writ.Error{Code: writ.CodeInternal, Op: "planner", Err: err}
	}
	return &Planner{
		maxCost: o.MaxCost, base: base, registry: registry,
		schemas: newCache[*schema](o.CacheSize), programs: newCache[*runnable](o.CacheSize),
		memos: newCache[*memo](o.CacheSize),
	}, nil
}

// Compile implements writ.Planner. CodePlanRejected carries []writ.Problem in
// Details, in the order of the text; CodeInvalid is an intent that is not the
// JSON of an Intent, or no catalogue; any other error is the catalogue's own.
// The plan may be shared with other callers: nobody changes it.
func (p *Planner) Compile(req writ.CompileRequest) (*writ.CompiledPlan, error) {
	ps := &problems{file: req.Draft.Name, source: newSource(req.Draft.Raw)}
	if ps.file == "" {
		ps.file = "draft"
	}
	op := "plan " + ps.file
	of, err := labelsOf(&req)
	if err != nil {
		return nil, err
	}
	if req.Catalogue == nil {
		return nil, writ.Errorf(writ.CodeInvalid, op, "there is no catalogue to resolve skills in")
	}
	key := memoKey(&req, of)
	catalogue := &recorder{Catalogue: req.Catalogue}
	if m, ok := p.memos.get(key); ok && m.holds(catalogue) {
		return m.plan, nil
	}
	draft := parse(req.Draft, ps)
	if len(ps.list) == 0 {
		edit(draft, req.Edits, ps)
	}
	if len(ps.list) > 0 {
		return nil, rejected(op, ps.sorted())
	}
	c := &compiler{planner: p, problems: ps, draft: draft, labelling: of, catalogue: catalogue, declassifies: req.Declassify, law: req.Law}
	if err := c.run(); err != nil {
		return nil, err
	}
	if len(ps.list) > 0 {
		return nil, rejected(op, ps.sorted())
	}
	out, err := c.assemble(req.Origin)
	if err != nil {
		return nil, &writ.Error{Code: writ.CodeInternal, Op: op, Err: err}
	}
	if len(out.Bytes) > writ.MaxPlanBytes {
		ps.add(place{}, found(CodeTooLarge, "split the plan", "the plan has %d bytes, at most %d are taken", len(out.Bytes), writ.MaxPlanBytes))
		return nil, rejected(op, ps.sorted())
	}
	if key != "" && !catalogue.refused {
		p.memos.put(key, &memo{plan: out, asked: catalogue.asked})
	}
	return out, nil
}

// labelling says which labels the sources of one plan carry.
type labelling struct {
	rules   int          // of the plan; 0: the first ones
	author  []writ.Label // of the draft: literals and the choice of expressions
	words   []writ.Label // of the intent's text, metadata and what else its author chose
	item    []writ.Label // of the list of forEach
	forward []writ.Label // of the step that a compensation undoes
	outputs map[string][]writ.Label
}

// intent is the labels of a member of the intent; "" is the whole of it.
func (l *labelling) intent(member string) []writ.Label {
	for _, name := range hostMembers {
		if name == member {
			return []writ.Label{writ.LabelOperator}
		}
	}
	return l.words
}

func labelsOf(req *writ.CompileRequest) (*labelling, error) {
	var intent struct {
		Origin     writ.Origin `json:"origin"`
		ChannelKey string      `json:"channelKey"`
	}
	if err := json.Unmarshal(req.Intent, &intent); err != nil {
		return nil, &writ.Error{
			Code: writ.CodeInvalid, Op: "intent", Message: "is not the JSON of an intent", Err: err,
			Fix: "give the canonical JSON of the intent that the draft was made from",
		}
	}
	words := intent.Origin.Label()
	if intent.ChannelKey != "" {
		words = writ.LabelChannel
	}
	author := []writ.Label{req.Origin.Label()}
	if req.Draft.Source == sourceModel {
		author = writ.JoinLabels(author, []writ.Label{writ.LabelModel})
	}
	rules := cmp.Or(req.Rules, writ.PlanRules)
	return &labelling{rules: max(0, min(rules, writ.PlanRules)), author: author, words: []writ.Label{words}, outputs: map[string][]writ.Label{}}, nil
}

// sourceModel is Interpretation.Source of a draft that a model wrote.
const sourceModel = "model"

// catalogueProblem turns a catalogue's answer into a problem; ok is false for a
// fault that is not the draft's.
func catalogueProblem(s *DraftStep, err error) (finding, bool) {
	var e *writ.Error
	if !errors.As(err, &e) {
		return finding{}, false
	}
	fix := e.Fix
	switch e.Code {
	case writ.CodeNotFound:
		if fix == "" {
			fix = "install the skill, or change the name or the constraint; `writ skill list` shows what is installed"
		}
		return found(CodeSkillNotFound, fix, "%s: %s", wanted(s), messageOf(e)), true
	case writ.CodeInvalid:
		if fix == "" {
			fix = "write a semantic version constraint such as ^1.2"
		}
		return found(CodeInvalidValue, fix, "%s: %s", wanted(s), messageOf(e)), true
	}
	return finding{}, false
}

func messageOf(e *writ.Error) string {
	if e.Message == "" {
		return string(e.Code)
	}
	return e.Message
}

func wanted(s *DraftStep) string {
	if s.Constraint == "" {
		return string(s.Skill)
	}
	return fmt.Sprintf("%s@%s", s.Skill, s.Constraint)
}
