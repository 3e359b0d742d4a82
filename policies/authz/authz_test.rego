package tappass.authz_test

import data.tappass.authz
import rego.v1

test_a_call_is_allowed if authz.decision.action == "allow" with input as {"agent": "a", "tools": []}
