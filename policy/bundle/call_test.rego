package writ.call_test

import data.writ

put := {"tool": "kv.put", "prefixes": ["notes/"]}

post := {"tool": "http.request", "hosts": ["api.example.com"], "methods": ["POST"], "paths": ["/**"]}

question := {
	"point": "call",
	"principal": {"id": "ada", "kind": "human", "tenant": "default", "workspace": "default"},
	"grants": [],
	"origin": "human",
	"step": {"name": "save", "skill": "acme/notes", "effect": "write-external", "risk": "medium", "capabilities": [put, post], "tools": ["http.request", "kv.put"]},
	"call": {
		"sequence": 1,
		"tool": "kv.put",
		"effect": "write-local",
		"idempotent": true,
		"arguments": {"key": "notes/1", "value": "x"},
		"target": {"key": "notes/1"},
	},
	"taint": {"labels": ["principal"], "untrusted": false, "sinks": []},
	"history": {"stepsLastHour": 0, "callsInStep": 0, "approvals": 0},
	"time": "2026-01-01T00:00:00.000000000Z",
}

send := {
	"sequence": 1,
	"tool": "http.request",
	"effect": "write-external",
	"idempotent": false,
	"arguments": {},
	"target": {"scheme": "https", "host": "api.example.com", "method": "POST", "path": "/v1"},
}

ask_many(patches) := answer if {
	answer := writ.call with input as json.patch(question, patches)
}

ask(path, value) := ask_many([{"op": "add", "path": path, "value": value}])

said(answer) := [answer.mode, {reason.rule | some reason in answer.reasons}]

test_within_the_step if {
	answer := writ.call with input as question
	said(answer) == ["autonomous", {"within-step"}]
	answer.risk == "medium"
}

test_no_call_is_blocked if {
	answer := writ.call with input as {}
	answer.mode == "blocked"
}

test_another_key if said(ask("/call/target/key", "secrets/1")) == ["blocked", {"call-scope"}]

test_another_tool if said(ask("/call/tool", "kv.delete")) == ["blocked", {"call-scope"}]

test_no_capability if said(ask("/step/capabilities", null)) == ["blocked", {"call-scope"}]

test_worse_effect if said(ask("/step/effect", "read")) == ["blocked", {"call-effect"}]

test_unknown_effect if said(ask("/call/effect", "explode")) == ["blocked", {"call-effect"}]

test_budget if {
	said(ask("/call/sequence", 1000)) == ["autonomous", {"within-step"}]
	said(ask("/call/sequence", 1001)) == ["blocked", {"call-budget"}]
	said(ask("/history/callsInStep", 1000)) == ["blocked", {"call-budget"}]
}

test_blocked_step if said(ask("/step/risk", "blocked")) == ["blocked", {"risk-blocked"}]

sinks(labels) := {"op": "add", "path": "/taint/sinks", "value": [{"path": "body", "labels": labels}]}

test_untrusted_data_in_a_write if {
	patches := [{"op": "add", "path": "/call", "value": send}, sinks(["http"])]
	answer := ask_many(patches)
	said(answer) == ["assist", {"untrusted-call"}]
	answer.approvals.count == 1
}

test_untrusted_data_in_a_high_risk_write if {
	patches := [
		{"op": "add", "path": "/call", "value": send},
		{"op": "add", "path": "/step/risk", "value": "high"},
		sinks(["http"]),
	]
	answer := ask_many(patches)
	said(answer) == ["assist", {"untrusted-call", "high-risk-call"}]
	answer.approvals.count == 2
}

test_high_risk_write if {
	patches := [{"op": "add", "path": "/call", "value": send}, {"op": "add", "path": "/step/risk", "value": "high"}]
	answer := ask_many(patches)
	said(answer) == ["assist", {"high-risk-call"}]
	answer.approvals.count == 2
}

test_high_risk_write_that_people_approved if {
	patches := [
		{"op": "add", "path": "/step/risk", "value": "high"},
		{"op": "add", "path": "/history/approvals", "value": 2},
	]
	said(ask_many(patches)) == ["autonomous", {"within-step"}]
}

test_high_risk_read if {
	patches := [
		{"op": "add", "path": "/step/risk", "value": "high"},
		{"op": "add", "path": "/call/effect", "value": "read"},
	]
	said(ask_many(patches)) == ["autonomous", {"within-step"}]
}

test_untrusted_data_that_a_person_saw if {
	patches := [
		{"op": "add", "path": "/call", "value": send},
		sinks(["http"]),
		{"op": "add", "path": "/history/approvals", "value": 1},
	]
	said(ask_many(patches)) == ["autonomous", {"within-step"}]
}

test_untrusted_data_that_stays if said(ask_many([sinks(["http"])])) == ["autonomous", {"within-step"}]

test_secret_beside_untrusted_data if {
	said(ask_many([sinks(["http", "secret"])])) == ["assist", {"untrusted-call"}]
}

test_several_denials_are_all_said if {
	patches := [
		{"op": "add", "path": "/call/tool", "value": "file.write"},
		{"op": "add", "path": "/call/sequence", "value": 5000},
	]
	said(ask_many(patches)) == ["blocked", {"call-scope", "call-budget"}]
}

labels(list) := {"op": "add", "path": "/taint/labels", "value": list}

fetch := object.union(send, {"effect": "read", "target": object.union(send.target, {"method": "GET"})})

get := {"tool": "http.request", "hosts": ["api.example.com"], "methods": ["GET"], "paths": ["/v1"]}

fetching := [
	{"op": "add", "path": "/call", "value": fetch},
	{"op": "add", "path": "/step/capabilities", "value": [get]},
]

test_private_data_in_a_read_that_somebody_else_words if {
	answer := ask_many(array.concat(fetching, [labels(["http", "principal", "secret"])]))
	said(answer) == ["assist", {"lethal-trifecta"}]
	answer.approvals.count == 1
}

test_earlier_approvals_do_not_cover_it if {
	patches := [{"op": "add", "path": "/history/approvals", "value": 2}, labels(["private", "stored"])]
	said(ask_many(array.concat(fetching, patches))) == ["assist", {"lethal-trifecta"}]
}

test_private_data_in_a_read_of_our_own if {
	said(ask_many(array.concat(fetching, [labels(["principal", "private"])]))) == ["autonomous", {"within-step"}]
}

test_private_and_untrusted_data_that_stay if {
	said(ask_many([labels(["http", "private"])])) == ["autonomous", {"within-step"}]
}
