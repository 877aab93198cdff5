package writ.step_test

import data.writ

principal := {"id": "ada", "kind": "human", "tenant": "default", "workspace": "default"}

get := {"tool": "http.request", "hosts": ["api.example.com"], "methods": ["GET"], "paths": ["/v1/*"]}

question := {
	"point": "step",
	"principal": principal,
	"grants": [{"id": "g", "principal": "ada", "tenant": "default", "capability": {"tool": "*"}, "maxRisk": "high"}],
	"origin": "human",
	"step": {
		"name": "fetch",
		"skill": "acme/http",
		"effect": "read",
		"risk": "low",
		"capabilities": [get],
		"tools": ["http.request"],
	},
	"taint": {"labels": ["principal"], "untrusted": false, "sinks": []},
	"history": {"stepsLastHour": 0, "callsInStep": 0, "approvals": 0},
	"time": "2026-01-01T00:00:00.000000000Z",
}

ask_many(patches) := answer if {
	answer := writ.step with input as json.patch(question, patches)
}

ask(path, value) := ask_many([{"op": "add", "path": path, "value": value}])

# The answer's mode and the rules that spoke.
said(answer) := [answer.mode, {reason.rule | some reason in answer.reasons}]

grant(fields) := [object.union({"id": "g", "principal": "ada", "tenant": "default", "capability": get}, fields)]

test_low_risk_is_autonomous if {
	answer := writ.step with input as question
	said(answer) == ["autonomous", {"low-risk"}]
	answer.risk == "low"
	answer.budget == {"calls": 1000}
}

test_medium_risk_asks_one if {
	answer := ask("/step/risk", "medium")
	said(answer) == ["assist", {"risk"}]
	answer.approvals.count == 1
	answer.approvals.roles == ["approver"]
	answer.approvals.expiresIn == "24h"
}

test_high_risk_asks_two if {
	answer := ask("/step/risk", "high")
	said(answer) == ["assist", {"risk"}]
	answer.approvals.count == 2
}

test_blocked_risk_is_blocked if {
	said(ask("/step/risk", "blocked")) == ["blocked", {"risk-blocked"}]
}

test_unknown_risk_is_blocked if said(ask("/step/risk", "severe")) == ["blocked", {"default"}]

test_unknown_effect_is_blocked if said(ask("/step/effect", "explode")) == ["blocked", {"effect-unknown"}]

test_empty_question_is_blocked if {
	answer := writ.step with input as {}
	said(answer)[0] == "blocked"
}

test_no_grant_is_blocked if {
	answer := ask("/grants", [])
	said(answer) == ["blocked", {"grant"}]
	some reason in answer.reasons
	reason.fix == "writ grant create --principal ada --tool http.request --host api.example.com --method GET --path '/v1/*' --skill acme/http --max-risk low"
}

test_a_grant_to_call_names_the_actions if {
	wanted := {"tool": "skill.call", "skills": ["acme/mail#send"]}
	answer := ask_many([
		{"op": "add", "path": "/grants", "value": []},
		{"op": "add", "path": "/step/capabilities", "value": [wanted]},
		{"op": "add", "path": "/step/tools", "value": ["skill.call"]},
	])
	some reason in answer.reasons
	reason.fix == "writ grant create --principal ada --tool skill.call --action 'acme/mail#send' --skill acme/http --max-risk low"
}

test_null_grants_are_none if said(ask("/grants", null)) == ["blocked", {"grant"}]

test_exact_grant_is_enough if said(ask("/grants", grant({}))) == ["autonomous", {"low-risk"}]

test_grant_of_another_principal if said(ask("/grants", grant({"principal": "bob"}))) == ["blocked", {"grant"}]

test_grant_of_another_tenant if said(ask("/grants", grant({"tenant": "other"}))) == ["blocked", {"grant"}]

