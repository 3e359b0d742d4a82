"""Calls that wait for a person: waited for, then sent once more."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import openai

from .errors import ApprovalDenied, ApprovalPending, ApprovalRequired, ConfigurationError

if TYPE_CHECKING:
    from .agent import Agent, AsyncAgent

POLL = 30.0
"""Seconds that one request waits at most."""
GRACE = 10.0
"""Seconds on top of it until a gateway that does not answer is given up."""
PAUSE = 0.5
"""Seconds after a gateway that would not wait, as one that is stopping."""


@dataclass(frozen=True)
class Approval:
    """What became of a question to a person."""

    approval_id: str
    state: str
    """pending, approved, denied, timed_out or cancelled."""
    reason: str | None = None
    """Why, in the words of who decided."""
    expires_at: str | None = None
    """Until when it can be decided and, once approved, used."""
    answer: Mapping[str, Any] | None = None
    """As it came, with whatever a newer gateway adds."""

    @classmethod
    def read(cls, answer: Any) -> Approval:
        """The typed form of the gateway's answer."""
        found: Mapping[str, Any] = answer if isinstance(answer, Mapping) else {}

        def text(name: str) -> str | None:
            value = found.get(name)
            return value if isinstance(value, str) else None

        return cls(text("approval_id") or "", text("state") or "", text("reason"), text("expires_at"), found)


@dataclass(frozen=True)
class Sent:
    """A call as it was sent: who sent it, and with what."""

    client: Agent | AsyncAgent
    cast_to: Any
    options: Any
    rest: Mapping[str, Any]

    def wait(self, approval_id: str, timeout: float | None) -> Approval:
        """Returns when it is approved."""
        client = self._sync()
        wait = _Wait(timeout)
        while True:
            seconds = wait.next()
            try:
                found = client.get(_path(approval_id), cast_to=object, options=_patience(seconds))
            except openai.APIStatusError as error:
                if error.status_code != 408:
                    raise
                time.sleep(wait.over(approval_id))
            else:
                return _approved(Approval.read(found))

    async def wait_async(self, approval_id: str, timeout: float | None) -> Approval:
        """Returns when it is approved."""
        client = self._async()
        wait = _Wait(timeout)
        while True:
            seconds = wait.next()
            try:
                found = await client.get(_path(approval_id), cast_to=object, options=_patience(seconds))
            except openai.APIStatusError as error:
                if error.status_code != 408:
                    raise
                await anyio.sleep(wait.over(approval_id))
            else:
                return _approved(Approval.read(found))

    def resume(self, token: str) -> Any:
        """The identical call again, with what it was approved by."""
        return self._sync().request(self.cast_to, self._again(token), **self.rest)

    async def resume_async(self, token: str) -> Any:
        """The identical call again, with what it was approved by."""
        return await self._async().request(self.cast_to, self._again(token), **self.rest)

    def _again(self, token: str) -> Any:
        given = self.options.headers
        headers = {**(given if isinstance(given, Mapping) else {}), "X-TapPass-Resume": token}
        options = copy.copy(self.options)
        options.headers = headers
        return options

    def _sync(self) -> Any:
        if isinstance(self.client, openai.AsyncOpenAI):
            raise ConfigurationError(
                "This call was made by an AsyncAgent: await wait_async() and resume_async()."
            )
        return self.client

    def _async(self) -> Any:
        if isinstance(self.client, openai.OpenAI):
            raise ConfigurationError("This call was made by an Agent: use wait() and resume().")
        return self.client


class _Wait:
    """How long is left, and how long to wait next."""

    def __init__(self, timeout: float | None) -> None:
        self.end = None if timeout is None else time.monotonic() + timeout
        self.asked = 0.0
        self.began = 0.0

    def next(self) -> int:
        """Seconds that the gateway is asked to wait."""
        self.began = time.monotonic()
        self.asked = POLL if self.end is None else max(0.0, min(POLL, self.end - self.began))
        return math.ceil(self.asked)

    def over(self, approval_id: str) -> float:
        """Seconds to pause before the next request; raises when there is no time for one."""
        now = time.monotonic()
        if self.end is not None and now >= self.end:
            raise ApprovalPending(f"Nobody has decided approval {approval_id} yet.")
        return 0.0 if now - self.began >= min(self.asked, 1.0) else PAUSE


@contextmanager
def remembered(sent: Sent) -> Iterator[None]:
    """An :class:`ApprovalRequired` raised inside knows the call that it is about."""
    try:
        yield
    except ApprovalRequired as error:
        error.sent = sent
        raise


def _path(approval_id: str) -> str:
    return f"/me/approvals/{approval_id}/wait"


def _patience(seconds: int) -> Any:
    # A 408 means "wait again": this loop does, with its own clock.
    return {"params": {"timeout_seconds": seconds}, "max_retries": 0, "timeout": seconds + GRACE}


def _approved(approval: Approval) -> Approval:
    if approval.state != "approved":
        raise ApprovalDenied(approval)
    return approval
