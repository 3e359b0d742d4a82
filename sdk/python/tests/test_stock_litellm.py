"""LiteLLM as a client, as it is, pointed at a real gateway by base URL and key alone."""

from __future__ import annotations

import json
import os
import warnings
from typing import Any

import pytest
from pydantic import BaseModel

import double as stand_in
from double import Answer
from real import Gateway
from test_gateway import SECRET
from test_stock_anthropic import events, message
from test_stock_client import PIXEL, WEATHER

# Else it asks the network for prices when it is imported.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import litellm
    import litellm.exceptions
    from litellm.llms.custom_httpx.http_handler import HTTPHandler

litellm.telemetry = False
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
KINDS = pytest.mark.parametrize("kind", ["openai", "anthropic"])
NAMES = {"openai": "openai/gpt-4o", "anthropic": "anthropic/claude-x"}


def complete(
    gateway: Gateway, kind: str, content: Any, key: str = "", model: str | None = None, **options: Any
) -> Any:
    base = f"{gateway.url}/v1" if kind == "openai" else gateway.url
    return litellm.completion(
        model=model or f"{kind}/builtin",
        messages=[{"role": "user", "content": content}],
        api_base=base,
        api_key=key or gateway.register()["api_key"],
        timeout=30,
        **options,
    )


@KINDS
def test_chat_and_stream(gateway: Gateway, kind: str) -> None:
    answer = complete(gateway, kind, "say: hello")
    assert answer.choices[0].message.content == "hello"
    assert answer.usage.total_tokens > 0
    chunks = list(complete(gateway, kind, "say: one two three", stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "one two three"


@KINDS
def test_tools(gateway: Gateway, kind: str) -> None:
    answer = complete(gateway, kind, 'call weather {"place": "Ghent"}', tools=[WEATHER])
    (call,) = answer.choices[0].message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"place": "Ghent"})
    chunks = complete(gateway, kind, 'call weather {"place": "Ghent"}', tools=[WEATHER], stream=True)
    parts = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    assert json.loads("".join(part.function.arguments or "" for part in parts)) == {"place": "Ghent"}


@KINDS
def test_structured_output(gateway: Gateway, kind: str) -> None:
    class Claim(BaseModel):
        number: int
        reasons: list[str]

    # To Anthropic LiteLLM offers a tool for it; the built-in model calls tools when told to.
    told = 'call json_tool_call {"number": 7, "reasons": ["rain"]}'
    answer = complete(gateway, kind, "a claim" if kind == "openai" else told, response_format=Claim)
    Claim.model_validate_json(answer.choices[0].message.content)


@KINDS
def test_an_image_reaches_the_provider_as_it_was_sent(gateway: Gateway, kind: str) -> None:
    body = (
        stand_in.completion("a pixel") if kind == "openai" else message({"type": "text", "text": "a pixel"})
    )
    gateway.provider.will(Answer(body=body))
    content = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    answer = complete(gateway, kind, content, model=NAMES[kind])
    assert answer.choices[0].message.content == "a pixel"
    (request,) = gateway.provider.requests
    assert PIXEL.partition(",")[2] in str(request.body)


@KINDS
@pytest.mark.parametrize("stream", [False, True])
def test_a_block_is_raised_once_and_reaches_no_provider(gateway: Gateway, kind: str, stream: bool) -> None:
    registered = gateway.register("enforce")
    with pytest.raises(Exception, match="detect_secrets") as caught:
        complete(
            gateway,
            kind,
            f"keep {SECRET}",
            key=registered["api_key"],
            model=NAMES[kind],
            stream=stream,
            max_retries=5,
        )
    if kind == "openai":  # LiteLLM knows no 403 of Anthropic's and calls it a connection's error
        assert getattr(caught.value, "status_code", None) == 403
    assert gateway.provider.requests == []
    assert [event["action"] for event in gateway.events(registered)] == ["block"]


@KINDS
def test_the_providers_errors_are_the_clients_own(gateway: Gateway, kind: str) -> None:
    error = {"type": "error", "error": {"type": "api_error", "message": "try later"}}
    for status, raised in (
        (429, litellm.exceptions.RateLimitError),
        (500, litellm.exceptions.InternalServerError),
        (400, litellm.exceptions.BadRequestError),
    ):
        gateway.provider.answers.clear()
        gateway.provider.will(*[Answer(status, error, {"retry-after": "0"})] * 20)
        with pytest.raises(raised):
            complete(gateway, kind, "x", model=NAMES[kind])
    gateway.provider.answers.clear()


@KINDS
def test_leaving_a_stream_cancels_the_provider(gateway: Gateway, kind: str) -> None:
    gateway.provider.left.clear()
    begun = (
        [stand_in.chunk("one"), stand_in.chunk(" two")] if kind == "openai" else events("one ", "two ")[:5]
    )
    gateway.provider.will(Answer(events=begun, stall=True))
    # LiteLLM's wrapper has no way to leave a stream: what is under it is closed.
    transport = HTTPHandler()
    more: dict[str, Any] = {"client": transport} if kind == "anthropic" else {}
    stream = complete(gateway, kind, "x", model=NAMES[kind], stream=True, **more)
    for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    if kind == "anthropic":
        transport.close()  # type: ignore[no-untyped-call]
    else:
        stream.completion_stream.response.close()
    assert gateway.provider.left.wait(30)


def test_embeddings(gateway: Gateway) -> None:
    made = litellm.embedding(
        model="openai/builtin",
        input=["a dog", "a cat"],
        api_base=f"{gateway.url}/v1",
        api_key=gateway.register()["api_key"],
        encoding_format="float",
    )
    assert len(made.data) == 2
