"""Calls that wait for a person, against a real gateway."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import tappass
from double import Double, decision
from real import Gateway
from tappass import Agent, ApprovalDenied, ApprovalPending, ApprovalRequired, AsyncAgent, ConfigurationError
from test_gateway import provider_says, user

SECRET_PLAN = user("say: the strictly confidential plan")


def strict_key(gateway: Gateway) -> str:
    """The key of an agent whose confidential calls a person must approve."""
    when = [{"classification": "CONFIDENTIAL"}]
    pipeline = {"preset": "starter", "overrides": {"policy": {"require_human_approval": when}}}
    gateway.ask("PUT", "/pipelines/strict", pipeline)
    registered = gateway.register("enforce", floor="enforce", preset="strict")
    key: str = registered["api_key"]
    return key


def decide(gateway: Gateway, error: ApprovalRequired, decision: str = "approve") -> Any:
    body = {"decision": decision, "reason": "as agreed"}
    return gateway.ask("POST", f"/admin/approvals/{error.approval_id}/decide", body)


def refused(client: Agent, **more: Any) -> ApprovalRequired:
    with pytest.raises(ApprovalRequired) as caught:
        client.chat.completions.create(model="builtin", messages=SECRET_PLAN, **more)
    return caught.value


def test_wait_and_resume(gateway: Gateway) -> None:
    client = Agent(gateway.url, api_key=strict_key(gateway))
    needed = refused(client)
    assert (needed.decision, needed.blocked_by, needed.status_code) == ("approval_required", None, 403)
    assert needed.approval_url
    assert needed.expires_at
    with pytest.raises(ApprovalPending, match="yet"):
        needed.wait(timeout=0)
    waiting = threading.Thread(target=decide, args=(gateway, needed))
    waiting.start()
    approval = needed.wait(timeout=60)
    waiting.join()
    assert (approval.state, approval.reason) == ("approved", "as agreed")
    answer = needed.resume()
    assert isinstance(answer, tappass.GovernedCompletion)
    assert answer.choices[0].message.content == "the strictly confidential plan"
    assert answer.tappass.mode == "enforce"
    with pytest.raises(tappass.PolicyBlockError, match="has been used"):
        needed.resume()


def test_a_no_is_told_with_its_reason(gateway: Gateway) -> None:
    needed = refused(Agent(gateway.url, api_key=strict_key(gateway)))
    decide(gateway, needed, "deny")
    with pytest.raises(ApprovalDenied, match="as agreed") as caught:
        needed.wait()
    assert caught.value.approval.state == "denied"
    with pytest.raises(tappass.PolicyBlockError, match="denied"):
        needed.resume()


def test_a_stream_is_resumed_as_a_stream_with_the_calls_own_options(gateway: Gateway) -> None:
    client = Agent(gateway.url, api_key=strict_key(gateway))
    needed = refused(client, stream=True, flags={"pii": "mask"}, end_user="u-1")
    decide(gateway, needed)
    needed.wait()
    chunks = list(needed.resume())
    assert "".join(chunk.content or "" for chunk in chunks) == "the strictly confidential plan"
    assert chunks[-1].tappass is not None
    assert chunks[-1].tappass.flags == {"pii": "mask"}


@pytest.mark.anyio
async def test_asynchronous(gateway: Gateway) -> None:
    async with AsyncAgent(gateway.url, api_key=strict_key(gateway)) as client:
        with pytest.raises(ApprovalRequired) as caught:
            await client.chat.completions.create(model="builtin", messages=SECRET_PLAN)
        needed = caught.value
        with pytest.raises(ApprovalPending):
            await needed.wait_async(timeout=0)
        with pytest.raises(ConfigurationError, match="wait_async"):
            needed.wait()
        waiting = threading.Thread(target=decide, args=(gateway, needed))
        waiting.start()
        approval = await needed.wait_async(timeout=60)
        waiting.join()
        assert approval.state == "approved"
        answer = await needed.resume_async()
        assert answer.choices[0].message.content == "the strictly confidential plan"


def test_a_tool_call_that_stops_a_stream_can_be_waited_for(gateway: Gateway) -> None:
    overrides = {"require_approval": {"when": [{"tool": "pay"}]}}
    gateway.ask("PUT", "/pipelines/paying", {"preset": "starter", "overrides": overrides})
    key = gateway.register("enforce", floor="enforce", preset="paying")["api_key"]
    client = Agent(gateway.url, api_key=key)
    paying = provider_says("Paying.")
    assert paying.events is not None
    call = {
        "index": 0,
        "id": "c1",
        "type": "function",
        "function": {"name": "pay", "arguments": '{"eur": 5}'},
    }
    paying.events[1]["choices"][0]["delta"]["tool_calls"] = [call]
    gateway.provider.will(paying, paying)
    tools: Any = [{"type": "function", "function": {"name": "pay"}}]
    with pytest.raises(ApprovalRequired) as caught:
        list(client.chat.completions.create(model="gpt-4o", messages=user("pay"), tools=tools, stream=True))
    decide(gateway, caught.value)
    caught.value.wait()
    chunks = list(caught.value.resume())
    names = [t.function.name for c in chunks if c.choices for t in c.choices[0].delta.tool_calls or []]
    assert names == ["pay"]


def test_what_no_agent_sent_cannot_be_waited_for(double: Double) -> None:
    double.will(decision("approval_required", approval_id="a1"), decision("approval_required"))
    client = Agent(double.url, api_key="tp_k")
    error = refused(client)
    error.sent = None
    with pytest.raises(ConfigurationError, match="Agent"):
        error.wait()
    with pytest.raises(ConfigurationError, match="older"):
        refused(client).wait()
