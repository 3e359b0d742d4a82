"""Tools that ask before they run: local functions, judged by the gateway like the tool calls of a model.

>>> search, pay = govern([search, pay])
>>> @governed
... def send_mail(to: str, text: str) -> str: ...
"""

from __future__ import annotations

import functools
import inspect
import json
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar, overload

import anyio.to_thread
import openai

from .agent import Agent, AsyncAgent
from .approvals import Sent
from .errors import (
    ApprovalRequired,
    ConfigurationError,
    GatewayUnavailable,
    PolicyBlockError,
    ToolFailed,
    decided,
)
from .sessions import running_agent

_F = TypeVar("_F", bound=Callable[..., Any])
_log = logging.getLogger("tappass")
_RAW = {"X-Stainless-Raw-Response": "true"}


@dataclass(frozen=True)
class ToolCall:
    """One call of a tool that the gateway lets go ahead."""

    tool: str
    args: Mapping[str, Any]
    """What to call it with: as asked, or masked."""
    behavior_id: str | None = None
    began: float = 0.0
    ungoverned: bool = False
    """Nobody could be asked, and the agent fails open."""


class ToolGate:
    """Asks before a tool runs and reports what it returned; what adapters of frameworks are made of.

    ``agent``: who asks. Without one: the agent of the running session, else one from the environment.
    ``server``: where the tool is, for approvals and policies that tell servers apart.
    """

    def __init__(self, agent: Agent | AsyncAgent | None = None, server: str | None = None) -> None:
        self.agent = agent
        self.server = server

    # Before

    def ask(self, tool: str, args: Mapping[str, Any], resume: Resume | None = None) -> ToolCall:
        """Returns when the call may be made, with the arguments to make it with.

        Raises :class:`PolicyBlockError`, or :class:`ApprovalRequired` where a person decides.
        """
        client = self._sync()
        try:
            answer = client.post("/govern", **self._question(tool, args, resume))
        except GatewayUnavailable as error:
            return _opened(client, tool, args, error)
        return _permitted(client, answer, tool, args, resume)

    async def ask_async(self, tool: str, args: Mapping[str, Any], resume: Resume | None = None) -> ToolCall:
        """:meth:`ask`; with an ``Agent``, in a thread."""
        client = self._any()
        if isinstance(client, Agent):
            gate = ToolGate(client, self.server)
            return await anyio.to_thread.run_sync(gate.ask, tool, args, resume)
        try:
            answer = await client.post("/govern", **self._question(tool, args, resume))
        except GatewayUnavailable as error:
            return _opened(client, tool, args, error)
        return _permitted(client, answer, tool, args, resume)

    # After

    def told(self, call: ToolCall, result: Any = None, error: BaseException | None = None) -> Any:
        """Reports what the tool returned, and gives what may be used of it: as it is, or masked.

        Raises :class:`PolicyBlockError` when nothing of it may be used.
        """
        if call.ungoverned:
            return result
        client = self._sync()
        try:
            answer = client.post("/govern/execution", **_report(call, result, error))
        except GatewayUnavailable as unavailable:
            return _let_through(client, call, result, unavailable)
        return _heard(answer, result, error)

    async def told_async(self, call: ToolCall, result: Any = None, error: BaseException | None = None) -> Any:
        """:meth:`told`; with an ``Agent``, in a thread."""
        if call.ungoverned:
            return result
        client = self._any()
        if isinstance(client, Agent):
            gate = ToolGate(client, self.server)
            return await anyio.to_thread.run_sync(gate.told, call, result, error)
        try:
            answer = await client.post("/govern/execution", **_report(call, result, error))
        except GatewayUnavailable as unavailable:
            return _let_through(client, call, result, unavailable)
        return _heard(answer, result, error)

    # Around

    def run(
        self, tool: str, args: Mapping[str, Any], call: Callable[[Mapping[str, Any]], Any], token: str = ""
    ) -> Any:
        """Asks, calls ``call`` with what may be used of the arguments, and reports what came of it."""

        def again(token: str) -> Any:
            return self.run(tool, args, call, token)

        asked = self.ask(tool, args, Resume(again, token))
        try:
            result = call(asked.args)
        except Exception as error:
            self.told(asked, error=error)
            raise
        return self.told(asked, result)

    async def run_async(
        self,
        tool: str,
        args: Mapping[str, Any],
        call: Callable[[Mapping[str, Any]], Awaitable[Any]],
        token: str = "",
    ) -> Any:
        """:meth:`run`, of something that is awaited."""

        async def again(token: str) -> Any:
            return await self.run_async(tool, args, call, token)

        asked = await self.ask_async(tool, args, Resume(again, token))
        try:
            result = await call(asked.args)
        except Exception as error:
            await self.told_async(asked, error=error)
            raise
        return await self.told_async(asked, result)

    def _question(self, tool: str, args: Mapping[str, Any], resume: Resume | None) -> dict[str, Any]:
        payload = {"tool": tool, "args": plain(args), "server": self.server}
        headers = {**_RAW, **({"X-TapPass-Resume": resume.token} if resume and resume.token else {})}
        body = {
            "type": "TOOL_CALL",
            "payload": {key: value for key, value in payload.items() if value is not None},
        }
        return {"body": body, "cast_to": object, "options": {"headers": headers}}

    def _any(self) -> Agent | AsyncAgent:
        return self.agent or running_agent() or _from_environment()

    def _sync(self) -> Agent:
        found = self._any()
        if isinstance(found, AsyncAgent):
            raise ConfigurationError(
                "A function that is not awaited cannot ask with an AsyncAgent: give it an Agent."
            )
        return found


