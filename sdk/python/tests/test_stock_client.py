"""The ``openai`` package as it is, pointed at a real gateway by base URL and key alone."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import BaseModel

from double import Answer, chunk, completion
from real import Gateway
from test_gateway import SECRET, user

WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a place",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
    },
}
PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


def client(gateway: Gateway, mode: str = "observe", **options: Any) -> OpenAI:
    return OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.register(mode)["api_key"], **options)


def test_chat(gateway: Gateway) -> None:
    answer = client(gateway).chat.completions.create(model="builtin", messages=user("say: hello"))
    assert answer.choices[0].message.content == "hello"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens > 0


def test_several_choices(gateway: Gateway) -> None:
    answer = client(gateway).chat.completions.create(model="builtin", messages=user("say: x"), n=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]


def test_stream(gateway: Gateway) -> None:
    chunks = list(
        client(gateway).chat.completions.create(
            model="builtin",
            messages=user("say: one two three"),
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "one two three"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert any(c.usage for c in chunks)


def test_the_stream_helper(gateway: Gateway) -> None:
    with client(gateway).chat.completions.stream(model="builtin", messages=user("say: one two")) as stream:
        assert stream.get_final_completion().choices[0].message.content == "one two"


def test_tools_there_and_back(gateway: Gateway) -> None:
    stock = client(gateway)
    messages: list[ChatCompletionMessageParam] = user('call weather {"place": "Ghent"}')
    asked = stock.chat.completions.create(model="builtin", messages=messages, tools=[WEATHER])
    assert asked.choices[0].finish_reason == "tool_calls"
    (call,) = asked.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"place": "Ghent"})
    messages += [
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.function.name, "arguments": call.function.arguments},
                }
            ],
        },
        {"role": "tool", "tool_call_id": call.id, "content": "rain"},
    ]
    told = stock.chat.completions.create(model="builtin", messages=messages, tools=[WEATHER])
    assert "rain" in (told.choices[0].message.content or "")


def test_tools_in_a_stream(gateway: Gateway) -> None:
    with client(gateway).chat.completions.stream(
        model="builtin", messages=user('call weather {"place": "Ghent"}'), tools=[WEATHER]
    ) as stream:
        (call,) = stream.get_final_completion().choices[0].message.tool_calls or []
    assert json.loads(call.function.arguments) == {"place": "Ghent"}


def test_structured_output(gateway: Gateway) -> None:
    class Claim(BaseModel):
        number: int
        reasons: list[str]

    parsed = client(gateway).chat.completions.parse(
        model="builtin", messages=user("a claim"), response_format=Claim
    )
    assert isinstance(parsed.choices[0].message.parsed, Claim)


def test_what_the_provider_gets_is_what_was_sent(gateway: Gateway) -> None:
    gateway.provider.will(Answer(body=completion("a pixel")))
    parameters: dict[str, Any] = {
        "model": "gpt-4o",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
                ],
            }
        ],
        "temperature": 0.30000000000000004,
        "seed": 9007199254740993,
        "metadata": {"b": "1", "a": "2"},
    }
    answer = client(gateway).chat.completions.create(
        **parameters, extra_body={"of_next_year": {"z": 1, "a": []}}
    )
    assert answer.choices[0].message.content == "a pixel"
    (request,) = gateway.provider.requests
    assert request.body == {**parameters, "of_next_year": {"z": 1, "a": []}}
    assert list(request.body["metadata"]) == ["b", "a"]
    assert request.headers["authorization"] == "Bearer sk-of-the-provider"
    assert not any(name.startswith("x-tappass") for name in request.headers)


def test_a_block_is_not_sent_again(gateway: Gateway) -> None:
    registered = gateway.register("enforce")
    stock = OpenAI(base_url=f"{gateway.url}/v1", api_key=registered["api_key"], max_retries=5)
    with pytest.raises(openai.PermissionDeniedError) as caught:
        stock.chat.completions.create(model="gpt-4o", messages=user(f"keep {SECRET}"))
    assert (caught.value.code, caught.value.type) == ("policy_block", "policy_block")
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert caught.value.response.json()["blocked_by"] == "detect_secrets"
    assert len(gateway.events(registered)) == 1
    assert gateway.provider.requests == []


@pytest.mark.parametrize(
    ("parameters", "kind"),
    [
        ({"model": "builtin", "messages": []}, openai.APIStatusError),
        ({"model": "", "messages": [{"role": "user", "content": "x"}]}, openai.APIStatusError),
        ({"model": "builtin", "messages": "x"}, openai.APIStatusError),
    ],
)
def test_bad_input_is_said(gateway: Gateway, parameters: Any, kind: type[openai.APIStatusError]) -> None:
    with pytest.raises(kind) as caught:
        client(gateway).chat.completions.create(**parameters)
    assert 400 <= caught.value.status_code < 500
    assert len(caught.value.message) > 20


def test_an_error_of_the_provider_is_passed_on(gateway: Gateway) -> None:
    error = {"error": {"message": "the model is too old", "type": "invalid_request_error", "code": "old"}}
    gateway.provider.will(Answer(400, error))
    with pytest.raises(openai.BadRequestError, match="the model is too old"):
        client(gateway, max_retries=0).chat.completions.create(model="gpt-1", messages=user("x"))


@pytest.mark.parametrize(
    ("status", "kind"), [(429, openai.RateLimitError), (500, openai.InternalServerError)]
)
def test_a_provider_that_cannot_serve(
    gateway: Gateway, status: int, kind: type[openai.APIStatusError]
) -> None:
    gateway.provider.will(*[Answer(status, {"error": {"message": "try later"}}, {"retry-after": "0"})] * 9)
    with pytest.raises(kind, match="try later"):
        client(gateway, max_retries=0).chat.completions.create(model="gpt-4o", messages=user("x"))
    assert len(gateway.provider.requests) <= 2, "the gateway tries once more at most"


def test_leaving_a_stream_cancels_the_provider(gateway: Gateway) -> None:
    gateway.provider.left.clear()
    gateway.provider.will(Answer(events=[chunk("one"), chunk(" two")], stall=True))
    stream = client(gateway).chat.completions.create(model="gpt-4o", messages=user("x"), stream=True)
    for part in stream:
        if part.choices and part.choices[0].delta.content:
            break
    stream.close()
    assert gateway.provider.left.wait(30)


def test_a_wrong_key(gateway: Gateway) -> None:
    with pytest.raises(openai.AuthenticationError):
        OpenAI(base_url=f"{gateway.url}/v1", api_key="tp_no").chat.completions.create(
            model="builtin", messages=user("x")
        )


def test_models(gateway: Gateway) -> None:
    assert any("builtin" in model.id for model in client(gateway).models.list())
