package tappass.tools_test

import data.tappass.tools
import rego.v1

test_tools_are_allowed if {
	tools.decision.action == "allow" with input as {"tools": ["search"], "calls": [{"tool": "search", "arguments": {}}]}
}
