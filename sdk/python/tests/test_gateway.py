"""``Agent`` and ``AsyncAgent`` against a real gateway."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from pydantic import BaseModel

from double import Answer
from real import Gateway
from tappass import (
    Agent,
    AsyncAgent,
    AuthenticationError,
    Governance,
    PolicyBlockError,
    governance,
)

CARD = "4111 1111 1111 1111"
SECRET = "ghp_" + "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8"


def user(text: str) -> list[openai.types.chat.ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


def agent(gateway: Gateway, mode: str = "observe", **options: Any) -> Agent:
    return Agent(gateway.url, name="claims", api_key=gateway.register(mode)["api_key"], **options)


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/", "/v1/v1"])
def test_the_snippet_of_the_readme(gateway: Gateway, suffix: str) -> None:
    key = gateway.register()["api_key"]
    agent = Agent(
        gateway.url + suffix, name="claims-processor", api_key=key, flags={"pii": "mask", "mode": "observe"}
    )
    prompt = "say: hello"
    response = agent.chat.completions.create(model="builtin", messages=[{"role": "user", "content": prompt}])
    assert response.choices[0].message.content == "hello"
    said = response.tappass
    assert isinstance(said, Governance)
    assert (said.blocked, said.mode, said.pipeline_id) == (False, "observe", "starter")
    assert said.flags == {"mode": "observe", "pii": "mask"}
    assert said.agent_uuid
    assert said.session_id
    assert said.task_id
    assert said.classification
    assert said.steps_run
    assert said.steps_run > 5
    assert said.would_block == []


def test_observe_says_what_enforce_would_block(gateway: Gateway) -> None:
    response = agent(gateway).chat.completions.create(model="builtin", messages=user(f"keep {SECRET}"))
    assert [w.step for w in response.tappass.would_block or []] == ["detect_secrets"]
    assert response.tappass.blocked is False


def test_a_block_is_typed_and_final_and_nothing_is_forwarded(gateway: Gateway) -> None:
    registered = gateway.register("enforce")
    client = Agent(gateway.url, api_key=registered["api_key"], max_retries=3)
    with pytest.raises(PolicyBlockError) as caught:
        client.chat.completions.create(model="gpt-4o", messages=user(f"keep {SECRET} for me"))
    error = caught.value
    assert (error.decision, error.blocked_by, error.status_code) == ("policy_block", "detect_secrets", 403)
    assert error.message
    assert error.reason
    assert error.classification
    assert error.details["findings"]
    assert SECRET not in str(error.answer)
    assert error.agent_uuid == registered["agent_uuid"]
    assert error.task_id
    assert error.session_id
    assert error.request_id
    assert error.tappass is not None
    assert error.tappass.blocked
    assert gateway.provider.requests == []
    assert [event["action"] for event in gateway.events(registered)] == ["block"]


def test_a_flag_of_one_call_tightens_it(gateway: Gateway) -> None:
    client = agent(gateway, "enforce")
    text = f"say: the card is {CARD}"
    client.chat.completions.create(model="builtin", messages=user(text))
    with pytest.raises(PolicyBlockError) as caught:
        client.chat.completions.create(model="builtin", messages=user(text), flags={"pii": "block"})
    assert caught.value.blocked_by == "detect_pii"
    masked = client.chat.completions.create(model="builtin", messages=user(text), flags={"pii": "mask"})
    assert "4111" not in (masked.choices[0].message.content or "")


def test_a_flag_that_is_not_known_is_422(gateway: Gateway) -> None:
    with pytest.raises(openai.UnprocessableEntityError, match="mode, pii"):
        agent(gateway, flags={"colour": "red"}).chat.completions.create(model="builtin", messages=user("x"))


def test_sessions_and_turns(gateway: Gateway) -> None:
    client = agent(gateway, session_id="s-17")
    for turn in (1, 2):
        said = client.chat.completions.create(model="builtin", messages=user("hi")).tappass
        assert (said.session_id, said.turn_index) == ("s-17", turn)
    other = client.chat.completions.create(model="builtin", messages=user("hi"), session_id="s-18").tappass
    assert (other.session_id, other.turn_index) == ("s-18", 1)


def test_the_end_user_is_recorded(gateway: Gateway) -> None:
    registered = gateway.register()
    client = Agent(gateway.url, api_key=registered["api_key"], end_user="u-1")
    client.chat.completions.create(model="builtin", messages=user("hi"))
    client.chat.completions.create(model="builtin", messages=user("hi"), end_user="u-2")
    assert [event["user"] for event in gateway.events(registered)] == ["u-2", "u-1"]


def test_a_flag_below_the_floor_has_no_effect_and_is_told(gateway: Gateway) -> None:
    registered = gateway.register("enforce", floor="enforce")
    client = Agent(gateway.url, api_key=registered["api_key"], flags={"mode": "observe"})
    said = client.chat.completions.create(model="builtin", messages=user("hi")).tappass
    assert (said.mode, said.flags_refused) == ("enforce", ["mode=observe"])


def test_a_wrong_key(gateway: Gateway) -> None:
    with pytest.raises(AuthenticationError) as caught:
        Agent(gateway.url, api_key="tp_wrong").chat.completions.create(model="builtin", messages=user("x"))
    assert caught.value.request_id


def test_a_suspended_agent(gateway: Gateway) -> None:
    registered = gateway.register()
    client = Agent(gateway.url, api_key=registered["api_key"])
    client.chat.completions.create(model="builtin", messages=user("x"))
    gateway.ask("POST", f"/agents/{registered['agent_id']}/suspend", {})
    with pytest.raises((AuthenticationError, openai.PermissionDeniedError)):
        client.chat.completions.create(model="builtin", messages=user("x"))


def test_a_stream(gateway: Gateway) -> None:
    stream = agent(gateway).chat.completions.create(
        model="builtin", messages=user("say: one two three four"), stream=True
    )
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "one two three four" == "".join(c.content or "" for c in chunks)
    assert chunks[0].session_id
    assert chunks[-1].finished
    assert isinstance(chunks[-1].tappass, Governance)
    assert all(c.tappass is None for c in chunks[:-1])


def provider_says(*parts: str) -> Answer:
    """A streamed answer of a provider, in its own dialect."""
    base = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}

    def event(delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
        return {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    return Answer(
        events=[
            event({"role": "assistant", "content": ""}),
            *(event({"content": p}) for p in parts),
            event({}, "stop"),
        ]
    )


def test_a_stream_that_is_stopped(gateway: Gateway) -> None:
    gateway.provider.will(provider_says("The token is ", SECRET[:10], SECRET[10:], " and more."))
    text = ""
    with pytest.raises(PolicyBlockError) as caught:
        for chunk in agent(gateway, "lockdown").chat.completions.create(
            model="gpt-4o", messages=user("what is it?"), stream=True
        ):
            text += chunk.content or ""
    assert "ghp_" not in text
    assert caught.value.blocked_by == "scan_output"
    assert caught.value.reason
    assert caught.value.tappass is not None
    assert caught.value.tappass.blocked


@pytest.mark.anyio
async def test_asynchronous(gateway: Gateway) -> None:
    key = gateway.register("enforce")["api_key"]
    async with AsyncAgent(gateway.url + "/v1/", name="claims", api_key=key) as client:
        whole = await client.chat.completions.create(model="builtin", messages=user("say: a"))
        assert (whole.choices[0].message.content, whole.tappass.mode) == ("a", "enforce")
        stream = await client.chat.completions.create(model="builtin", messages=user("say: b c"), stream=True)
        chunks = [chunk async for chunk in stream]
        assert "".join(c.content or "" for c in chunks) == "b c"
        assert chunks[-1].tappass is not None
        with pytest.raises(PolicyBlockError) as caught:
            await client.chat.completions.create(model="builtin", messages=user(SECRET))
        assert caught.value.blocked_by == "detect_secrets"


def test_structured_output_is_parsed_and_governed(gateway: Gateway) -> None:
    class Claim(BaseModel):
        number: int
        open: bool

    parsed = agent(gateway).chat.completions.parse(
        model="builtin", messages=user("a claim"), response_format=Claim
    )
    assert isinstance(parsed.choices[0].message.parsed, Claim)
    said = governance(parsed)
    assert said is not None
    assert said.mode == "observe"
