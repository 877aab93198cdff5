# The step decision, asked before anything runs and again right before a step
# runs. What no rule allows is blocked; each rule further down can only tighten.
package writ

import data.writ.lib

default step := {
	"mode": "blocked",
	"risk": "blocked",
	"reasons": [{"rule": "default", "message": "no rule of the policy allows this step"}],
}

step := {
	"mode": "blocked",
	"risk": input.step.risk,
	"reasons": denials,
} if {
	count(denials) > 0
} else := {
	"mode": "assist",
	"risk": input.step.risk,
	"reasons": cautions,
	"approvals": lib.ask(people),
	"budget": {"calls": lib.calls},
} if {
	granted
	people > 0
} else := {
	"mode": "autonomous",
	"risk": input.step.risk,
	"reasons": [{"rule": "low-risk", "message": "low risk, covered by grants"}],
	"budget": {"calls": lib.calls},
} if {
	granted
	people == 0
}

# People -----------------------------------------------------------------

people := max({lib.people[input.step.risk]} | extra)

extra contains 1 if untrusted_origin_writes

extra contains 1 if not clean

cautions contains {
	"rule": "risk",
	"message": sprintf("the step's risk is %s", [input.step.risk]),
	"fix": sprintf("have %d of the approvers approve it", [lib.people[input.step.risk]]),
} if {
	lib.people[input.step.risk] > 0
}

cautions contains {
	"rule": "untrusted-origin",
	"message": sprintf("the step writes outside the host (%s) and its author is of origin %q", [input.step.effect, input.origin]),
	"fix": "have an approver approve it, or submit the plan as a person",
} if {
	untrusted_origin_writes
}

cautions contains {
	"rule": "untrusted-sink",
	"message": sprintf("untrusted data reaches %s", [concat(", ", untrusted_sinks)]),
	"fix": "have an approver approve the exact bytes, or feed the parameter from the plan's own words",
} if {
	not clean
}

trusted_origin if input.origin in {"human", "automation"}

internal_effect if input.step.effect in {"none", "read", "write-local"}

untrusted_origin_writes if {
	not trusted_origin
	not internal_effect
}

clean if {
	every flow in lib.list(input.taint.sinks) {
		lib.trusted_flow(flow)
	}
}

untrusted_sinks := [flow.path |
	some flow in input.taint.sinks
	not lib.trusted_flow(flow)
]

# Grants -----------------------------------------------------------------

# Capabilities that this principal holds for this skill, at this risk, now. The
# candidates in the input are few: they were looked up for this step.
live := [grant.capability |
	is_string(input.time)
	some grant in input.grants
	grant.principal == input.principal.id
	grant.tenant == input.principal.tenant
	lib.people[object.get(grant, "maxRisk", "low")] >= lib.people[input.step.risk]
	object.get(grant, "expires", "9999") > input.time
	object.get(grant, "uses", 0) < object.get(grant, "maxUses", 9007199254740991)
	input.step.skill in object.get(grant, "skills", [input.step.skill])
]

uncovered := capability.uncovered(live, lib.list(input.step.capabilities))

live_tools := {held.tool | some held in live}

ungranted_tools := [tool |
	some tool in input.step.tools
	not live_tools["*"]
	not live_tools[tool]
]

granted if {
	uncovered == []
	ungranted_tools == []
	reach
}

# A step without tools reaches nothing. Where it claims an effect all the same,
# only a grant of every tool says that somebody wanted it.
reach if count(input.step.tools) > 0

reach if {
	input.step.effect == "none"
	input.step.risk == "low"
}

reach if live_tools["*"]

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
	"message": sprintf("%s has no live grant that lets %s use %s at %s risk", [
		input.principal.id,
		input.step.skill,
		wanted.tool,
		input.step.risk,
	]),
	"fix": grant_command(wanted),
} if {
	lib.people[input.step.risk] >= 0
	some wanted in uncovered
}

denials contains {
	"rule": "grant",
	"message": sprintf("%s has no live grant of the tool %s at %s risk", [input.principal.id, tool, input.step.risk]),
	"fix": grant_command({"tool": tool}),
} if {
	lib.people[input.step.risk] >= 0
	uncovered == []
	some tool in ungranted_tools
}

denials contains {
	"rule": "grant",
	"message": sprintf("%s uses no tool but claims effect %s at %s risk", [input.step.name, input.step.effect, input.step.risk]),
	"fix": grant_command({"tool": "*"}),
} if {
	lib.people[input.step.risk] >= 0
	not reach
}

grant_command(wanted) := concat("", [
	"writ grant create",
	lib.flags("principal", [input.principal.id]),
	lib.flags("tool", [wanted.tool]),
	lib.flags("host", object.get(wanted, "hosts", [])),
	lib.flags("method", object.get(wanted, "methods", [])),
	lib.flags("path", object.get(wanted, "paths", [])),
	lib.flags("prefix", object.get(wanted, "prefixes", [])),
	lib.flags("skill", [input.step.skill]),
	lib.flags("max-risk", [input.step.risk]),
])
