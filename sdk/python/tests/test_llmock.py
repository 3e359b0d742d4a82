"""LLMock, a mock of the providers that breaks on demand and judges how its clients retry, behind the gateway.

The clients are the stock ones, told not to retry: every attempt that LLMock sees is the gateway's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import openai
import pytest
from llmock.scenarios import Fail, StreamFault
from llmock.testing import LLMockServer
from llmock.verdict import Verdict, judge

import real


@pytest.fixture(scope="module")
def mock() -> Iterator[LLMockServer]:
    with LLMockServer() as server:
        yield server


@pytest.fixture(scope="module")
def behind(mock: LLMockServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[real.Gateway]:
    def environment() -> dict[str, str]:
        return {
            "OPENAI_BASE_URL": mock.base_url("openai"),
            "ANTHROPIC_BASE_URL": mock.base_url("anthropic"),
            "TAPPASS_PROVIDER_IDLE_TIMEOUT": "3",
        }

    with real.running(tmp_path_factory.mktemp("behind"), environment) as gateway:
        yield gateway


@pytest.fixture
def key(mock: LLMockServer, behind: real.Gateway) -> str:
    mock.state.scenarios.clear()
    mock.state.journal.clear()
    return str(behind.register()["api_key"])


HELLO: Any = [{"role": "user", "content": "hello"}]


def chat(url: str, key: str, stream: bool) -> str:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
    answer: Any = client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=stream)
    if not stream:
        return str(answer.choices[0].message.content)
    return "".join(chunk.choices[0].delta.content or "" for chunk in answer if chunk.choices)


def responses(url: str, key: str, stream: bool) -> str:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
    answer: Any = client.responses.create(model="gpt-4o", input="hello", stream=stream)
    if not stream:
        return str(answer.output_text)
    return "".join(event.delta for event in answer if event.type == "response.output_text.delta")


def messages(url: str, key: str, stream: bool) -> str:
    client = anthropic.Anthropic(base_url=url, api_key=key, max_retries=0)
    answer: Any = client.messages.create(
        model="claude-sonnet-4", max_tokens=50, messages=HELLO, stream=stream
    )
    if not stream:
        return str(answer.content[0].text)
    return "".join(event.delta.text for event in answer if event.type == "content_block_delta")


Say = Callable[[str, str, bool], str]
DIALECTS = pytest.mark.parametrize("say", [chat, responses, messages])
WAYS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def verdict(mock: LLMockServer) -> Verdict:
    return judge(mock.state.journal.records(wait=10))


@DIALECTS
@WAYS
@pytest.mark.parametrize("status", [503, 529])
def test_an_outage_that_passes_is_not_seen(
    mock: LLMockServer, behind: real.Gateway, key: str, say: Say, stream: bool, status: int
) -> None:
    for _ in range(6):  # at most a fifth of the calls may be sent again
        assert say(behind.url, key, False)
    mock.state.journal.clear()
    mock.state.scenarios.add(Fail(status))
    assert say(behind.url, key, stream)
    told = verdict(mock)
    told.assert_ok(strict=True)
    assert [len(call.attempts) for call in told.calls] == [2]


@DIALECTS
@WAYS
@pytest.mark.parametrize("status", [400, 401, 404, 429, 500])
def test_a_refusal_is_passed_on_and_not_repeated(
    mock: LLMockServer, behind: real.Gateway, key: str, say: Say, stream: bool, status: int
) -> None:
    mock.state.scenarios.add(Fail(status, retry_after=30 if status == 429 else None))
    with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)) as raised:
        say(behind.url, key, stream)
    refused: Any = raised.value
    # The gateway's own key is refused: none of the caller's business, and no reason to drop its key.
    assert refused.status_code == (502 if status == 401 else status)
    if status == 429:
        assert refused.response.headers["retry-after"] == "30"
    told = verdict(mock)
    told.assert_ok()
    assert [len(call.attempts) for call in told.calls] == [1]


@DIALECTS
@pytest.mark.parametrize("kind", ["disconnect", "truncate", "stall", "malformed"])
def test_a_stream_that_breaks_is_never_taken_for_a_whole_one(
    mock: LLMockServer, behind: real.Gateway, key: str, say: Say, kind: Any
) -> None:
    mock.state.scenarios.add(StreamFault(kind, after_chunks=2, stall_seconds=60))
    with pytest.raises((openai.APIError, anthropic.APIError)):
        say(behind.url, key, True)
    told = verdict(mock)
    # LLMock sees that a truncated stream is not asked for again, which after the first byte nobody may do;
    # it cannot see that the caller was told.
    assert {finding.code for finding in told.errors} <= {"truncated_stream_accepted"}
    assert [len(call.attempts) for call in told.calls] == [1]