@dataclass(frozen=True)
class Resume:
    """How a call is made again that had to wait for a person."""

    again: Callable[[str], Any]
    token: str = ""


@dataclass(frozen=True)
class _Waiting(Sent):
    """A tool call that waits: to resume it is to ask again, and to run the tool."""

    again: Callable[[str], Any] | None = None

    def resume(self, token: str) -> Any:
        self._sync()
        return self._call(token)

    async def resume_async(self, token: str) -> Any:
        found = self._call(token)
        return await found if inspect.isawaitable(found) else found

    def _call(self, token: str) -> Any:
        if self.again is None:
            raise ConfigurationError(
                "This call was only asked about: make it again yourself, with the token."
            )
        return self.again(token)


_KEPT: dict[tuple[tuple[str, str], ...], Agent] = {}


def _from_environment() -> Agent:
    """One agent for one environment; its connections stay open from call to call."""
    key = tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("TAPPASS_")))
    if key not in _KEPT:
        _KEPT.clear()
        _KEPT[key] = Agent()
    return _KEPT[key]


def _permitted(
    client: Agent | AsyncAgent, raw: Any, tool: str, args: Mapping[str, Any], resume: Resume | None
) -> ToolCall:
    answer = _answer(raw)
    outcome, approval = answer.get("outcome"), answer.get("approval")
    call = ToolCall(tool, args, answer.get("behavior_id"), time.monotonic())
    if outcome == "allow":
        return call
    payload = answer.get("modified_payload")
    if outcome == "modify" and isinstance(payload, Mapping) and isinstance(payload.get("args"), Mapping):
        sent, masked = plain(args), payload["args"]
        changed = {key: value for key, value in masked.items() if key not in sent or sent[key] != value}
        return replace(call, args={**args, **changed})
    refused: dict[str, Any] = _refusal(answer, f"The gateway does not allow the call of {tool}")
    if isinstance(approval, Mapping):
        waits = {"approval_id": approval.get("request_id"), "resume_token": approval.get("request_id")}
        refused = {
            **refused,
            "decision": "approval_required",
            **waits,
            "expires_at": approval.get("expires_at"),
        }
    error = decided(refused, response=raw.http_response)
    if isinstance(error, ApprovalRequired):
        error.sent = _Waiting(client, object, None, {}, resume.again if resume else None)
    raise error


def _report(call: ToolCall, result: Any, error: BaseException | None) -> dict[str, Any]:
    body: dict[str, Any] = {"tool": call.tool, "behavior_id": call.behavior_id}
    body["duration_ms"] = round((time.monotonic() - call.began) * 1000, 3)
    if error is None:
        body["result"] = "null" if result is None else plain(result)
    else:
        body["error"] = f"{type(error).__name__}: {error}"
    return {"body": body, "cast_to": object, "options": {"headers": _RAW}}


def _heard(raw: Any, result: Any, error: BaseException | None) -> Any:
    answer = _answer(raw)
    outcome = answer.get("outcome")
    if outcome == "allow":
        return result
    if outcome == "modify":
        if error is not None:
            raise ToolFailed(str(answer.get("modified_error"))) from None
        return answer.get("modified_result")
    what = "what the tool returned" if error is None else "why the tool failed"
    refused = decided(_refusal(answer, f"The gateway withholds {what}"), response=raw.http_response)
    raise refused from None


def _answer(raw: Any) -> Mapping[str, Any]:
    answer = raw.parse()
    return answer if isinstance(answer, Mapping) else {}


def _refusal(answer: Mapping[str, Any], what: str) -> dict[str, Any]:
    found = answer.get("details")
    details: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    ids = ("session_id", "task_id", "agent_uuid", "pipeline_uuid", "audit_url", "classification")
    return {
        **{name: details.get(name) for name in ids},
        "decision": "policy_block",
        "blocked_by": details.get("blocking_step"),
        "reason": answer.get("reason"),
        "message": f"{what}: {answer.get('reason') or 'it does not say why'}.",
        "details": {"findings": details.get("findings") or []},
        "tappass": details,
        "answer": answer,
    }


