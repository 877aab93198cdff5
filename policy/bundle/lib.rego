# What both decisions share.
package writ.lib

# Effect classes, mildest first. An unknown class has no place here and is blocked.
severity := {
	"none": 0,
	"read": 1,
	"write-local": 2,
	"write-external": 3,
	"irreversible": 4,
	"financial": 5,
	"admin": 6,
}

# How many people a tier asks for. "blocked" is missing on purpose.
people := {"low": 0, "medium": 1, "high": 2}

ask(count) := {
	"count": count,
	"roles": ["approver"],
	"expiresIn": "24h",
	"escalateAfter": "4h",
	"escalateTo": ["admin"],
}

tool_name("*") := "every tool"

tool_name(tool) := tool if tool != "*"

# One word of a shell command: what came from a draft must not become a command.
word(s) := s if regex.match(`^[A-Za-z0-9._/:@=-]+$`, s)

word(s) := sprintf("'%s'", [replace(s, "'", `'\''`)]) if not regex.match(`^[A-Za-z0-9._/:@=-]+$`, s)

flags(name, values) := concat("", [sprintf(" --%s %s", [name, word(value)]) | some value in values])
