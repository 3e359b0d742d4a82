"""LangChain: every tool call of an agent is asked about first. ``pip install 'tappass[langchain]'``.

>>> agent = create_agent(model, tools, middleware=[TapPassMiddleware()])
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from langchain.agents.middleware import AgentMiddleware
from langchain.tools.tool_node import ToolCallRequest
from langchain_core.messages import ToolMessage
from langgraph.types import Command

from .agent import Agent, AsyncAgent
from .errors import PolicyBlockError
from .tools import ToolCall, ToolGate

_Answer = ToolMessage | Command[Any]


class TapPassMiddleware(AgentMiddleware[Any, Any]):
    """Asks before a tool runs, reports what it returned, and lets through what may be used.

    A call that is blocked does not run: the model is told so, as the tool's error, and can go on. With
    ``raise_blocked=True`` :class:`PolicyBlockError` is raised instead. :class:`ApprovalRequired`, and a
    gateway that cannot be asked, are always raised: ``wait()``, then invoke the agent again, and the same
    call passes.

    ``agent``: who asks; without one the agent of the running session, else one from the environment.
    """

    def __init__(self, agent: Agent | AsyncAgent | None = None, *, raise_blocked: bool = False) -> None:
        super().__init__()
        self.gate = ToolGate(agent)
        self.raise_blocked = raise_blocked

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], _Answer]
    ) -> _Answer:
        """Around every tool call of the agent."""
        call = request.tool_call
        try:
            asked = self.gate.ask(call["name"], call["args"])
            answer = handler(_with(request, asked))
            return _said(answer, lambda result: self.gate.told(asked, result))
        except PolicyBlockError as error:
            return self._blocked(call, error)

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[_Answer]]
    ) -> _Answer:
        """:meth:`wrap_tool_call`, asynchronous."""
        call = request.tool_call
        try:
            asked = await self.gate.ask_async(call["name"], call["args"])
            answer = await handler(_with(request, asked))
            heard = [await self.gate.told_async(asked, message.content) for message in _messages(answer)]
            return _said(answer, lambda _: heard.pop(0))
        except PolicyBlockError as error:
            return self._blocked(call, error)

    def _blocked(self, call: Any, error: PolicyBlockError) -> ToolMessage:
        if self.raise_blocked:
            raise error
        return ToolMessage(error.message, tool_call_id=call["id"], name=call["name"], status="error")


def _with(request: ToolCallRequest, asked: ToolCall) -> ToolCallRequest:
    return request.override(tool_call={**request.tool_call, "args": dict(asked.args)})


def _messages(answer: _Answer) -> list[ToolMessage]:
    if isinstance(answer, ToolMessage):
        return [answer]
    update = answer.update
    found = update.get("messages", []) if isinstance(update, dict) else []
    return [message for message in found if isinstance(message, ToolMessage)]


def _said(answer: _Answer, heard: Callable[[Any], Any]) -> _Answer:
    """The same answer with what may be used of its texts; its artifact goes where a text was changed."""
    for message in _messages(answer):
        content = heard(message.content)
        if content != message.content:
            message.content, message.artifact = content, None
    return answer