def _opened(
    client: Agent | AsyncAgent, tool: str, args: Mapping[str, Any], error: openai.APIError
) -> ToolCall:
    if not client.settings.fail_open:
        raise error
    _log.warning("%s runs without having been asked about (fail open): %s", tool, error)
    return ToolCall(tool, args, ungoverned=True)


def _let_through(client: Agent | AsyncAgent, call: ToolCall, result: Any, error: openai.APIError) -> Any:
    if not client.settings.fail_open:
        raise error
    _log.warning("What %s returned was not looked at (fail open): %s", call.tool, error)
    return result


def plain(value: Any) -> Any:
    """A value as JSON; what has no form there as its text."""
    dump = getattr(value, "model_dump", None)
    if callable(dump) and not isinstance(value, type):
        return plain(dump(mode="json"))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float) and json.dumps(value) not in ("NaN", "Infinity", "-Infinity"):
        return value
    return str(value)


@overload
def govern(tools: _F, *, agent: Agent | AsyncAgent | None = None, server: str | None = None) -> _F: ...
@overload
def govern(
    tools: Mapping[str, Callable[..., Any]],
    *,
    agent: Agent | AsyncAgent | None = None,
    server: str | None = None,
) -> dict[str, Callable[..., Any]]: ...
@overload
def govern(
    tools: Sequence[Callable[..., Any]], *, agent: Agent | AsyncAgent | None = None, server: str | None = None
) -> list[Callable[..., Any]]: ...
def govern(tools: Any, *, agent: Agent | AsyncAgent | None = None, server: str | None = None) -> Any:
    """The same functions, each of which asks the gateway before it runs and reports what it returned.

    ``tools``: a function, several, or several by name (the name is then the tool's). Async ones stay async.
    ``agent``: who asks; without one the agent of the running session, else one from the environment.

    A call that is not allowed raises :class:`PolicyBlockError` and does not run; one that a person has to
    approve raises :class:`ApprovalRequired`, whose ``resume()`` runs it. Arguments that were masked arrive
    masked, results that were masked are returned so. Where the gateway cannot be asked, nothing runs, unless
    the agent fails open (``fail_open=True`` or ``TAPPASS_FAIL_OPEN=1``).
    """
    if isinstance(tools, Mapping):
        return {name: _governed(tool, ToolGate(agent, server), name) for name, tool in tools.items()}
    if callable(tools):
        return _governed(tools, ToolGate(agent, server), None)
    return [_governed(tool, ToolGate(agent, server), None) for tool in tools]


@overload
def governed(tool: _F, /) -> _F: ...
@overload
def governed(
    *, name: str | None = None, agent: Agent | AsyncAgent | None = None, server: str | None = None
) -> Callable[[_F], _F]: ...
def governed(
    tool: Any = None,
    /,
    *,
    name: str | None = None,
    agent: Agent | AsyncAgent | None = None,
    server: str | None = None,
) -> Any:
    """:func:`govern`, as a decorator: ``@governed`` or ``@governed(name="pay_out")``."""
    if tool is not None:
        return _governed(tool, ToolGate(agent, server), name)
    return lambda tool: _governed(tool, ToolGate(agent, server), name)


def _governed(tool: Callable[..., Any], gate: ToolGate, name: str | None) -> Callable[..., Any]:
    if not callable(tool):
        raise ConfigurationError(f"{tool!r} is no function: its framework's adapter governs it")
    call = tool if inspect.isroutine(tool) or isinstance(tool, functools.partial) else tool.__call__  # type: ignore[operator]
    if inspect.isgeneratorfunction(call) or inspect.isasyncgenfunction(call):
        raise ConfigurationError(
            f"{tool!r} yields its result in parts, which cannot be judged before it is whole"
        )
    name = name or getattr(tool, "__name__", None) or type(tool).__name__
    try:
        signature = inspect.signature(tool)
    except ValueError:  # some of those that are written in C say nothing of their parameters
        signature = inspect.signature(lambda *args, **kwargs: None)

    def bound(args: Any, kwargs: Any) -> inspect.BoundArguments:
        found = signature.bind(*args, **kwargs)
        found.apply_defaults()
        return found

    def call_with(found: inspect.BoundArguments, args: Mapping[str, Any]) -> Any:
        found.arguments.update(args)
        return tool(*found.args, **found.kwargs)

    if inspect.iscoroutinefunction(call):

        @functools.wraps(tool)
        async def asks(*args: Any, **kwargs: Any) -> Any:
            found = bound(args, kwargs)
            return await gate.run_async(name, found.arguments, lambda args: call_with(found, args))

        return asks

    @functools.wraps(tool)
    def asks_first(*args: Any, **kwargs: Any) -> Any:
        found = bound(args, kwargs)
        return gate.run(name, found.arguments, lambda args: call_with(found, args))

    return asks_first


__all__ = ["PolicyBlockError", "ToolCall", "ToolGate", "govern", "governed"]
