"""``agent.chat.completions``: that of ``openai``, with flags per call and typed answers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Optional, overload

from openai.resources.chat import AsyncChat, Chat
from openai.resources.chat.completions import AsyncCompletions, Completions
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from . import flags as flag_rules
from .governance import Governance, read
from .settings import Settings, call_headers

if TYPE_CHECKING:
    from openai import Timeout
    from openai.types.chat.completion_create_params import (
        CompletionCreateParamsBase,
        CompletionCreateParamsNonStreaming,
        CompletionCreateParamsStreaming,
    )
    from typing_extensions import Required, TypedDict, Unpack

    from .agent import Agent, AsyncAgent
    from .streams import AsyncGovernedStream, GovernedStream

    class CallOptions(TypedDict, total=False):
        """What a call takes besides the model's parameters."""

        flags: Mapping[str, str]
        """For this call, over the agent's own, flag by flag."""
        session_id: str
        end_user: str
        """On whose behalf the agent acts."""
        extra_headers: Mapping[str, str]
        extra_query: Mapping[str, object]
        extra_body: object
        timeout: float | Timeout | None

    class Whole(CompletionCreateParamsNonStreaming, CallOptions):
        """Parameters of a call whose answer comes whole."""

    class Streaming(CompletionCreateParamsStreaming, CallOptions):
        """Parameters of a call whose answer streams."""

    class Either(CompletionCreateParamsBase, CallOptions):
        """Parameters of a call that decides it when it runs."""

        stream: Required[bool]


class GovernedCompletion(ChatCompletion):
    """A chat completion, and how it was governed."""

    tappass: Governance = Governance()


class GovernedChunk(ChatCompletionChunk):
    """A chunk of a chat completion. ``tappass`` is on the last one."""

    tappass: Optional[Governance] = None
    content: Optional[str] = None
    """The text of this chunk."""
    finished: Optional[bool] = None
    session_id: Optional[str] = None
    task_id: Optional[str] = None
    agent_uuid: Optional[str] = None
    pipeline_uuid: Optional[str] = None
    audit_url: Optional[str] = None


GOVERNED: dict[Any, Any] = {ChatCompletion: GovernedCompletion, ChatCompletionChunk: GovernedChunk}
"""What answers are read as."""


class GovernedCompletions(Completions):
    """Chat completions through the gateway."""

    _client: Agent

    if TYPE_CHECKING:

        @overload  # type: ignore[override]
        def create(self, **params: Unpack[Whole]) -> GovernedCompletion: ...
        @overload
        def create(self, **params: Unpack[Streaming]) -> GovernedStream[GovernedChunk]: ...
        @overload
        def create(self, **params: Unpack[Either]) -> GovernedCompletion | GovernedStream[GovernedChunk]: ...

    def create(self, **params: Any) -> Any:
        """As ``openai``'s, and besides ``flags``, ``session_id`` and ``end_user`` for this call."""
        return super().create(**_with_headers(self._client.settings, params))

    if not TYPE_CHECKING:  # openai's own signature stays

        def parse(self, **params: Any) -> Any:
            """As ``openai``'s; the answer's ``tappass`` is typed."""
            return typed(super().parse(**params))


class AsyncGovernedCompletions(AsyncCompletions):
    """Chat completions through the gateway, asynchronous."""

    _client: AsyncAgent

    if TYPE_CHECKING:

        @overload  # type: ignore[override]
        async def create(self, **params: Unpack[Whole]) -> GovernedCompletion: ...
        @overload
        async def create(self, **params: Unpack[Streaming]) -> AsyncGovernedStream[GovernedChunk]: ...
        @overload
        async def create(
            self, **params: Unpack[Either]
        ) -> GovernedCompletion | AsyncGovernedStream[GovernedChunk]: ...

    async def create(self, **params: Any) -> Any:
        """As ``openai``'s, and besides ``flags``, ``session_id`` and ``end_user`` for this call."""
        return await super().create(**_with_headers(self._client.settings, params))

    if not TYPE_CHECKING:  # openai's own signature stays

        async def parse(self, **params: Any) -> Any:
            """As ``openai``'s; the answer's ``tappass`` is typed."""
            return typed(await super().parse(**params))


class GovernedChat(Chat):
    """``agent.chat``."""

    _client: Agent

    @cached_property
    def completions(self) -> GovernedCompletions:
        """Chat completions through the gateway."""
        return GovernedCompletions(self._client)


class AsyncGovernedChat(AsyncChat):
    """``agent.chat``, asynchronous."""

    _client: AsyncAgent

    @cached_property
    def completions(self) -> AsyncGovernedCompletions:
        """Chat completions through the gateway."""
        return AsyncGovernedCompletions(self._client)


def typed(answer: Any) -> Any:
    """The same answer; a ``tappass`` object that it holds as plain JSON becomes :class:`Governance`."""
    extra = getattr(answer, "model_extra", None)
    if extra and isinstance(extra.get("tappass"), Mapping):
        extra["tappass"] = read(extra["tappass"])
    return answer


def _with_headers(settings: Settings, params: dict[str, Any]) -> dict[str, Any]:
    """Turns the options of this package into headers; headers given as such win."""
    flags = params.pop("flags", None)
    session_id, end_user = params.pop("session_id", None), params.pop("end_user", None)
    merged = {**settings.flags, **flag_rules.check(flags)} if flags else {}
    headers = call_headers(merged, session_id, end_user)
    if headers:
        params["extra_headers"] = {**headers, **(params.get("extra_headers") or {})}
    return params
