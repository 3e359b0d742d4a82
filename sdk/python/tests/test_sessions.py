"""Sessions as context managers, against a real gateway."""

from __future__ import annotations

import asyncio

import openai
import pytest

from real import Gateway
from tappass import Agent, AsyncAgent, govern
from test_gateway import user


def says(agent: Agent) -> str | None:
    return agent.chat.completions.create(model="builtin", messages=user("say: x")).tappass.session_id


def test_what_is_called_inside_belongs_together(gateway: Gateway) -> None:
    registered = gateway.register()
    agent = Agent(gateway.url, api_key=registered["api_key"], session_id="mine")
    other = Agent(gateway.url, api_key=gateway.register()["api_key"])
    assert says(agent) == "mine"
    with agent.session(name="claims", metadata={"case": 7}) as session:
        assert says(agent) == says(other) == session.session_id
        with agent.session("inner") as inner:
            assert says(agent) == inner.session_id == "inner"
        # Without an agent of its own, a tool asks as the session's.
        assert govern(lambda: "rain")() == "rain"
        assert says(agent) == session.session_id
        own = agent.chat.completions.create(model="builtin", messages=user("x"), session_id="own")
        assert own.tappass.session_id == "own"
    assert says(agent) == "mine"
    kept = gateway.ask("GET", f"/sessions/{session.session_id}")
    assert (kept["name"], kept["metadata"]) == ("claims", {"case": 7})
    events = gateway.ask("GET", f"/audit?agent_id={registered['agent_id']}&limit=50")["items"]
    tools = [e["session_id"] for e in events if e["event_type"] == "tool_call"]
    assert tools == [session.session_id] * 2
    with pytest.raises(openai.UnprocessableEntityError, match="ended"), agent.session(session.session_id):
        says(agent)


@pytest.mark.anyio
async def test_each_task_has_its_own(gateway: Gateway) -> None:
    async with AsyncAgent(gateway.url, api_key=gateway.register()["api_key"]) as agent:

        async def work(n: int) -> list[str | None]:
            async with agent.session(None if n else "named") as session:
                await asyncio.sleep(0)
                answers = [
                    await agent.chat.completions.create(model="builtin", messages=user("x")) for _ in range(2)
                ]
                return [session.session_id, *(answer.tappass.session_id for answer in answers)]

        found = await asyncio.gather(*(work(n) for n in range(3)))
        assert all(len(set(ids)) == 1 for ids in found)
        assert len({ids[0] for ids in found}) == 3
        assert found[0][0] == "named"
