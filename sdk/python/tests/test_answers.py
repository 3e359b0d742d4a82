"""Answers and headers, on the stand-in: what a real gateway does not give on demand."""

from __future__ import annotations

import threading
from typing import Any

import openai
import pytest
from pydantic import BaseModel

import double as stand_in
from double import Answer, Double, chunk, completion, decision
from tappass import (
    Agent,
    ApprovalRequired,
    AsyncAgent,
    AuthenticationError,
    BudgetExceeded,
    CapabilityToken,
    GatewayNotReady,
    GatewayTimeout,
    GatewayUnavailable,
    GatewayUnreachable,
    Governance,
    GovernanceError,
    PolicyBlockError,
    RateLimited,
    StepTrace,
    ToolIntegrityError,
    WouldBlock,
    governance,
)

MESSAGES: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]


def agent(double: Double, **options: Any) -> Agent:
    return Agent(double.url, api_key="tp_1", **options)


def test_the_governance_object_is_typed_and_tolerates_new_fields(double: Double) -> None:
    body = completion(
        steps=[{"step": "detect_pii", "action": "log", "detected": True, "duration_ms": 0.1}],
        would_block=[{"step": "detect_pii", "reason": "a card"}],
        capability_token={"token": "t", "ttl": 60, "later": 1},
        flags={"pii": "mask"},
        of_a_newer_gateway={"x": 1},
    )
    double.will(Answer(body=body))
    said = agent(double).chat.completions.create(model="m", messages=MESSAGES).tappass
    assert isinstance(said, Governance)
    assert (said.mode, said.blocked, said.degraded) == ("enforce", False, None)
    assert isinstance(said.steps and said.steps[0], StepTrace)
    assert isinstance(said.would_block and said.would_block[0], WouldBlock)
    assert isinstance(said.capability_token, CapabilityToken)
    assert said.model_extra == {"of_a_newer_gateway": {"x": 1}}


def test_flags_session_and_user_are_sent(double: Double) -> None:
    double.will(*[Answer(body=completion()) for _ in range(3)])
    client = agent(double, flags={"pii": "mask", "mode": "observe"}, session_id="s-0")
    client.chat.completions.create(model="m", messages=MESSAGES)
    client.chat.completions.create(
        model="m", messages=MESSAGES, flags={"mode": "enforce"}, session_id="s-1", end_user="u-1"
    )
    client.chat.completions.create(
        model="m", messages=MESSAGES, flags={"pii": "off"}, extra_headers={"X-TapPass-Flags": "pii=block"}
    )
    first, second, third = (request.headers for request in double.requests)
    assert (first["x-tappass-flags"], first["x-tappass-session"]) == ("pii=mask, mode=observe", "s-0")
    assert "x-tappass-user" not in first
    assert (second["x-tappass-flags"], second["x-tappass-session"]) == ("pii=mask, mode=enforce", "s-1")
    assert second["x-tappass-user"] == "u-1"
    assert third["x-tappass-flags"] == "pii=block"
    assert [sorted(request.body) for request in double.requests] == [["messages", "model"]] * 3
    assert double.requests[0].path == "/v1/chat/completions"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (decision("policy_block", blocked_by="detect_pii"), PolicyBlockError),
        (decision("policy_block", blocked_by="budget"), BudgetExceeded),
        (
            decision("approval_required", approval_url="/a/1", resume_token="rt", expires_at="z"),
            ApprovalRequired,
        ),
        (
            decision("tool_integrity_violation", tool_name="search", violation="definition_changed"),
            ToolIntegrityError,
        ),
        (decision("trust_tier_denied", required_tier=2), GovernanceError),
    ],
)
def test_a_decision_is_a_typed_error_and_is_not_sent_again(
    double: Double, answer: Answer, kind: type[GovernanceError]
) -> None:
    double.will(answer)
    with pytest.raises(openai.PermissionDeniedError) as caught:
        agent(double, max_retries=3).chat.completions.create(model="m", messages=MESSAGES)
    error = caught.value
    assert type(error) is kind
    assert len(double.requests) == 1
    assert str(error) == error.message == "This call was refused."
    assert (error.decision, error.reason) == (answer.body["decision"], "because")
    assert error.blocked_by == answer.body.get("blocked_by")
    assert (error.classification, error.request_id, error.status_code) == ("CONFIDENTIAL", "r1", 403)
    assert (error.session_id, error.task_id, error.agent_uuid) == ("s1", "t1", "a1")
    assert (error.pipeline_uuid, error.audit_url) == ("p1", "/audit/e1")
    assert error.details["findings"][0]["kind"] == "EMAIL"
    assert error.tappass is not None
    assert error.tappass.blocked
    assert error.code == answer.body["decision"]
    if isinstance(error, ApprovalRequired):
        assert (error.approval_url, error.resume_token, error.expires_at) == ("/a/1", "rt", "z")
    if kind is GovernanceError:
        assert error.answer["required_tier"] == 2


def test_a_403_that_is_no_decision_stays_openais(double: Double) -> None:
    double.will(Answer(403, {"error": {"message": "not yours"}}))
    with pytest.raises(openai.PermissionDeniedError) as caught:
        agent(double).chat.completions.create(model="m", messages=MESSAGES)
    assert type(caught.value) is openai.PermissionDeniedError


