"""The ``anthropic`` package as it is, pointed at a real gateway by base URL and key alone."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest
from anthropic import Anthropic
from anthropic.types import MessageParam, ToolParam
from pydantic import BaseModel

from double import Answer
from real import Gateway
from test_gateway import SECRET

WEATHER: ToolParam = {
    "name": "weather",
    "description": "The weather of a place",
    "input_schema": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}
PIXEL = "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


def client(gateway: Gateway, mode: str = "observe", **options: Any) -> Anthropic:
    return Anthropic(base_url=gateway.url, api_key=gateway.register(mode)["api_key"], **options)


def user(text: str) -> list[MessageParam]:
    return [{"role": "user", "content": text}]


def message(*content: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": list(content),
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 2},
    }


def events(*pieces: str) -> list[Any]:
    start = {**message(), "stop_reason": None}
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    deltas = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
        for piece in pieces
    ]
    return [
        {"type": "message_start", "message": start},
        block,
        {"type": "ping"},
        *deltas,
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 2},
        },
        {"type": "message_stop"},
    ]


def text_of(answer: anthropic.types.Message) -> str:
    return "".join(block.text for block in answer.content if block.type == "text")


def test_chat(gateway: Gateway) -> None:
    answer = client(gateway).messages.create(model="builtin", max_tokens=50, messages=user("say: hello"))
    assert text_of(answer) == "hello"
    assert answer.stop_reason == "end_turn"
    assert answer.usage.output_tokens > 0
    assert answer.model_extra is not None
    assert answer.model_extra["tappass"]["blocked"] is False


@pytest.mark.parametrize("model", ["builtin", "claude-x"])
def test_stream(gateway: Gateway, model: str) -> None:
    gateway.provider.will(Answer(events=events("one ", "two ", "three")))
    with client(gateway).messages.stream(
        model=model, max_tokens=50, messages=user("say: one two three")
    ) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert "".join(pieces) == text_of(final) == "one two three"
    assert (final.stop_reason, final.usage.output_tokens > 0) == ("end_turn", True)


def test_the_raw_stream_ends_with_what_was_decided(gateway: Gateway) -> None:
    stream = client(gateway).messages.create(
        model="builtin", max_tokens=50, messages=user("say: hi"), stream=True
    )
    *_, last = stream
    assert last.type == "message_stop"
    assert last.model_extra is not None
    assert last.model_extra["tappass"]["blocked"] is False
    assert last.model_extra["session_id"]


def test_tools_there_and_back(gateway: Gateway) -> None:
    stock = client(gateway)
    messages = user('call weather {"place": "Ghent"}')
    asked = stock.messages.create(model="builtin", max_tokens=50, messages=messages, tools=[WEATHER])
    assert asked.stop_reason == "tool_use"
    (call,) = [block for block in asked.content if block.type == "tool_use"]
    assert (call.name, call.input) == ("weather", {"place": "Ghent"})
    messages += [
        {"role": "assistant", "content": asked.content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "rain"}]},
    ]
    told = stock.messages.create(model="builtin", max_tokens=50, messages=messages, tools=[WEATHER])
    assert "rain" in text_of(told)


def test_tools_in_a_stream(gateway: Gateway) -> None:
    with client(gateway, "enforce").messages.stream(
        model="builtin", max_tokens=50, messages=user('call weather {"place": "Ghent"}'), tools=[WEATHER]
    ) as stream:
        (call,) = [block for block in stream.get_final_message().content if block.type == "tool_use"]
    assert call.input == {"place": "Ghent"}


def test_reasoning(gateway: Gateway) -> None:
    with client(gateway).messages.stream(
        model="builtin", max_tokens=50, messages=user("think: so and so")
    ) as stream:
        thought, said = stream.get_final_message().content
    assert (thought.type, said.type) == ("thinking", "text")


def test_what_the_provider_gets_is_what_was_sent(gateway: Gateway) -> None:
    gateway.provider.will(Answer(body=message({"type": "text", "text": "a pixel"})))
    parameters: dict[str, Any] = {
        "model": "claude-x",
        "max_tokens": 50,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/gif", "data": PIXEL},
                    },
                ],
            }
        ],
    }
    more = {"temperature": 0.30000000000000004, "of_next_year": {"z": 1, "a": []}}
    answer = client(gateway).messages.create(**parameters, extra_body=more)
    assert text_of(answer) == "a pixel"
    (request,) = gateway.provider.requests
    assert request.path == "/v1/messages"
    assert request.body == {**parameters, **more}
    assert request.headers["x-api-key"] == "ant-of-the-provider"
    assert not any(name.startswith("x-tappass") for name in request.headers)


def test_an_image_for_a_provider_of_another_dialect(gateway: Gateway) -> None:
    answer = client(gateway).messages.create(
        model="builtin",
        max_tokens=50,
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look."},
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/gif", "data": PIXEL},
                    },
                ],
            }
        ],
    )
    assert "Attachments: 1" in text_of(answer)


def test_a_block_is_not_sent_again(gateway: Gateway) -> None:
    registered = gateway.register("enforce")
    stock = Anthropic(base_url=gateway.url, api_key=registered["api_key"], max_retries=5)
    with pytest.raises(anthropic.PermissionDeniedError) as caught:
        stock.messages.create(model="claude-x", max_tokens=50, messages=user(f"keep {SECRET}"))
    assert caught.value.response.headers["x-should-retry"] == "false"
    body = caught.value.response.json()
    assert (body["type"], body["error"]["type"]) == ("error", "permission_error")
    assert body["blocked_by"] == "detect_secrets"
    assert len(gateway.events(registered)) == 1
    assert gateway.provider.requests == []


def test_leaving_a_stream_cancels_the_provider(gateway: Gateway) -> None:
    gateway.provider.left.clear()
    gateway.provider.will(Answer(events=events("one ", "two ")[:5], stall=True))
    with client(gateway).messages.stream(model="claude-x", max_tokens=50, messages=user("go on")) as stream:
        assert next(stream.text_stream)
    assert gateway.provider.left.wait(30)


def test_counting_tokens(gateway: Gateway) -> None:
    gateway.provider.will(Answer(body={"input_tokens": 7}))
    stock = client(gateway)
    assert stock.messages.count_tokens(model="claude-x", messages=user("hello")).input_tokens == 7
    assert stock.messages.count_tokens(model="builtin", messages=user("hello")).input_tokens > 0
    with pytest.raises(anthropic.UnprocessableEntityError, match="counting tokens"):
        stock.messages.count_tokens(model="gpt-4o", messages=user("hello"))


def test_what_a_provider_cannot_do_is_named(gateway: Gateway) -> None:
    with pytest.raises(anthropic.UnprocessableEntityError, match="thinking"):
        client(gateway).messages.create(
            model="gpt-4o",
            max_tokens=5000,
            thinking={"type": "enabled", "budget_tokens": 1024},
            messages=user("x"),
        )
    assert gateway.provider.requests == []


def test_an_error_of_the_provider_is_passed_on(gateway: Gateway) -> None:
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": "the model is too old"}}
    gateway.provider.will(Answer(400, error))
    with pytest.raises(anthropic.BadRequestError, match="the model is too old"):
        client(gateway, max_retries=0).messages.create(model="claude-1", max_tokens=5, messages=user("x"))


@pytest.mark.parametrize(
    ("status", "kind"), [(429, anthropic.RateLimitError), (500, anthropic.InternalServerError)]
)
def test_a_provider_that_cannot_serve(
    gateway: Gateway, status: int, kind: type[anthropic.APIStatusError]
) -> None:
    error = {"type": "error", "error": {"type": "api_error", "message": "try later"}}
    gateway.provider.will(*[Answer(status, error, {"retry-after": "0"})] * 9)
    with pytest.raises(kind, match="try later"):
        client(gateway, max_retries=0).messages.create(model="claude-x", max_tokens=5, messages=user("x"))
    assert len(gateway.provider.requests) <= 2, "the gateway tries once more at most"


def test_structured_output(gateway: Gateway) -> None:
    class Claim(BaseModel):
        number: int

    gateway.provider.will(Answer(body=message({"type": "text", "text": '{"number": 7}'})))
    parsed = client(gateway).messages.parse(
        model="claude-x", max_tokens=50, messages=user("a claim"), output_format=Claim
    )
    assert parsed.parsed_output == Claim(number=7)
    (request,) = gateway.provider.requests
    assert "number" in str(request.body["output_config"])


def test_an_error_in_a_stream_is_raised(gateway: Gateway) -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    gateway.provider.will(Answer(events=[*events("one ")[:4], error]))
    with (
        pytest.raises(anthropic.APIStatusError, match="Overloaded"),
        client(gateway).messages.stream(model="claude-x", max_tokens=5, messages=user("x")) as stream,
    ):
        stream.get_final_message()


def test_a_wrong_key(gateway: Gateway) -> None:
    with pytest.raises(anthropic.AuthenticationError):
        Anthropic(base_url=gateway.url, api_key="tp_no").messages.create(
            model="builtin", max_tokens=5, messages=user("x")
        )


def test_models(gateway: Gateway) -> None:
    models = list(client(gateway).models.list())
    assert any("builtin" in model.id for model in models)
    assert all(model.type == "model" for model in models)
