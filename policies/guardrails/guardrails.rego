# What follows from all that the steps of a phase found? Asked at the end of the `before` and of the `after` phase.
# Each step has judged its own findings; here is judged what only their coming together makes dangerous: where one step
# alone found something, this one is not asked. An organisation's own is asked each time.
# An organisation's own policy is asked beside this one; the stricter of both holds.
# Input: docs/reference/policies/guardrails.schema.json
package tappass.guardrails

import rego.v1

default decision := {"action": "allow"}

# Data in an answer, and in the same answer a way to carry it out.
decision := {"action": "block", "reason": "the answer holds data and a way to carry it out"} if {
	input.phase == "after"
	found("detect_exfiltration")
	found("scan_output")
}

# A tool's result that gives orders, while the conversation holds secrets: the two halves of a theft.
else := {"action": "block", "reason": "a tool's result gives orders in a conversation that holds secrets"} if {
	input.phase == "before"
	some injection in input.findings
	injection.step == "detect_injection"
	injection.origin == "tool_result"
	injection.score >= 0.5
	found("detect_secrets")
}

found(step) if {
	some finding in input.findings
	finding.step == step
	finding.score >= 0.5
}
