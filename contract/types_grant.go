package contract

import (
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

// GrantWhyInput is the input of GrantWhy.
type GrantWhyInput struct {
	PrincipalID writ.PrincipalID `json:"principalId"`
	Capability  writ.Capability  `json:"capability" jsonschema:"What a step would want: a tool and its scope."`
	Skill       writ.SkillKey    `json:"skill,omitempty" jsonschema:"Of the step; absent: whatever skill."`
	Risk        writ.Risk        `json:"risk,omitempty" jsonschema:"Of the step; absent: low."`
	Sensitivity writ.Sensitivity `json:"sensitivity,omitempty" jsonschema:"Of the data in the step's input: public (absent), private or secret."`
}

// GrantWhyOutput is the output of GrantWhy. Status is covered or missing.
type GrantWhyOutput struct {
	Result
	Covered  bool        `json:"covered"`
	Chain    []Grant     `json:"chain" jsonschema:"The grant that a step would use, then those it was delegated from, up to the root."`
	Until    writ.Time   `json:"until,omitempty" jsonschema:"When the first of the chain expires; absent: none does."`
	UsesLeft int         `json:"usesLeft,omitempty" jsonschema:"Of the whole chain; absent: not counted."`
	Nearest  []GrantMiss `json:"nearest" jsonschema:"Where nothing covers it: the grants that come nearest, nearest first."`
	Fix      string      `json:"fix,omitempty" jsonschema:"The narrowest command that would cover it."`
}

// GrantMiss is a grant that does not cover what was asked.
type GrantMiss struct {
	Grant   Grant  `json:"grant"`
	Member  string `json:"member" jsonschema:"The first thing that does not fit: tool, hosts, methods, paths, prefixes, skills, maxRisk, maxSensitivity, skill, expiresAt, maxUses, parent."`
	Message string `json:"message"`
}

// GrantBreakGlassInput is the input of GrantBreakGlass.
type GrantBreakGlassInput struct {
	PrincipalID writ.PrincipalID `json:"principalId"`
	Capability  writ.Capability  `json:"capability" jsonschema:"A tool and its scope; tool * with no scope covers every tool."`
	Skills      []writ.SkillKey  `json:"skills,omitempty" jsonschema:"Absent: any skill."`
	MaxRisk     writ.Risk        `json:"maxRisk,omitempty" jsonschema:"Absent: low. What is risky still waits for its approvers."`
	MaxUses     int              `json:"maxUses,omitempty" jsonschema:"Absent: not counted."`
	For         abi.Duration     `json:"for" jsonschema:"Such as 30m; at most 1h."`
	Reason      string           `json:"reason" jsonschema:"What happened. Whoever reviews reads it."`
}

// GrantBreakGlassOutput is the output of GrantBreakGlass.
type GrantBreakGlassOutput struct {
	Result
	GrantID   string    `json:"grantId"`
	ExpiresAt writ.Time `json:"expiresAt"`
	ReviewBy  writ.Time `json:"reviewBy" jsonschema:"Until when another person has reviewed it."`
}

// GrantReviewInput is the input of GrantReview.
type GrantReviewInput struct {
	GrantID string `json:"grantId"`
	Note    string `json:"note" jsonschema:"What the review came to."`
}

// GrantReviewOutput is the output of GrantReview.
type GrantReviewOutput struct {
	Result
}

// The states of an emergency.
const (
	GlassActive   = "active"   // the grant lasts
	GlassEnded    = "ended"    // it waits for a review
	GlassOverdue  = "overdue"  // nobody reviewed it in time
	GlassReviewed = "reviewed" // it is closed
)

// BreakGlass is a grant that was given in an emergency, until another person has
// reviewed it.
type BreakGlass struct {
	GrantID     string           `json:"grantId"`
	Status      string           `json:"status" jsonschema:"active, ended or overdue."`
	PrincipalID writ.PrincipalID `json:"principalId"`
	GivenBy     writ.PrincipalID `json:"givenBy"`
	Self        bool             `json:"self,omitempty" jsonschema:"Who gave it gave it to itself, or to who acts for it."`
	Reason      string           `json:"reason"`
	Capability  writ.Capability  `json:"capability"`
	MaxRisk     writ.Risk        `json:"maxRisk"`
	GivenAt     writ.Time        `json:"givenAt"`
	EndsAt      writ.Time        `json:"endsAt" jsonschema:"When it expires, or was revoked."`
	ReviewBy    writ.Time        `json:"reviewBy"`
}

// GrantEvent is the data of controlPlane.grant.glassBroken and .reviewed.
type GrantEvent struct {
	GrantID     string           `json:"grantId"`
	PrincipalID writ.PrincipalID `json:"principalId"`
	Capability  string           `json:"capability"`
	MaxRisk     writ.Risk        `json:"maxRisk,omitempty"`
	Self        bool             `json:"self,omitempty"`
	Reason      string           `json:"reason,omitempty"`
	ExpiresAt   writ.Time        `json:"expiresAt,omitempty"`
	ReviewBy    writ.Time        `json:"reviewBy,omitempty"`
}

// Statuses of grant.changed that are events.
const (
	GrantGlassBroken = "break-glass"
	GrantReviewed    = "reviewed"
)

// BreakGlassFacts are an emergency as the system journal holds it.
func BreakGlassFacts(b *BreakGlass) writ.SystemFacts {
	self := ""
	if b.Self {
		self = "true"
	}
	return writ.SystemFacts{
		Subject: b.GrantID, Status: GrantGlassBroken, Reason: b.Reason,
		Details: map[string]string{
			"principal": string(b.PrincipalID), "capability": CapabilityText(&b.Capability), "maxRisk": string(b.MaxRisk),
			"self": self, "expiresAt": b.EndsAt.String(), "reviewBy": b.ReviewBy.String(),
		},
	}
}

func grantEvent(f *writ.SystemFacts) (string, any) {
	key := EventGrantGlassBroken
	switch f.Status {
	case GrantGlassBroken:
	case GrantReviewed:
		key = EventGrantReviewed
	default:
		return "", nil
	}
	at := func(name string) writ.Time {
		t, err := time.Parse(time.RFC3339Nano, f.Details[name])
		if err != nil {
			return 0
		}
		return canon.TimeOf(t)
	}
	return key, &GrantEvent{
		GrantID: f.Subject, PrincipalID: writ.PrincipalID(f.Details["principal"]), Capability: f.Details["capability"],
		MaxRisk: writ.Risk(f.Details["maxRisk"]), Self: f.Details["self"] != "", Reason: f.Reason,
		ExpiresAt: at("expiresAt"), ReviewBy: at("reviewBy"),
	}
}

// TokenRotateInput is the input of TokenRotate.
type TokenRotateInput struct {
	TokenID   string        `json:"tokenId,omitempty" jsonschema:"Absent: the caller's own. Another's needs the role admin."`
	Overlap   *abi.Duration `json:"overlap,omitempty" jsonschema:"How long the old secret is still valid, 0s to 24h; absent: 10m."`
	ExpiresIn abi.Duration  `json:"expiresIn,omitempty" jsonschema:"Of the new secret, such as 720h, for an admin alone; absent: it ends when the old one would have."`
	Reason    string        `json:"reason,omitempty"`
}

// TokenRotateOutput is the output of TokenRotate.
type TokenRotateOutput struct {
	Result
	TokenID     string           `json:"tokenId"`
	Token       string           `json:"token" jsonschema:"Shown once; only its hash is stored."`
	PrincipalID writ.PrincipalID `json:"principalId"`
	ExpiresAt   writ.Time        `json:"expiresAt"`
	Replaces    string           `json:"replaces" jsonschema:"Id of the old token."`
	OldEndsAt   writ.Time        `json:"oldEndsAt" jsonschema:"Until when the old token is valid."`
}
