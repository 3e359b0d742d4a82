"""Streams that end with an error when the gateway stops the answer, instead of looking complete."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

from openai import AsyncStream, Stream

from .errors import ApprovalRequired, GovernanceError, connection_errors, decided
from .governance import governance

if TYPE_CHECKING:
    from .approvals import Sent

_T = TypeVar("_T")


class GovernedStream(Stream[_T]):
    """A stream of chunks. The last one carries ``tappass``.

    When the gateway stops the answer, everything up to and including its last chunk (``finish_reason`` is
    ``content_filter``) is yielded, and then :class:`~tappass.PolicyBlockError` is raised.
    """

    sent: Sent | None = None
    """The call that it answers."""

    def __stream__(self) -> Iterator[_T]:
        stop = None
        with connection_errors(self.response.request), closing(super().__stream__()) as chunks:  # type: ignore[type-var]
            for chunk in chunks:
                yield chunk
                stop = stop or _stopped(chunk, self.response, self.sent)
        if stop:  # read to its end first: leaving early would look like a client that went away
            raise stop


class AsyncGovernedStream(AsyncStream[_T]):
    """The same, asynchronous."""

    sent: Sent | None = None

    async def __stream__(self) -> AsyncIterator[_T]:
        stop = None
        with connection_errors(self.response.request):
            async with aclosing(super().__stream__()) as chunks:  # type: ignore[type-var]
                async for chunk in chunks:
                    yield chunk
                    stop = stop or _stopped(chunk, self.response, self.sent)
        if stop:
            raise stop


def governed(stream_cls: Any) -> Any:
    """The governed form of a stream class of ``openai``."""
    kinds: dict[Any, Any] = {Stream: GovernedStream, AsyncStream: AsyncGovernedStream}
    kind = kinds.get(get_origin(stream_cls))
    return kind[get_args(stream_cls)] if kind else stream_cls


def kept(answer: Any, sent: Sent) -> Any:
    """The same answer; a stream keeps the call that it answers."""
    if isinstance(answer, (GovernedStream, AsyncGovernedStream)):
        answer.sent = sent
    return answer


def _stopped(chunk: object, response: Any, sent: Sent | None) -> GovernanceError | None:
    said = governance(chunk)
    if said is None or not said.blocked:
        return None
    answer = said.to_dict()
    answer.setdefault("message", said.reason or "The gateway stopped this answer.")
    decision = "policy_block"
    approval = answer.get("approval")
    if isinstance(approval, dict):
        decision, answer = "approval_required", {**answer, **approval}
    error = decided({"decision": decision, **answer, "tappass": said}, response=response)
    if isinstance(error, ApprovalRequired):
        error.sent = sent
    return error
