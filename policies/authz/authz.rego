# May this agent make this call at all? Asked when the steps before the call have run.
# Shipped: yes. An organisation's own policy begins from this text; the stricter of both holds.
# Input: docs/reference/policies/authz.schema.json
package tappass.authz

import rego.v1

default decision := {"action": "allow"}

# For example, no calls at weekends:
#
# decision := {"action": "block", "reason": "this agent rests at weekends"} if {
# 	time.weekday(time.parse_rfc3339_ns(input.time)) in {"Saturday", "Sunday"}
# }
