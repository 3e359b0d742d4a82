"""The ``openai`` package's responses as they are, pointed at a real gateway by base URL and key alone."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.responses import FunctionToolParam, Response, ResponseInputParam
from pydantic import BaseModel

from double import Answer
from real import Gateway
from test_gateway import SECRET

WEATHER: FunctionToolParam = {
    "type": "function",
    "name": "weather",
    "description": "The weather of a place",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
    "strict": False,
}
PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


def client(gateway: Gateway, mode: str = "observe", **options: Any) -> OpenAI:
    return OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.register(mode)["api_key"], **options)


def response(*output: dict[str, Any], status: str = "completed") -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "model": "gpt-x",
        "output": list(output),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 3,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 2,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 5,
        },
    }


def message(text: str) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}],
    }


def events(*pieces: str) -> list[Any]:
    item = message("".join(pieces))
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    told: list[dict[str, Any]] = [
        {"type": "response.created", "response": response(status="in_progress")},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
        {"type": "response.content_part.added", **at, "part": part},
        *({"type": "response.output_text.delta", **at, "delta": piece, "logprobs": []} for piece in pieces),
        {"type": "response.output_text.done", **at, "text": "".join(pieces), "logprobs": []},
        {"type": "response.content_part.done", **at, "part": item["content"][0]},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": response(item)},
    ]
    return [{**event, "sequence_number": number} for number, event in enumerate(told)]


def tappass(answer: Response) -> dict[str, Any]:
    assert answer.model_extra is not None
    found: dict[str, Any] = answer.model_extra["tappass"]
    return found


@pytest.mark.parametrize("model", ["builtin", "gpt-x"])
def test_chat(gateway: Gateway, model: str) -> None:
    gateway.provider.will(Answer(body=response(message("hello"))))
    answer = client(gateway).responses.create(model=model, input="say: hello", instructions="Be brief.")
    assert (answer.output_text, answer.status) == ("hello", "completed")
    assert answer.usage is not None
    assert answer.usage.output_tokens > 0
    assert tappass(answer)["blocked"] is False


@pytest.mark.parametrize("mode", ["observe", "enforce"])
@pytest.mark.parametrize("model", ["builtin", "gpt-x"])
def test_stream(gateway: Gateway, model: str, mode: str) -> None:
    gateway.provider.will(Answer(events=events("one ", "two ", "three")))
    with client(gateway, mode).responses.stream(model=model, input="say: one two three") as stream:
        pieces = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert "".join(pieces) == final.output_text == "one two three"
    assert tappass(final)["blocked"] is False


def test_the_raw_stream_ends_with_what_was_decided(gateway: Gateway) -> None:
    told = list(client(gateway).responses.create(model="builtin", input="say: hi", stream=True))
    assert [event.sequence_number for event in told] == list(range(len(told)))
    last = told[-1]
    assert last.type == "response.completed"
    assert last.model_extra is not None
    assert last.model_extra["session_id"]
    assert last.model_extra["tappass"] == tappass(last.response)


def test_tools_there_and_back(gateway: Gateway) -> None:
    stock = client(gateway)
    items: ResponseInputParam = [{"role": "user", "content": 'call weather {"place": "Ghent"}'}]
    asked = stock.responses.create(model="builtin", input=items, tools=[WEATHER])
    (call,) = [item for item in asked.output if item.type == "function_call"]
    assert (call.name, call.arguments) == ("weather", '{"place": "Ghent"}')
    items += [item.to_dict() for item in asked.output]  # type: ignore[misc]
    items.append({"type": "function_call_output", "call_id": call.call_id, "output": "rain"})
    told = stock.responses.create(model="builtin", input=items, tools=[WEATHER])
    assert "rain" in told.output_text


def test_tools_in_a_stream(gateway: Gateway) -> None:
    with client(gateway, "enforce").responses.stream(
        model="builtin", input='call weather {"place": "Ghent"}', tools=[WEATHER]
    ) as stream:
        arguments = [e.delta for e in stream if e.type == "response.function_call_arguments.delta"]
        (call,) = [item for item in stream.get_final_response().output if item.type == "function_call"]
    assert call.arguments == "".join(arguments) == '{"place": "Ghent"}'


class Place(BaseModel):
    name: str
    people: int


def test_structured_output(gateway: Gateway) -> None:
    answer = client(gateway).responses.parse(model="builtin", input="Where?", text_format=Place)
    assert answer.output_parsed == Place(name="text", people=0)


def test_an_image(gateway: Gateway) -> None:
    items: ResponseInputParam = [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Look."},
                {"type": "input_image", "image_url": PIXEL, "detail": "low"},
            ],
        }
    ]
    gateway.provider.will(Answer(body=response(message("a pixel"))))
    stock = client(gateway)
    assert stock.responses.create(model="gpt-x", input=items).output_text == "a pixel"
    assert gateway.provider.requests[0].body["input"] == items
    assert "Attachments: 1" in stock.responses.create(model="builtin", input=items).output_text


def test_a_conversation_that_the_provider_keeps(gateway: Gateway) -> None:
    stock = client(gateway)
    gateway.provider.will(Answer(body=response(message("one"))), Answer(body=response(message("two"))))
    first = stock.responses.create(model="gpt-x", input="say one")
    second = stock.responses.create(model="gpt-x", input="and?", previous_response_id=first.id)
    assert second.output_text == "two"
    assert gateway.provider.requests[1].body["previous_response_id"] == "resp_1"
    with pytest.raises(openai.NotFoundError, match="no such was given to this agent"):
        client(gateway).responses.create(model="gpt-x", input="and?", previous_response_id=first.id)
    assert len(gateway.provider.requests) == 2
    with pytest.raises(openai.NotFoundError):
        stock.responses.retrieve(first.id)


def test_a_block_is_not_sent_again(gateway: Gateway) -> None:
    registered = gateway.register("enforce")
    stock = OpenAI(base_url=f"{gateway.url}/v1", api_key=registered["api_key"], max_retries=5)
    with pytest.raises(openai.PermissionDeniedError) as caught:
        stock.responses.create(model="gpt-x", input=f"keep {SECRET}")
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert caught.value.code == "policy_block"
    assert caught.value.response.json()["blocked_by"] == "detect_secrets"
    assert len(gateway.events(registered)) == 1
    assert gateway.provider.requests == []


def test_leaving_a_stream_cancels_the_provider(gateway: Gateway) -> None:
    gateway.provider.left.clear()
    gateway.provider.will(Answer(events=events("one ", "two ")[:5], stall=True))
    with client(gateway).responses.create(model="gpt-x", input="go on", stream=True) as stream:
        assert next(iter(stream))
    assert gateway.provider.left.wait(30)


def test_what_a_provider_cannot_do_is_named(gateway: Gateway) -> None:
    with pytest.raises(openai.UnprocessableEntityError, match="web_search"):
        client(gateway).responses.create(model="builtin", input="x", tools=[{"type": "web_search"}])
    with pytest.raises(openai.UnprocessableEntityError, match="background"):
        client(gateway).responses.create(model="gpt-x", input="x", background=True)
    assert gateway.provider.requests == []


def test_an_error_of_the_provider_is_passed_on(gateway: Gateway) -> None:
    gateway.provider.will(
        Answer(400, {"error": {"message": "the model is too old", "type": "invalid_request_error"}})
    )
    with pytest.raises(openai.BadRequestError, match="the model is too old"):
        client(gateway, max_retries=0).responses.create(model="gpt-1", input="x")


def test_an_error_in_a_stream_is_raised(gateway: Gateway) -> None:
    error = {
        "type": "error",
        "code": "server_error",
        "message": "Overloaded",
        "param": None,
        "sequence_number": 9,
    }
    gateway.provider.will(Answer(events=[*events("one ")[:4], error]))
    with pytest.raises(openai.APIError, match="Overloaded"):
        list(client(gateway).responses.create(model="gpt-x", input="x", stream=True))
