package tappass.routing_test

import data.tappass.routing
import rego.v1

test_a_provider_is_allowed if routing.decision.action == "allow" with input as {"provider": "openai"}
