"""The adapter of the OpenAI Agents SDK, in runs of the real package, in front of a real gateway."""

from __future__ import annotations

import json
from typing import Any

import agents
import pytest
from openai import AsyncOpenAI

from real import Gateway
from tappass import (
    Agent,
    ApprovalRequired,
    AsyncAgent,
    ConfigurationError,
    GatewayUnavailable,
    PolicyBlockError,
)
from tappass.openai_agents import govern_tools
from test_tools import ADDRESS, POISON, decide, recorded, strict

__all__ = ["strict"]

ran: list[str] = []


@agents.function_tool
def note(text: str) -> str:
    """Keeps a note."""
    ran.append(text)
    return text


@agents.function_tool
async def page(name: str) -> str:
    """A page from outside."""
    ran.append(name)
    return POISON if name == "poison" else f"see {ADDRESS}"


@agents.function_tool
def pay(eur: int) -> str:
    """Pays."""
    ran.append(f"paid {eur}")
    return "done"


@agents.function_tool(needs_approval=lambda *_: _never())
def careful(text: str) -> str:
    """With a question of the package's own."""
    ran.append(text)
    return text


async def _never() -> bool:
    return False


async def run(gateway: Gateway, strict: dict[str, Any], name: str, arguments: Any, **options: Any) -> str:
    """What the tool's output was, as the model hears it."""
    ran.clear()
    agents.set_tracing_disabled(True)
    key = gateway.register()["api_key"]
    async with (
        AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=key) as client,
        AsyncAgent(gateway.url, api_key=strict["api_key"]) as own,
    ):
        model = agents.OpenAIChatCompletionsModel(model="builtin", openai_client=client)
        asking = options.pop("agent", None) or own
        tools = govern_tools([note, page, pay, careful], agent=asking, **options)
        agent = agents.Agent(name="worker", model=model, tools=tools)
        result = await agents.Runner.run(agent, f"call {name} {json.dumps(arguments)}", max_turns=3)
    (output,) = [item for item in result.new_items if isinstance(item, agents.ToolCallOutputItem)]
    return str(output.output)


@pytest.mark.anyio
async def test_a_call_runs_with_what_may_be_used_of_it(gateway: Gateway, strict: dict[str, Any]) -> None:
    for name in ("note", "careful"):
        assert await run(gateway, strict, name, {"text": f"call {ADDRESS}"}) == "call [EMAIL]"
        assert ran == ["call [EMAIL]"]
        assert await run(gateway, strict, name, {"text": "plain"}) == "plain"
    assert await run(gateway, strict, "page", {"name": "contact"}) == "see [EMAIL]"
    types = {event["details"]["type"] for event in recorded(gateway, strict)}
    assert types == {"TOOL_RESULT", "TOOL_CALL"}


@pytest.mark.anyio
async def test_a_blocked_call_does_not_run_and_the_model_is_told(
    gateway: Gateway, strict: dict[str, Any]
) -> None:
    forbidden = {"text": "../../../etc/shadow"}
    assert "does not allow" in await run(gateway, strict, "note", forbidden)
    assert ran == []
    with pytest.raises(agents.UserError) as ended:
        await run(gateway, strict, "note", forbidden, raise_blocked=True)
    assert isinstance(ended.value.__cause__, PolicyBlockError)
    output = await run(gateway, strict, "page", {"name": "poison"})
    assert ran == ["poison"]
    assert "withholds" in output
    assert POISON not in output


@pytest.mark.anyio
async def test_an_approval_ends_the_run_and_the_same_call_passes(
    gateway: Gateway, strict: dict[str, Any]
) -> None:
    asking = Agent(gateway.url, api_key=strict["api_key"])
    with pytest.raises(agents.UserError) as ended:
        await run(gateway, strict, "pay", {"eur": 5}, agent=asking)
    needed = ended.value.__cause__
    assert isinstance(needed, ApprovalRequired)
    assert ran == []
    decide(gateway, needed)
    needed.wait(timeout=60)
    assert await run(gateway, strict, "pay", {"eur": 5}) == "done"
    assert ran == ["paid 5"]


@pytest.mark.anyio
async def test_without_a_gateway_no_tool_runs(gateway: Gateway, strict: dict[str, Any]) -> None:
    away = Agent("http://127.0.0.1:9", api_key="tp_k", max_retries=0)
    with pytest.raises(agents.UserError) as ended:
        await run(gateway, strict, "note", {"text": "x"}, agent=away)
    assert isinstance(ended.value.__cause__, GatewayUnavailable)
    assert ran == []


def test_tools_that_run_elsewhere_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="does not run here"):
        govern_tools([agents.WebSearchTool()])
