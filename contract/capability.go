package contract

// Keys of the capabilities.
const (
	CapCore           = "control-plane.core"
	CapApproval       = "control-plane.approval"
	CapAudit          = "control-plane.audit"
	CapSkillRegistry  = "control-plane.skill-registry"
	CapChannelRuntime = "control-plane.channel-runtime"
)

// Capability is a set of operations and events that a credential may hold as a
// whole.
type Capability struct {
	Key         string `json:"key"`
	Version     string `json:"version"`
	Title       string `json:"title"`
	Description string `json:"description"`
}

// Capabilities lists the five.
func Capabilities() []Capability {
	return []Capability{
		{Key: CapCore, Version: "1.0.0", Title: "Core", Description: "Submit intents, compile plans, start, read and cancel executions, and manage what they run with."},
		{Key: CapApproval, Version: "1.0.0", Title: "Approval", Description: "See what waits for a person, approve it or reject it."},
		{Key: CapAudit, Version: "1.0.0", Title: "Audit", Description: "Judge plans, read and verify traces, replay them, explain verdicts and follow the events."},
		{Key: CapSkillRegistry, Version: "1.0.0", Title: "Skill registry", Description: "Verify, install, list and switch skills, and decide whose signatures count."},
		{Key: CapChannelRuntime, Version: "1.1.0", Title: "Channel runtime", Description: "Let providers in, see which are, and try them out."},
	}
}

// Operations lists the contracts that the capability covers.
func (c Capability) Operations() []*Contract {
	var out []*Contract
	for _, op := range All() {
		if op.Capability == c.Key {
			out = append(out, op)
		}
	}
	return out
}
