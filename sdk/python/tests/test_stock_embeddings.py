"""Embeddings by the ``openai`` package as it is, through a real gateway."""

from __future__ import annotations

import base64
import struct
from typing import Any

import openai
import pytest

from double import Answer
from real import Gateway
from test_gateway import SECRET
from test_stock_client import client


def vectors(count: int, packed: bool = False) -> dict[str, Any]:
    """An answer as OpenAI gives it."""
    numbers = [0.5, -0.25]
    embedding = base64.b64encode(struct.pack("<2f", *numbers)).decode() if packed else numbers
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": i, "embedding": embedding} for i in range(count)],
        "model": "text-embedding-3-small",
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    }


def test_a_text_and_a_list(gateway: Gateway) -> None:
    stock = client(gateway)
    one = stock.embeddings.create(model="builtin", input="the cat")
    many = stock.embeddings.create(model="builtin", input=["the dog", "the cat"])
    assert [item.index for item in many.data] == [0, 1]
    # The package asks for base64 and unpacks it.
    assert one.data[0].embedding == many.data[1].embedding != many.data[0].embedding
    assert sum(x * x for x in one.data[0].embedding) == pytest.approx(1.0, abs=1e-5)
    assert one.usage.prompt_tokens == one.usage.total_tokens > 0
    assert (one.model_extra or {})["tappass"]["blocked"] is False


def test_numbers_and_dimensions(gateway: Gateway) -> None:
    stock = client(gateway)
    packed = stock.embeddings.create(model="builtin", input="the cat", dimensions=8)
    plain = stock.embeddings.create(model="builtin", input="the cat", dimensions=8, encoding_format="float")
    assert len(plain.data[0].embedding) == 8
    assert packed.data[0].embedding == plain.data[0].embedding


def test_what_the_provider_gets_and_gives(gateway: Gateway) -> None:
    gateway.provider.will(Answer(body=vectors(2, packed=True)))
    registered = gateway.register()
    stock = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=registered["api_key"])
    answer = stock.embeddings.create(
        model="text-embedding-3-small", input=["one", "two"], dimensions=2, user="u-1"
    )
    assert [item.embedding for item in answer.data] == [[0.5, -0.25]] * 2
    (request,) = gateway.provider.requests
    assert request.path == "/v1/embeddings"
    assert request.body == {
        "model": "text-embedding-3-small",
        "input": ["one", "two"],
        "dimensions": 2,
        "user": "u-1",
        "encoding_format": "base64",
    }
    (event,) = gateway.events(registered)
    assert event["tokens"] == {"prompt_tokens": 4, "completion_tokens": 0}
    assert event["cost_usd"] == pytest.approx(4 * 0.02 / 1e6)


def test_a_block_is_not_sent_again(gateway: Gateway) -> None:
    registered = gateway.register("enforce")
    stock = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=registered["api_key"], max_retries=5)
    with pytest.raises(openai.PermissionDeniedError) as caught:
        stock.embeddings.create(model="text-embedding-3-small", input=["fine", f"keep {SECRET}"])
    assert caught.value.code == "policy_block"
    assert caught.value.response.json()["blocked_by"] == "detect_secrets"
    with pytest.raises(openai.PermissionDeniedError, match="token ids"):
        stock.embeddings.create(model="text-embedding-3-small", input=[[9906, 1917]])
    assert len(gateway.events(registered)) == 2
    assert gateway.provider.requests == []


def test_a_providers_error_is_the_providers(gateway: Gateway) -> None:
    error = {"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}
    gateway.provider.will(Answer(429, error, {"retry-after": "60"}))
    with pytest.raises(openai.RateLimitError, match="slow down"):
        client(gateway, max_retries=0).embeddings.create(model="text-embedding-3-small", input="x")


def test_what_the_provider_cannot_do_is_said(gateway: Gateway) -> None:
    with pytest.raises(openai.UnprocessableEntityError, match="anthropic does not support embeddings"):
        client(gateway).embeddings.create(model="anthropic/claude-x", input="x")
    assert gateway.provider.requests == []
