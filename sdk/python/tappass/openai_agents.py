"""OpenAI Agents SDK: function tools that ask first. ``pip install 'tappass[openai-agents]'``.

>>> agent = agents.Agent(name="Payer", tools=govern_tools([pay, lookup]))
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from typing import Any

from agents import FunctionTool
from agents.tool import Tool
from agents.tool_context import ToolContext

from .agent import Agent, AsyncAgent
from .errors import ConfigurationError, PolicyBlockError
from .tools import ToolGate


def govern_tools(
    tools: Iterable[Tool],
    *,
    agent: Agent | AsyncAgent | None = None,
    raise_blocked: bool = False,
) -> list[Tool]:
    """The same function tools, each of which asks the gateway before it runs and reports what it returned.

    It wraps what runs a tool (``on_invoke_tool``), because the package's tool guardrails can refuse a call
    but not change its arguments. A call that is blocked does not run: the model is told so and can go on;
    with ``raise_blocked=True`` :class:`PolicyBlockError` ends the run. :class:`ApprovalRequired`, and a
    gateway that cannot be asked, always do. The package ends a run with ``agents.UserError``; what ended it
    is its ``__cause__``.

    Tools that OpenAI runs (web search, hosted MCP …) never come here: they are refused with
    :class:`ConfigurationError`.
    """
    return [_governed(tool, ToolGate(agent), raise_blocked) for tool in tools]


def _governed(tool: Tool, gate: ToolGate, raise_blocked: bool) -> FunctionTool:
    if not isinstance(tool, FunctionTool):
        raise ConfigurationError(f"{tool.name} does not run here, so nobody here can ask before it does")
    inner = tool.on_invoke_tool

    async def asks(context: ToolContext[Any], arguments: str) -> Any:
        async def call(args: Any) -> Any:
            if args == given:
                return await inner(context, arguments)
            # What was prepared for an approval of the package's own is for other arguments.
            if hasattr(context, "_function_tool_arguments"):
                context._function_tool_arguments = None
            return await inner(context, json.dumps(args))

        given = _object(arguments)
        try:
            return await gate.run_async(tool.name, given, call)
        except PolicyBlockError as error:
            if raise_blocked:
                raise
            return error.message

    governed = copy.copy(tool)
    governed.on_invoke_tool = asks
    return governed


def _object(arguments: str) -> dict[str, Any]:
    """The model's arguments; what is no object is judged as one text, and then refused by the tool itself."""
    try:
        found = json.loads(arguments or "{}")
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"input": arguments}
