"""The LangChain middleware, in an agent of the real package, in front of a real gateway."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from real import Gateway
from tappass import Agent, ApprovalRequired, AsyncAgent, GatewayUnavailable, PolicyBlockError
from tappass.langchain import TapPassMiddleware
from test_tools import ADDRESS, POISON, decide, recorded, strict

__all__ = ["strict"]


ran: list[str] = []


@tool
def note(text: str) -> str:
    """Keeps a note."""
    ran.append(text)
    return text.removeprefix("return ")


@tool
def pay(eur: int) -> str:
    """Pays."""
    ran.append(f"paid {eur}")
    return "done"


@tool
async def fetch(path: str) -> str:
    """Fetches."""
    ran.append(path)
    return f"see {ADDRESS}"


def invoke(gateway: Gateway, strict: dict[str, Any], **options: Any) -> Any:
    ran.clear()
    # The model's calls go through an agent that is only observed: what stops a tool here is the middleware.
    key = SecretStr(gateway.register()["api_key"])
    http = options.pop("http", None)
    model = ChatOpenAI(model="builtin", base_url=f"{gateway.url}/v1", api_key=key, http_async_client=http)
    asking = options.pop("agent", None) or Agent(gateway.url, api_key=strict["api_key"])
    return create_agent(model, [note, pay, fetch], middleware=[TapPassMiddleware(asking, **options)])


def called(name: str, arguments: str) -> Any:
    return {"messages": [{"role": "user", "content": f"call {name} {arguments}"}]}


def heard(answer: Any) -> ToolMessage:
    (message,) = [m for m in answer["messages"] if isinstance(m, ToolMessage)]
    return message


def test_a_call_runs_with_what_may_be_used_of_it(gateway: Gateway, strict: dict[str, Any]) -> None:
    agent = invoke(gateway, strict)
    answer = heard(agent.invoke(called("note", f'{{"text": "call {ADDRESS}"}}')))
    assert ran == ["call [EMAIL]"]
    assert answer.content == "call [EMAIL]"
    types = [event["details"]["type"] for event in recorded(gateway, strict)]
    assert types == ["TOOL_RESULT", "TOOL_CALL"]


def test_a_blocked_call_does_not_run_and_the_model_is_told(gateway: Gateway, strict: dict[str, Any]) -> None:
    answer = heard(invoke(gateway, strict).invoke(called("note", '{"text": "../../../etc/shadow"}')))
    assert ran == []
    assert answer.status == "error"
    assert "does not allow" in str(answer.content)
    with pytest.raises(PolicyBlockError):
        invoke(gateway, strict, raise_blocked=True).invoke(called("note", '{"text": "../../../etc/shadow"}'))


def test_a_result_that_may_not_be_used_is_withheld(gateway: Gateway, strict: dict[str, Any]) -> None:
    gateway.ask("PATCH", f"/agents/{strict['agent_id']}", {"mode": "warn", "floor": "warn"})
    lenient = invoke(gateway, strict).invoke(called("note", f'{{"text": "{POISON}"}}'))
    assert heard(lenient).content == POISON
    gateway.ask("PATCH", f"/agents/{strict['agent_id']}", {"mode": "enforce", "floor": "enforce"})

    @tool
    def page() -> str:
        """A page from outside."""
        return POISON

    model = ChatOpenAI(
        model="builtin", base_url=f"{gateway.url}/v1", api_key=SecretStr(gateway.register()["api_key"])
    )
    middleware = TapPassMiddleware(Agent(gateway.url, api_key=strict["api_key"]))
    answer = create_agent(model, [page], middleware=[middleware]).invoke(called("page", "{}"))
    assert POISON not in str(heard(answer).content)
    assert "withholds" in str(heard(answer).content)


def test_an_approval_ends_the_run_and_the_same_call_passes(gateway: Gateway, strict: dict[str, Any]) -> None:
    agent = invoke(gateway, strict)
    with pytest.raises(ApprovalRequired) as caught:
        agent.invoke(called("pay", '{"eur": 5}'))
    assert ran == []
    decide(gateway, caught.value)
    caught.value.wait(timeout=60)
    agent.invoke(called("pay", '{"eur": 5}'))
    assert ran == ["paid 5"]


@pytest.mark.anyio
async def test_asynchronous(gateway: Gateway, strict: dict[str, Any]) -> None:
    async with (
        AsyncAgent(gateway.url, api_key=strict["api_key"]) as asking,
        openai.DefaultAsyncHttpxClient() as http,
    ):
        for one in (asking, Agent(gateway.url, api_key=strict["api_key"])):
            agent = invoke(gateway, strict, agent=one, http=http)
            answer = await agent.ainvoke(called("fetch", '{"path": "a.txt"}'))
            assert heard(answer).content == "see [EMAIL]"
            refused = await agent.ainvoke(called("fetch", '{"path": "../../../etc/shadow"}'))
            assert heard(refused).status == "error"
            assert ran == ["a.txt"]


def test_without_a_gateway_no_tool_runs(gateway: Gateway, strict: dict[str, Any]) -> None:
    away = Agent("http://127.0.0.1:9", api_key="tp_k", max_retries=0)
    with pytest.raises(GatewayUnavailable):
        invoke(gateway, strict, agent=away).invoke(called("note", '{"text": "x"}'))
    assert ran == []
