# The call decision, asked for each tool call of a running step. The step's own
# verdict stands above it: a call only has to stay within what was judged there.
package writ

import data.writ.lib

default call := {
	"mode": "blocked",
	"risk": "blocked",
	"reasons": [{"rule": "default", "message": "no rule of the policy allows this call"}],
}

call := {
	"mode": "autonomous",
	"risk": input.step.risk,
	"reasons": [{"rule": "within-step", "message": "within what the step was judged for"}],
} if {
	permitted
	seen
	calm
	taint.lethal(input) == false
} else := {
	"mode": "assist",
	"risk": input.step.risk,
	"reasons": call_cautions,
	"approvals": lib.ask(max([1, lib.people[input.step.risk]])),
} if {
	permitted
} else := {
	"mode": "blocked",
	"risk": input.step.risk,
	"reasons": call_denials,
} if {
	count(call_denials) > 0
}

permitted if {
	input.step.risk != "blocked"
	capability.allows(input.step.capabilities, input.call)
	lib.severity[input.call.effect] <= lib.severity[input.step.effect]
	input.call.sequence <= 1000
	input.history.callsInStep < 1000
}

# The same, one by one, so that a denial says which.

in_scope if capability.allows(input.step.capabilities, input.call)

in_effect if lib.severity[input.call.effect] <= lib.severity[input.step.effect]

in_budget if {
	input.call.sequence <= 1000
	input.history.callsInStep < 1000
}

# Untrusted data in a write outside, or beside a secret in any call, needs a
# person's eyes.
seen if taint.untrusted(input.taint.sinks) == []

seen if input.history.approvals >= 1

seen if {
	input.call.effect in {"none", "read", "write-local"}
	secretless
}

# What a high-risk step writes needs their yes, whatever the data.
calm if input.step.risk != "high"

calm if input.history.approvals >= 1

calm if input.call.effect in {"none", "read"}

call_cautions contains {
	"rule": "lethal-trifecta",
	"message": concat("", [
		"the step has seen private data and text that somebody untrusted wrote, and this call leaves the host ",
		sprintf("through %s: what the text asks for could carry the data away", [input.call.tool]),
	]),
	"fix": concat("", [
		"have an approver approve this call's exact bytes, or split the plan so that the step that sends reads ",
		"the private data or the untrusted text, and not both",
	]),
} if {
	taint.lethal(input)
}

call_cautions contains {
	"rule": "untrusted-call",
	"message": sprintf("untrusted data leaves the host through %s and nobody has seen it", [input.call.tool]),
	"fix": "have an approver approve the step",
} if {
	not seen
}

call_cautions contains {
	"rule": "high-risk-call",
	"message": sprintf("%s writes in a step of high risk and nobody has approved it", [input.call.tool]),
	"fix": sprintf("have %d of the approvers approve the step", [lib.people[input.step.risk]]),
} if {
	not calm
}

secretless if {
	every flow in input.taint.sinks {
		every label in flow.labels {
			not label in {"secret", "private"}
		}
	}
}

call_denials contains {
	"rule": "call-scope",
	"message": sprintf("%s is outside what the step was granted", [input.call.tool]),
	"fix": "narrow the call, or widen `uses` in the skill's manifest and compile the plan again",
} if {
	not in_scope
}

call_denials contains {
	"rule": "call-effect",
	"message": sprintf("%s would have the effect %s and the step was judged for %s", [
		input.call.tool,
		input.call.effect,
		input.step.effect,
	]),
	"fix": "declare the effect on the action in the skill's manifest",
} if {
	not in_effect
}

call_denials contains {
	"rule": "call-budget",
	"message": "a step may make 1000 calls",
	"fix": "split the step",
} if {
	not in_budget
}

call_denials contains {
	"rule": "risk-blocked",
	"message": "the step's risk tier is blocked",
	"fix": "change the plan so that the step does less",
} if {
	input.step.risk == "blocked"
}
