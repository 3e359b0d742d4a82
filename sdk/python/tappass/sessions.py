"""Sessions as context managers: what is called inside belongs together, whoever calls it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

    from .agent import Agent, AsyncAgent

HEADER = "X-TapPass-Session"

_running: ContextVar[_Session | None] = ContextVar("tappass_session", default=None)


class _Session:
    """What both kinds share: the id, and that it is the running one inside ``with``."""

    agent: Agent | AsyncAgent

    def __init__(self, session_id: str | None, name: str | None, metadata: Mapping[str, Any] | None) -> None:
        self.session_id = session_id or ""
        """The id. Of one that the gateway makes, from ``with`` on."""
        self._asked = {"name": name, "metadata": dict(metadata) if metadata else None}
        self._made = session_id is None
        self._tokens: list[Token[_Session | None]] = []

    def _new(self) -> dict[str, Any]:
        return {key: value for key, value in self._asked.items() if value is not None}

    def _begin(self, made: Any = None) -> None:
        if made is not None:
            self.session_id = str(made["id"])
        self._tokens.append(_running.set(self))

    def _end(self) -> bool:
        """Whether the gateway has to be told."""
        _running.reset(self._tokens.pop())
        return self._made and not self._tokens

    def _path(self) -> str:
        return f"/sessions/{self.session_id}"


class Session(_Session):
    """``with agent.session() as session:``. Model calls and governed tools inside belong to it.

    Without an id the gateway makes one and ends it after the block; one with an id is left as it is.
    """

    agent: Agent

    def __init__(self, agent: Agent, *given: Any) -> None:
        super().__init__(*given)
        self.agent = agent

    def __enter__(self) -> Session:
        new = self._made and not self._tokens
        self._begin(self.agent.post("/sessions", body=self._new(), cast_to=object) if new else None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._end():
            self.agent.patch(self._path(), body={"ended": True}, cast_to=object)


class AsyncSession(_Session):
    """:class:`Session`, of an ``AsyncAgent``: ``async with agent.session() as session:``."""

    agent: AsyncAgent

    def __init__(self, agent: AsyncAgent, *given: Any) -> None:
        super().__init__(*given)
        self.agent = agent

    async def __aenter__(self) -> AsyncSession:
        new = self._made and not self._tokens
        self._begin(await self.agent.post("/sessions", body=self._new(), cast_to=object) if new else None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._end():
            await self.agent.patch(self._path(), body={"ended": True}, cast_to=object)


def running_agent() -> Agent | AsyncAgent | None:
    """The agent of the session that this runs in."""
    session = _running.get()
    return session.agent if session else None


def belonging(options: Any) -> Any:
    """The options of a request, with the running session where the request names none."""
    session = _running.get()
    if session is None:
        return options
    given = options.headers if isinstance(options.headers, Mapping) else {}
    if any(name.lower() == HEADER.lower() for name in given):
        return options
    options = copy.copy(options)
    options.headers = {**given, HEADER: session.session_id}
    return options