test_grant_below_the_risk if {
	patches := [
		{"op": "add", "path": "/grants", "value": grant({"maxRisk": "low"})},
		{"op": "add", "path": "/step/risk", "value": "medium"},
	]
	said(ask_many(patches)) == ["blocked", {"grant"}]
}

test_grant_that_expired if {
	said(ask("/grants", grant({"expires": "2026-01-01T00:00:00.000000000Z"}))) == ["blocked", {"grant"}]
}

test_grant_that_lives if {
	said(ask("/grants", grant({"expires": "2026-01-01T00:00:00.000000001Z"}))) == ["autonomous", {"low-risk"}]
}

test_grant_needs_the_time if said(ask("/time", null)) == ["blocked", {"grant"}]

test_grant_that_is_used_up if {
	said(ask("/grants", grant({"maxUses": 2, "uses": 2}))) == ["blocked", {"grant"}]
	said(ask("/grants", grant({"maxUses": 2, "uses": 1}))) == ["autonomous", {"low-risk"}]
}

test_grant_of_another_skill if {
	said(ask("/grants", grant({"skills": ["acme/other"]}))) == ["blocked", {"grant"}]
	said(ask("/grants", grant({"skills": ["acme/http"]}))) == ["autonomous", {"low-risk"}]
}

test_grant_of_a_narrower_scope if {
	narrow := object.union(get, {"hosts": ["other.example.com"]})
	said(ask("/grants", grant({"capability": narrow}))) == ["blocked", {"grant"}]
}

test_tool_without_capability_needs_a_grant if {
	patches := [
		{"op": "add", "path": "/grants", "value": grant({})},
		{"op": "add", "path": "/step/tools", "value": ["http.request", "kv.put"]},
	]
	answer := ask_many(patches)
	said(answer) == ["blocked", {"grant"}]
	some reason in answer.reasons
	reason.fix == "writ grant create --principal ada --tool kv.put --skill acme/http --max-risk low"
}

pure(effect) := [
	{"op": "add", "path": "/grants", "value": []},
	{"op": "add", "path": "/step/tools", "value": []},
	{"op": "add", "path": "/step/capabilities", "value": []},
	{"op": "add", "path": "/step/effect", "value": effect},
]

test_pure_step_needs_no_grant if said(ask_many(pure("none"))) == ["autonomous", {"low-risk"}]

test_effect_without_tools_needs_every_tool if said(ask_many(pure("admin"))) == ["blocked", {"grant"}]

test_effect_without_tools_with_every_tool if {
	patches := array.concat(pure("read"), [{"op": "add", "path": "/grants", "value": question.grants}])
	said(ask_many(patches)) == ["autonomous", {"low-risk"}]
}

test_model_that_writes_outside if {
	patches := [
		{"op": "add", "path": "/origin", "value": "model"},
		{"op": "add", "path": "/step/effect", "value": "write-external"},
	]
	answer := ask_many(patches)
	said(answer) == ["assist", {"untrusted-origin"}]
	answer.approvals.count == 1
}

test_unknown_origin_that_writes_outside if {
	patches := [
		{"op": "add", "path": "/origin", "value": ""},
		{"op": "add", "path": "/step/effect", "value": "financial"},
	]
	said(ask_many(patches)) == ["assist", {"untrusted-origin"}]
}

test_automation_that_writes_outside if {
	patches := [
		{"op": "add", "path": "/origin", "value": "automation"},
		{"op": "add", "path": "/step/effect", "value": "write-external"},
	]
	said(ask_many(patches)) == ["autonomous", {"low-risk"}]
}

test_null_sinks_are_none if said(ask("/taint/sinks", null)) == ["autonomous", {"low-risk"}]

test_model_that_writes_within_the_host if said(ask_many([
	{"op": "add", "path": "/origin", "value": "model"},
	{"op": "add", "path": "/step/effect", "value": "write-local"},
])) == ["autonomous", {"low-risk"}]

test_model_that_reads if said(ask("/origin", "model")) == ["autonomous", {"low-risk"}]

