package tappass.guardrails_test

import data.tappass.guardrails
import rego.v1

finding(step) := {"step": step, "kind": "X", "score": 0.9, "origin": "answer"}

test_one_finding_is_the_step_s_own_affair if {
	guardrails.decision.action == "allow" with input as {"phase": "after", "findings": [finding("scan_output")]}
}

test_data_and_a_way_out_are_refused if {
	guardrails.decision.action == "block" with input as {
		"phase": "after",
		"findings": [finding("scan_output"), finding("detect_exfiltration")],
	}
}

test_orders_from_a_tool_among_secrets_are_refused if {
	injection := object.union(finding("detect_injection"), {"origin": "tool_result"})
	guardrails.decision.action == "block" with input as {
		"phase": "before",
		"findings": [injection, finding("detect_secrets")],
	}
}

test_the_same_from_a_user_is_left_to_the_steps if {
	injection := object.union(finding("detect_injection"), {"origin": "user"})
	guardrails.decision.action == "allow" with input as {
		"phase": "before",
		"findings": [injection, finding("detect_secrets")],
	}
}
