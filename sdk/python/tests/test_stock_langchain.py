"""LangChain's own model classes as they are, pointed at a real gateway by base URL and key alone."""

from __future__ import annotations

from typing import Any

import anthropic
import openai
import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel, SecretStr

import double as stand_in
from double import Answer
from real import Gateway
from test_gateway import SECRET
from test_stock_anthropic import events, message
from test_stock_client import PIXEL


@tool
def weather(place: str) -> str:
    """The weather of a place."""
    return f"rain in {place}"


class Claim(BaseModel):
    """A claim."""

    number: int
    reasons: list[str]


def model(kind: str, gateway: Gateway, name: str = "builtin", **options: Any) -> BaseChatModel:
    key = SecretStr(gateway.register()["api_key"])
    if kind == "openai":
        return ChatOpenAI(model=name, base_url=f"{gateway.url}/v1", api_key=key, **options)
    return ChatAnthropic(model_name=name, base_url=gateway.url, api_key=key, timeout=30, stop=None)


KINDS = pytest.mark.parametrize("kind", ["openai", "anthropic"])
NAMES = {"openai": "gpt-4o", "anthropic": "claude-x"}


@KINDS
def test_chat_and_stream(gateway: Gateway, kind: str) -> None:
    chat = model(kind, gateway)
    answer = chat.invoke("say: hello")
    assert answer.text == "hello"
    assert isinstance(answer, AIMessage)
    assert answer.usage_metadata
    assert answer.usage_metadata["total_tokens"] > 0
    chunks = list(chat.stream("say: one two three"))
    assert "".join(chunk.text for chunk in chunks) == "one two three"
    assert len(chunks) > 2


@KINDS
@pytest.mark.anyio
async def test_asynchronous(gateway: Gateway, kind: str) -> None:
    # One of its own: LangChain keeps one for all, whose connections end with the event loop of another test.
    async with openai.DefaultAsyncHttpxClient() as http:
        chat = model(kind, gateway, **({"http_async_client": http} if kind == "openai" else {}))
        assert (await chat.ainvoke("say: hello")).text == "hello"
        assert "".join([chunk.text async for chunk in chat.astream("say: one two")]) == "one two"


@KINDS
def test_tools_there_and_back(gateway: Gateway, kind: str) -> None:
    chat = model(kind, gateway).bind_tools([weather])
    question = HumanMessage('call weather {"place": "Ghent"}')
    asked = chat.invoke([question])
    assert isinstance(asked, AIMessage)
    (call,) = asked.tool_calls
    assert (call["name"], call["args"]) == ("weather", {"place": "Ghent"})
    told = chat.invoke([question, asked, weather.invoke(call)])
    assert "rain in Ghent" in told.text
    streamed: Any = None
    for chunk in chat.stream([question]):
        streamed = chunk if streamed is None else streamed + chunk
    assert streamed.tool_calls[0]["args"] == {"place": "Ghent"}
    assert isinstance(weather.invoke(call), ToolMessage)


@KINDS
def test_structured_output(gateway: Gateway, kind: str) -> None:
    how: dict[str, Any] = {"method": "json_schema"} if kind == "openai" else {}
    chat = model(kind, gateway).with_structured_output(Claim, **how)
    if kind == "openai":
        assert isinstance(chat.invoke("a claim"), Claim)
    else:  # a forced tool; the built-in model calls tools when told to
        found = chat.invoke('call Claim {"number": 7, "reasons": ["rain"]}')
        assert found == Claim(number=7, reasons=["rain"])


@KINDS
def test_an_image_reaches_the_provider_as_it_was_sent(gateway: Gateway, kind: str) -> None:
    data = PIXEL.partition(",")[2]
    image = {"type": "image", "base64": data, "mime_type": "image/gif"}
    completion = stand_in.completion("a pixel")
    gateway.provider.will(
        Answer(body=completion)
        if kind == "openai"
        else Answer(body=message({"type": "text", "text": "a pixel"}))
    )
    question = HumanMessage([{"type": "text", "text": "What is this?"}, image])
    assert model(kind, gateway, name=NAMES[kind]).invoke([question]).text == "a pixel"
    (request,) = gateway.provider.requests
    assert data in str(request.body)


@KINDS
def test_a_block_is_raised_once_and_reaches_no_provider(gateway: Gateway, kind: str) -> None:
    kinds: dict[str, type[Exception]] = {
        "openai": openai.PermissionDeniedError,
        "anthropic": anthropic.PermissionDeniedError,
    }
    registered = gateway.register("enforce")
    key = SecretStr(registered["api_key"])
    chat: BaseChatModel = (
        ChatOpenAI(model="gpt-4o", base_url=f"{gateway.url}/v1", api_key=key, max_retries=5)
        if kind == "openai"
        else ChatAnthropic(
            model_name=NAMES[kind], base_url=gateway.url, api_key=key, timeout=30, stop=None, max_retries=5
        )
    )
    for call in (chat.invoke, lambda text: list(chat.stream(text))):
        with pytest.raises(kinds[kind]) as caught:
            call(f"keep {SECRET}")
        assert getattr(caught.value, "status_code", None) == 403
        assert "detect_secrets" in str(caught.value)
    assert gateway.provider.requests == []
    assert [event["action"] for event in gateway.events(registered)] == ["block", "block"]


@KINDS
def test_the_providers_errors_are_the_clients_own(gateway: Gateway, kind: str) -> None:
    kinds: dict[str, Any] = {"openai": openai, "anthropic": anthropic}
    error = {"type": "error", "error": {"type": "api_error", "message": "try later"}}
    for status, name in ((429, "RateLimitError"), (500, "InternalServerError"), (400, "BadRequestError")):
        gateway.provider.answers.clear()
        gateway.provider.will(*[Answer(status, error, {"retry-after": "0"})] * 20)
        with pytest.raises(getattr(kinds[kind], name)):
            model(kind, gateway, name=NAMES[kind]).invoke("x")
    gateway.provider.answers.clear()


def test_embeddings(gateway: Gateway) -> None:
    made = OpenAIEmbeddings(
        model="builtin",
        base_url=f"{gateway.url}/v1",
        api_key=SecretStr(gateway.register()["api_key"]),
        check_embedding_ctx_length=False,
    ).embed_documents(["a dog", "a cat"])
    assert len(made) == 2
    assert len(made[0]) == len(made[1]) > 10


@KINDS
def test_a_client_that_leaves_a_stream_cancels_the_providers(gateway: Gateway, kind: str) -> None:
    gateway.provider.left.clear()
    begun = (
        [stand_in.chunk("one"), stand_in.chunk(" two")] if kind == "openai" else events("one ", "two ")[:5]
    )
    gateway.provider.will(Answer(events=begun, stall=True))
    chunks = model(kind, gateway, name=NAMES[kind]).stream("x")
    for chunk in chunks:
        if chunk.text:
            break
    chunks.close()  # type: ignore[attr-defined]
    assert gateway.provider.left.wait(30)