@pytest.mark.parametrize(
    ("status", "kind", "stock"),
    [
        (401, AuthenticationError, openai.AuthenticationError),
        (429, RateLimited, openai.RateLimitError),
        (503, GatewayNotReady, openai.InternalServerError),
    ],
)
def test_other_statuses_are_typed(
    double: Double, status: int, kind: type[Exception], stock: type[Exception]
) -> None:
    double.will(Answer(status, {"error": {"message": "no"}}, {"retry-after": "7", "x-request-id": "r9"}))
    with pytest.raises(kind) as caught:
        agent(double, max_retries=0).chat.completions.create(model="m", messages=MESSAGES)
    error = caught.value
    assert isinstance(error, stock)
    assert isinstance(error, openai.APIStatusError)
    assert error.request_id == "r9"
    if isinstance(error, RateLimited):
        assert error.retry_after == 7
    assert isinstance(error, GatewayUnavailable) == (status == 503)


def test_a_busy_gateway_is_asked_again(double: Double) -> None:
    double.will(Answer(503, {}, {"retry-after": "0.01"}), Answer(body=completion("later")))
    answer = agent(double).chat.completions.create(model="m", messages=MESSAGES)
    assert answer.choices[0].message.content == "later"


def test_no_gateway_is_unreachable() -> None:
    with stand_in.running() as gone:
        pass
    with pytest.raises(GatewayUnreachable, match=f"{gone.url} cannot be reached") as caught:
        agent(gone, max_retries=0).chat.completions.create(model="m", messages=MESSAGES)
    assert isinstance(caught.value, openai.APIConnectionError)
    assert isinstance(caught.value, GatewayUnavailable)
    assert isinstance(caught.value.__cause__, openai.APIConnectionError)


def test_no_answer_in_time_is_a_timeout(double: Double) -> None:
    done = threading.Event()
    double.will(Answer(hold=done))
    with pytest.raises(GatewayTimeout) as caught:
        agent(double, max_retries=0, timeout=0.2).chat.completions.create(model="m", messages=MESSAGES)
    done.set()
    assert isinstance(caught.value, openai.APITimeoutError)
    assert isinstance(caught.value, GatewayUnavailable)


def test_a_stream_carries_the_governance_on_its_last_chunk(double: Double) -> None:
    last = chunk(finish="stop", finished=True, tappass={"blocked": False, "mode": "warn"})
    double.will(Answer(events=[chunk("a", session_id="s"), chunk("b"), last]))
    chunks = list(agent(double).chat.completions.create(model="m", messages=MESSAGES, stream=True))
    assert [c.content for c in chunks] == ["a", "b", ""]
    assert [c.tappass is None for c in chunks] == [True, True, False]
    assert (chunks[0].session_id, chunks[-1].finished) == ("s", True)
    assert isinstance(chunks[-1].tappass, Governance)
    assert chunks[-1].tappass.mode == "warn"


STOP = chunk(
    finish="content_filter", tappass={"blocked": True, "blocked_by": "scan_output", "reason": "a key"}
)


def test_a_stopped_stream_yields_what_passed_then_raises(double: Double) -> None:
    double.will(Answer(events=[chunk("a"), STOP]))
    seen = []
    with pytest.raises(PolicyBlockError, match="a key") as caught:
        for part in agent(double).chat.completions.create(model="m", messages=MESSAGES, stream=True):
            seen.append(part.choices[0].finish_reason)
    assert seen == [None, "content_filter"]
    assert (caught.value.blocked_by, caught.value.status_code) == ("scan_output", 200)


@pytest.mark.anyio
async def test_the_same_asynchronous(double: Double) -> None:
    double.will(Answer(events=[chunk("a"), STOP]), Answer(body=completion("b")), decision("policy_block"))
    async with AsyncAgent(double.url, api_key="tp_1") as client:
        seen = []
        stream = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
        with pytest.raises(PolicyBlockError):
            async for part in stream:
                seen.append(part.content)
        assert seen == ["a", ""]
        whole = await client.chat.completions.create(model="m", messages=MESSAGES, flags={"pii": "mask"})
        assert whole.tappass.mode == "enforce"
        assert double.requests[-1].headers["x-tappass-flags"] == "pii=mask"
        with pytest.raises(PolicyBlockError):
            await client.chat.completions.create(model="m", messages=MESSAGES)
        with stand_in.running() as gone:
            pass
        with pytest.raises(GatewayUnreachable):
            await client.with_options(base_url=gone.url, max_retries=0).models.list()


def test_a_stream_that_breaks_is_not_taken_for_whole(double: Double) -> None:
    double.will(Answer(events=[chunk("a")], cut=True))
    stream = agent(double).chat.completions.create(model="m", messages=MESSAGES, stream=True)
    assert next(stream).content == "a"
    with pytest.raises(GatewayUnreachable):
        next(stream)


def test_the_helpers_of_openai_keep_the_governance(double: Double) -> None:
    class Claim(BaseModel):
        number: int

    last = chunk(finish="stop", tappass={"blocked": False, "mode": "warn"})
    double.will(
        Answer(body=completion('{"number": 7}')),
        Answer(body=completion("raw")),
        Answer(events=[chunk("a"), chunk("b"), last]),
    )
    client = agent(double)
    parsed = client.chat.completions.parse(model="m", messages=MESSAGES, response_format=Claim)
    assert parsed.choices[0].message.parsed == Claim(number=7)
    said = governance(parsed)
    assert said is not None
    assert said.mode == "enforce"
    raw = client.chat.completions.with_raw_response.create(model="m", messages=MESSAGES)
    assert governance(raw.parse()) is not None
    with client.chat.completions.stream(model="m", messages=MESSAGES) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.content == "ab"


def test_answers_of_the_stock_client_can_be_read(double: Double) -> None:
    double.will(Answer(body=completion()))
    client = openai.OpenAI(base_url=f"{double.url}/v1", api_key="tp_1")
    said = governance(client.chat.completions.create(model="m", messages=MESSAGES))
    assert isinstance(said, Governance)
    assert governance(object()) is None
