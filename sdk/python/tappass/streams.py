"""Streams that end with an error when the gateway stops the answer, instead of looking complete."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing
from typing import Any, TypeVar, get_args, get_origin

from openai import AsyncStream, Stream

from .errors import GovernanceError, connection_errors, decided
from .governance import governance

_T = TypeVar("_T")


class GovernedStream(Stream[_T]):
    """A stream of chunks. The last one carries ``tappass``.

    When the gateway stops the answer, everything up to and including its last chunk (``finish_reason`` is
    ``content_filter``) is yielded, and then :class:`~tappass.PolicyBlockError` is raised.
    """

    def __stream__(self) -> Iterator[_T]:
        stop = None
        with connection_errors(self.response.request), closing(super().__stream__()) as chunks:  # type: ignore[type-var]
            for chunk in chunks:
                yield chunk
                stop = stop or _stopped(chunk, self.response)
        if stop:  # read to its end first: leaving early would look like a client that went away
            raise stop


class AsyncGovernedStream(AsyncStream[_T]):
    """The same, asynchronous."""

    async def __stream__(self) -> AsyncIterator[_T]:
        stop = None
        with connection_errors(self.response.request):
            async with aclosing(super().__stream__()) as chunks:  # type: ignore[type-var]
                async for chunk in chunks:
                    yield chunk
                    stop = stop or _stopped(chunk, self.response)
        if stop:
            raise stop


def governed(stream_cls: Any) -> Any:
    """The governed form of a stream class of ``openai``."""
    kinds: dict[Any, Any] = {Stream: GovernedStream, AsyncStream: AsyncGovernedStream}
    kind = kinds.get(get_origin(stream_cls))
    return kind[get_args(stream_cls)] if kind else stream_cls


def _stopped(chunk: object, response: Any) -> GovernanceError | None:
    said = governance(chunk)
    if said is None or not said.blocked:
        return None
    answer = said.to_dict()
    answer.setdefault("message", said.reason or "The gateway stopped this answer.")
    return decided({"decision": "policy_block", **answer, "tappass": said}, response=response)
