# The step decision, asked before anything runs and again right before a step
# runs. What no rule allows is blocked; each rule further down can only tighten.
package writ

import data.writ.lib

default step := {
	"mode": "blocked",
	"risk": "blocked",
	"reasons": [{"rule": "default", "message": "no rule of the policy allows this step"}],
}

# The way of most steps comes first and asks the functions itself: each rule in
# between costs as much as the answer.
step := {
	"mode": "autonomous",
	"risk": "low",
	"reasons": [{"rule": "low-risk", "message": "low risk, and grants cover it"}],
	"budget": {"calls": 1000},
} if {
	input.step.risk == "low"
	trusted_author
	taint.untrusted(input.taint.sinks) == []
	taint.lethal(input) == false
	grants.missing(input) == []
} else := {
	"mode": "assist",
	"risk": input.step.risk,
	"reasons": cautions,
	"approvals": lib.ask(people),
	"budget": {"calls": 1000},
} if {
	people >= 1
	lib.severity[input.step.effect] >= 0
	missing == []
} else := {
	"mode": "blocked",
	"risk": input.step.risk,
	"reasons": denials,
} if {
	count(denials) > 0
}

# Grants -----------------------------------------------------------------

# What no live grant of the principal covers, at this risk, for this skill, now.
missing := grants.missing(input)

# People -----------------------------------------------------------------

# At least one: what is low and calm was autonomous above.
people := max([1, lib.people[input.step.risk]])

# Who wrote the intent matters only where the step writes outside the host.
trusted_author if input.step.effect == "none"

trusted_author if input.step.effect == "read"

trusted_author if input.step.effect == "write-local"

trusted_author if {
	input.origin == "human"
	lib.severity[input.step.effect]
}

trusted_author if {
	input.origin == "automation"
	lib.severity[input.step.effect]
}

untrusted_sinks := taint.untrusted(input.taint.sinks)

cautions contains {
	"rule": "risk",
	"message": sprintf("the step's risk is %s", [input.step.risk]),
	"fix": sprintf("have %d of the approvers approve it", [people]),
} if {
	lib.people[input.step.risk] > 0
}

cautions contains {
	"rule": "untrusted-origin",
	"message": sprintf("the step writes outside the host (%s) and its author is of origin %q", [input.step.effect, input.origin]),
	"fix": "have an approver approve it, or submit the plan as a person",
} if {
	not trusted_author
}

cautions contains {
	"rule": "untrusted-sink",
	"message": sprintf("untrusted data reaches %s", [concat(", ", untrusted_sinks)]),
	"fix": "have an approver approve the exact bytes, or feed the parameter from the plan's own words",
} if {
	untrusted_sinks != []
}

cautions contains {
	"rule": "lethal-trifecta",
	"message": concat("", [
		"private data, text that somebody untrusted wrote, and a way out of the host meet in this step: ",
		"what the text asks for could carry the data away",
	]),
	"fix": concat("", [
		"have an approver approve each call's exact bytes, or split the plan so that the step that sends reads ",
		"the private data or the untrusted text, and not both",
	]),
} if {
	taint.lethal(input)
}

# Denials ----------------------------------------------------------------

denials contains {
	"rule": "risk-blocked",
	"message": "the step's risk tier is blocked: nobody can approve it",
	"fix": "change the plan so that the step does less",
} if {
	input.step.risk == "blocked"
}

denials contains {
	"rule": "effect-unknown",
	"message": sprintf("the effect class %q is not known", [input.step.effect]),
	"fix": "declare one of the effect classes in the skill's manifest",
} if {
	not lib.severity[input.step.effect]
}

denials contains {
	"rule": "grant",
	"message": sprintf("%s has no live grant that lets %s use %s at %s risk%s", [
		input.principal.id,
		input.step.skill,
		lib.tool_name(wanted.tool),
		input.step.risk,
		with_data,
	]),
	"fix": grant_command(wanted),
} if {
	lib.people[input.step.risk] >= 0
	some wanted in missing
}

grant_command(wanted) := concat("", [
	"writ grant create",
	lib.flags("principal", [input.principal.id]),
	lib.flags("tool", [wanted.tool]),
	lib.flags("host", object.get(wanted, "hosts", [])),
	lib.flags("method", object.get(wanted, "methods", [])),
	lib.flags("path", object.get(wanted, "paths", [])),
	lib.flags("prefix", object.get(wanted, "prefixes", [])),
	lib.flags("action", object.get(wanted, "skills", [])),
	lib.flags("channel", object.get(wanted, "channels", [])),
	lib.flags("skill", [input.step.skill]),
	lib.flags("max-risk", [input.step.risk]),
	lib.flags("max-sensitivity", beyond_default),
])

# A grant that says nothing reaches what is private, and no secrets.
default with_data := ""

with_data := sprintf(" with data that is %s", [input.taint.sensitivity]) if input.taint.sensitivity != "public"

default beyond_default := []

beyond_default := ["secret"] if input.taint.sensitivity == "secret"
