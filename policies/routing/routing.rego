# May the call go to this provider? Asked before the steps that choose and call it.
# Shipped: yes (the step `model_routing` decides). An organisation's own policy begins from this text; the stricter of
# both holds.
# Input: docs/reference/policies/routing.schema.json
package tappass.routing

import rego.v1

default decision := {"action": "allow"}

# For example, what is restricted stays with one provider:
#
# decision := {"action": "block", "reason": "restricted data goes to Azure only"} if {
# 	input.classification in {"RESTRICTED", "TOP_SECRET"}
# 	input.provider != "azure"
# }
