package hook

import (
	"encoding/json"
	"net/url"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// message is the body of a POST, in the form of Standard Webhooks.
type message struct {
	Type      string    `json:"type"`
	Timestamp writ.Time `json:"timestamp"` // of the event
	Data      data      `json:"data"`
}

// data is what leaves the house of an event: each member is named here, so that one
// which an event gets later does not leave by itself. No input, output, payload,
// note or text of a failure is among them.
type data struct {
	EventID     string           `json:"eventId"`
	TenantID    writ.TenantID    `json:"tenantId"`
	Subject     string           `json:"subject"`
	ActorID     writ.PrincipalID `json:"actorId,omitempty"`
	ExecutionID writ.ExecutionID `json:"executionId,omitempty"`
	StepID      writ.StepID      `json:"stepId,omitempty"`
	StepName    string           `json:"stepName,omitempty"`
	Skill       string           `json:"skill,omitempty"`
	Version     string           `json:"version,omitempty"`
	Action      string           `json:"action,omitempty"`
	Attempt     int              `json:"attempt,omitempty"`
	Tool        string           `json:"tool,omitempty"`
	Effect      writ.Effect      `json:"effect,omitempty"`
	Status      string           `json:"status,omitempty"`
	Code        string           `json:"code,omitempty"` // of a failure, or of a finding of drift
	RiskTier    writ.Risk        `json:"riskTier,omitempty"`
	Rules       []string         `json:"rules,omitempty"` // because of which people are asked
	Summary     string           `json:"summary,omitempty"`
	Required    int              `json:"required,omitempty"`
	DecideBy    writ.Time        `json:"decideBy,omitempty"`
	DecidedBy   writ.PrincipalID `json:"decidedBy,omitempty"`
	Digest      writ.Digest      `json:"approvalDigest,omitempty"`
	Link        string           `json:"link,omitempty"`
	Hook        string           `json:"hook,omitempty"` // of a sample alone
}

// told are the members of events' data that data takes over by themselves.
type told struct {
	ExecutionID writ.ExecutionID `json:"executionId"`
	StepID      writ.StepID      `json:"stepId"`
	Skill       string           `json:"skill"`
	SkillKey    string           `json:"skillKey"`
	Version     string           `json:"version"`
	Action      string           `json:"action"`
	Name        string           `json:"name"`
	Attempt     int              `json:"attempt"`
	Tool        string           `json:"tool"`
	Effect      writ.Effect      `json:"effect"`
	Status      string           `json:"status"`
	Code        string           `json:"code"`
	Failure     struct {
		Code string `json:"code"`
	} `json:"failure"`
}

// Bounds of what an approval says: a request may be larger.
const (
	maxSummary = 1 << 10
	maxRules   = 32
)

// messageOf makes the body for an event of rec. exec is its execution, nil where it
// has none.
func (w *worker) messageOf(rec *writ.Stored, e *writ.Event, exec *writ.Execution) ([]byte, error) {
	var t told
	if err := json.Unmarshal(e.Data, &t); err != nil {
		return nil, writ.Errorf(writ.CodeInternal, "event "+e.ID, "%w", err)
	}
	d := data{
		EventID: e.ID, TenantID: e.Tenant, Subject: writ.Clip(e.Subject, maxSummary), ActorID: e.Actor,
		ExecutionID: t.ExecutionID, StepID: t.StepID, StepName: t.Name, Skill: t.Skill, Version: t.Version, Action: t.Action,
		Attempt: t.Attempt, Tool: t.Tool, Effect: t.Effect, Status: t.Status, Code: t.Code,
	}
	if d.Skill == "" {
		d.Skill = t.SkillKey
	}
	if d.Code == "" {
		d.Code = t.Failure.Code
	}
	if exec != nil && rec.Step != "" {
		if s := exec.Step(string(rec.Step)); s != nil {
			d.StepName, d.Skill, d.Version, d.Action = s.Name, string(s.Skill.Key), s.Skill.Version, s.Action
		}
	}
	d.approval(rec, exec)
	d.Link = w.hook.link(d.ExecutionID, d.StepID)
	return json.Marshal(&message{Type: e.Type, Timestamp: e.Time, Data: d})
}

// approval adds what an approval asks, and who decided.
func (d *data) approval(rec *writ.Stored, exec *writ.Execution) {
	f := rec.Body.Approval
	if f == nil {
		return
	}
	d.Digest = f.Digest
	if f.Decision != nil {
		d.DecidedBy = f.Decision.By
	}
	q := f.Request
	if q == nil && exec != nil {
		if s := exec.Step(string(rec.Step)); s != nil && s.Approval != nil && s.Approval.Digest == f.Digest {
			q = &s.Approval.Request
		}
	}
	if q == nil {
		return
	}
	d.StepName, d.Skill, d.Version, d.Action = q.StepName, string(q.Skill.Key), q.Skill.Version, q.Action
	d.Effect, d.RiskTier, d.DecideBy, d.Required = q.Effect, q.Risk, q.DecideBy, max(1, q.Requirement.Count)
	d.Summary = writ.Clip(q.Summary, maxSummary)
	for i, rule := range q.Rules() {
		if i < maxRules {
			d.Rules = append(d.Rules, writ.Clip(rule, 200))
		}
	}
}

var placeholders = strings.NewReplacer("{executionId}", "x", "{stepId}", "x")

// link is empty where it names what the event has not.
func (h *Hook) link(execution writ.ExecutionID, step writ.StepID) string {
	if (execution == "" && strings.Contains(h.Link, "{executionId}")) || (step == "" && strings.Contains(h.Link, "{stepId}")) {
		return ""
	}
	return strings.NewReplacer("{executionId}", url.PathEscape(string(execution)), "{stepId}", url.PathEscape(string(step))).Replace(h.Link)
}

// TypeTest is the type of a sample. It is no event: nothing happened.
const TypeTest = "controlPlane.hook.test"

func (w *worker) sample(id string, at writ.Time) ([]byte, error) {
	return json.Marshal(&message{Type: TypeTest, Timestamp: at, Data: data{
		EventID: id, TenantID: w.hook.Tenant, Subject: w.hook.Name, Hook: w.hook.Name, Status: "sample",
	}})
}

// wanted are the records of which the hook's events come: others are not looked into.
func (h *Hook) wanted() (records map[writ.RecordType]bool, events map[string]bool) {
	records, events = map[writ.RecordType]bool{}, map[string]bool{}
	for _, key := range h.Events {
		events[key] = true
		if e, ok := contract.LookupEvent(key); ok {
			for _, record := range e.Records {
				records[record] = true
			}
		}
	}
	return records, events
}
