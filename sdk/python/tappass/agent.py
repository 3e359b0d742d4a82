"""``Agent`` and ``AsyncAgent``: clients of ``openai`` that speak to the gateway."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import Any

import openai
from typing_extensions import Self

from .approvals import Sent, remembered
from .completions import GOVERNED, AsyncGovernedChat, GovernedChat, typed
from .errors import connection_errors, from_status
from .sessions import AsyncSession, Session, belonging
from .settings import Settings, api_key as resolve_key
from .streams import governed, kept


class Agent(openai.OpenAI):
    """One of your agents, calling models through the gateway.

    ``url``: the gateway's address, with or without ``/v1`` (or ``TAPPASS_URL``).
    ``name``: what you call this agent, sent in ``User-Agent`` (``TAPPASS_AGENT_ID``); the key says who it is.
    ``api_key``: the agent's key, ``tp_…`` (``TAPPASS_API_KEY``); ``OPENAI_API_KEY`` is never used.
    ``flags``: how its calls are governed (``TAPPASS_FLAGS``); a call's own ``flags=`` win, flag by flag.
    ``session_id``, ``end_user``: of all its calls (``TAPPASS_SESSION_ID``).
    ``fail_open``: whether governed tools run when the gateway cannot be asked (``TAPPASS_FAIL_OPEN``); off.
    ``options``: those of ``openai.OpenAI``, such as ``timeout``, ``max_retries``, ``http_client``.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        name: str | None = None,
        api_key: str | Callable[[], str] | None = None,
        flags: Mapping[str, str] | None = None,
        session_id: str | None = None,
        end_user: str | None = None,
        fail_open: bool | None = None,
        base_url: Any = None,
        **options: Any,
    ) -> None:
        self.settings = Settings.resolve(url or _text(base_url), name, flags, session_id, end_user, fail_open)
        options["default_headers"] = {**(options.get("default_headers") or {}), **self.settings.headers()}
        key: Any = resolve_key(api_key)
        super().__init__(api_key=key, base_url=self.settings.base_url, **options)

    @cached_property
    def chat(self) -> GovernedChat:
        """Chat completions through the gateway."""
        return GovernedChat(self)

    def session(
        self,
        session_id: str | None = None,
        *,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Session:
        """``with agent.session():`` what is called inside, by any agent, belongs together.

        Without an id the gateway makes one, with ``name`` and ``metadata``, and ends it after the block.
        """
        return Session(self, session_id, name, metadata)

    @property
    def user_agent(self) -> str:
        """As sent in ``User-Agent``."""
        return self.settings.user_agent(super().user_agent)

    def copy(self, *, _extra_kwargs: Mapping[str, Any] = {}, **options: Any) -> Self:
        """The same agent with some options changed, this package's (``flags`` …) or those of ``openai``."""
        return super().copy(_extra_kwargs={**_own(self.settings, options), **_extra_kwargs}, **options)

    with_options = copy

    def request(self, cast_to: Any, options: Any, **rest: Any) -> Any:
        """Sends one request; every method of the client ends here."""
        rest["stream_cls"] = governed(rest.get("stream_cls"))
        options = belonging(options)
        sent = Sent(self, cast_to, options, rest)
        with connection_errors(), remembered(sent):
            return kept(super().request(cast_to, options, **rest), sent)

    def _process_response_data(self, *, data: object, cast_to: Any, response: Any) -> Any:
        cast_to = GOVERNED.get(cast_to, cast_to)
        return typed(super()._process_response_data(data=data, cast_to=cast_to, response=response))

    def _make_status_error(self, err_msg: str, *, body: object, response: Any) -> openai.APIStatusError:
        return from_status(super()._make_status_error(err_msg, body=body, response=response), body)

    def __repr__(self) -> str:
        return f"Agent({self.settings.base_url!r}, name={self.settings.name!r})"


class AsyncAgent(openai.AsyncOpenAI):
    """:class:`Agent`, asynchronous."""

    def __init__(
        self,
        url: str | None = None,
        *,
        name: str | None = None,
        api_key: str | Callable[[], Awaitable[str]] | None = None,
        flags: Mapping[str, str] | None = None,
        session_id: str | None = None,
        end_user: str | None = None,
        fail_open: bool | None = None,
        base_url: Any = None,
        **options: Any,
    ) -> None:
        self.settings = Settings.resolve(url or _text(base_url), name, flags, session_id, end_user, fail_open)
        options["default_headers"] = {**(options.get("default_headers") or {}), **self.settings.headers()}
        key: Any = resolve_key(api_key)
        super().__init__(api_key=key, base_url=self.settings.base_url, **options)

    @cached_property
    def chat(self) -> AsyncGovernedChat:
        """Chat completions through the gateway."""
        return AsyncGovernedChat(self)

    def session(
        self,
        session_id: str | None = None,
        *,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> AsyncSession:
        """``async with agent.session():`` what is called inside, by any agent, belongs together.

        Without an id the gateway makes one, with ``name`` and ``metadata``, and ends it after the block.
        """
        return AsyncSession(self, session_id, name, metadata)

    @property
    def user_agent(self) -> str:
        """As sent in ``User-Agent``."""
        return self.settings.user_agent(super().user_agent)

    def copy(self, *, _extra_kwargs: Mapping[str, Any] = {}, **options: Any) -> Self:
        """The same agent with some options changed, this package's (``flags`` …) or those of ``openai``."""
        return super().copy(_extra_kwargs={**_own(self.settings, options), **_extra_kwargs}, **options)

    with_options = copy

    async def request(self, cast_to: Any, options: Any, **rest: Any) -> Any:
        """Sends one request; every method of the client ends here."""
        rest["stream_cls"] = governed(rest.get("stream_cls"))
        options = belonging(options)
        sent = Sent(self, cast_to, options, rest)
        with connection_errors(), remembered(sent):
            return kept(await super().request(cast_to, options, **rest), sent)

    def _process_response_data(self, *, data: object, cast_to: Any, response: Any) -> Any:
        cast_to = GOVERNED.get(cast_to, cast_to)
        return typed(super()._process_response_data(data=data, cast_to=cast_to, response=response))

    def _make_status_error(self, err_msg: str, *, body: object, response: Any) -> openai.APIStatusError:
        return from_status(super()._make_status_error(err_msg, body=body, response=response), body)

    def __repr__(self) -> str:
        return f"AsyncAgent({self.settings.base_url!r}, name={self.settings.name!r})"


def _text(url: Any) -> str | None:
    return str(url) if url else None


def _own(settings: Settings, options: dict[str, Any]) -> dict[str, Any]:
    """This package's part of the options of a copy, taken out of ``options``; the rest stays as it is."""
    return {
        "name": options.pop("name", None) or settings.name,
        "flags": {**settings.flags, **(options.pop("flags", None) or {})},
        "session_id": options.pop("session_id", None) or settings.session_id,
        "end_user": options.pop("end_user", None) or settings.end_user,
        "fail_open": options.pop("fail_open", settings.fail_open),
    }