test_untrusted_sink if {
	sinks := [{"path": "recipient", "labels": ["http", "principal"]}]
	answer := ask("/taint/sinks", sinks)
	said(answer) == ["assist", {"untrusted-sink"}]
	some reason in answer.reasons
	reason.message == "untrusted data reaches recipient"
}

test_sink_without_label if {
	said(ask("/taint/sinks", [{"path": "to", "labels": []}])) == ["assist", {"untrusted-sink"}]
}

test_trusted_sink if {
	said(ask("/taint/sinks", [{"path": "to", "labels": ["operator"]}])) == ["autonomous", {"low-risk"}]
}

test_missing_taint_is_not_trusted if {
	answer := writ.step with input as object.remove(question, ["taint"])
	answer.mode != "autonomous"
}

test_fix_is_safe_to_paste if {
	hostile := object.union(get, {"paths": ["/$(id)'; rm -rf /"]})
	patches := [
		{"op": "add", "path": "/grants", "value": []},
		{"op": "add", "path": "/step/capabilities", "value": [hostile]},
	]
	answer := ask_many(patches)
	some reason in answer.reasons
	contains(reason.fix, `--path '/$(id)'\''; rm -rf /' --skill`)
}

labels(list) := {"op": "add", "path": "/taint/labels", "value": list}

test_private_and_untrusted_data_that_may_leave if {
	answer := ask_many([labels(["http", "principal", "secret"])])
	said(answer) == ["assist", {"lethal-trifecta"}]
	answer.approvals.count == 1
	some reason in answer.reasons
	contains(reason.fix, "split the plan")
}

test_private_data_by_itself if {
	said(ask_many([labels(["principal", "private"])])) == ["autonomous", {"low-risk"}]
}

test_untrusted_data_by_itself if {
	said(ask_many([labels(["http", "principal"])])) == ["autonomous", {"low-risk"}]
}

test_private_and_untrusted_data_that_stay if {
	stays := array.concat(pure("none"), [labels(["http", "private"])])
	said(ask_many(stays)) == ["autonomous", {"low-risk"}]
}

test_private_data_that_nobody_vouches_for if {
	said(ask_many([labels(["private"])])) == ["assist", {"lethal-trifecta"}]
}

test_private_data_of_a_step_that_sends if {
	sends := array.concat(pure("write-external"), [
		labels(["model", "private"]),
		{"op": "add", "path": "/grants", "value": question.grants},
	])
	said(ask_many(sends)) == ["assist", {"lethal-trifecta"}]
}

data_of(list, sensitivity) := [
	labels(list),
	{"op": "add", "path": "/taint/sensitivity", "value": sensitivity},
]

test_secret_data_needs_a_grant_that_says_so if {
	answer := ask_many(data_of(["principal", "secret"], "secret"))
	said(answer) == ["blocked", {"grant"}]
	some reason in answer.reasons
	contains(reason.message, "at low risk with data that is secret")
	endswith(reason.fix, "--max-risk low --max-sensitivity secret")
}

test_secret_data_and_a_grant_that_says_so if {
	reaches := {"op": "add", "path": "/grants/0/maxSensitivity", "value": "secret"}
	said(ask_many(array.concat(data_of(["principal", "secret"], "secret"), [reaches]))) == ["autonomous", {"low-risk"}]
}

test_private_data_needs_no_word if {
	said(ask_many(data_of(["principal", "private"], "private"))) == ["autonomous", {"low-risk"}]
}

test_private_data_and_a_grant_for_public_data if {
	narrow := {"op": "add", "path": "/grants/0/maxSensitivity", "value": "public"}
	answer := ask_many(array.concat(data_of(["principal", "private"], "private"), [narrow]))
	said(answer) == ["blocked", {"grant"}]
	some reason in answer.reasons
	endswith(reason.fix, "--max-risk low")
}

test_unknown_sensitivity if {
	said(ask_many(data_of(["principal"], "cosmic"))) == ["blocked", {"grant"}]
}
