# May it use these tools, with these arguments? Asked of the tools on offer, then of the calls the model wants.
# Shipped: yes (the agent's own rules are steps). An organisation's own policy begins from this text; the stricter
# of both holds.
# Input: docs/reference/policies/tools.schema.json
package tappass.tools

import rego.v1

default decision := {"action": "allow"}

# For example, a bound on what may be paid:
#
# decision := {"action": "block", "reason": "payments above 1,000 need a person"} if {
# 	some call in input.calls
# 	call.tool == "pay"
# 	call.arguments.amount > 1000
# }
