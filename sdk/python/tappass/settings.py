"""Where the gateway is and as whom to call it: arguments first, then the environment."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from . import flags as flag_rules
from ._version import __version__
from .errors import ConfigurationError


@dataclass(frozen=True, repr=False)
class Settings:
    """What an agent was built with. The key is not part of it, so that it can be shown and logged."""

    base_url: str
    name: str | None
    flags: dict[str, str]
    session_id: str | None
    end_user: str | None
    fail_open: bool = False

    @classmethod
    def resolve(
        cls,
        url: str | None,
        name: str | None,
        flags: Mapping[str, str] | None,
        session_id: str | None,
        end_user: str | None,
        fail_open: bool | None = None,
    ) -> Settings:
        """Fills what is not given from ``TAPPASS_URL``, ``TAPPASS_AGENT_ID``, ``TAPPASS_FLAGS``,
        ``TAPPASS_SESSION_ID`` and ``TAPPASS_FAIL_OPEN``. Flags given here win, flag by flag, over
        those of the environment.
        """
        return cls(
            base_url=base_url(url or _environment("TAPPASS_URL")),
            name=name or _environment("TAPPASS_AGENT_ID"),
            flags={**flag_rules.parse(_environment("TAPPASS_FLAGS") or ""), **flag_rules.check(flags or {})},
            session_id=session_id or _environment("TAPPASS_SESSION_ID"),
            end_user=end_user,
            fail_open=_fails_open() if fail_open is None else fail_open,
        )

    def headers(self) -> dict[str, str]:
        """The headers of every call."""
        return call_headers(self.flags, self.session_id, self.end_user)

    def user_agent(self, client: str) -> str:
        """This package, the agent's name and the client underneath, for the gateway's access log."""
        name = f" ({quote(self.name, safe=' ')})" if self.name else ""
        return f"tappass-python/{__version__}{name} {client}"


def call_headers(flags: Mapping[str, str], session_id: str | None, end_user: str | None) -> dict[str, str]:
    """The headers that carry flags, session and end user; what is empty is left out."""
    headers = {
        flag_rules.HEADER: flag_rules.header(flags),
        "X-TapPass-Session": session_id,
        "X-TapPass-User": end_user,
    }
    for header, value in headers.items():
        if value and not all(" " <= c <= "~" for c in value):
            raise ConfigurationError(f"{header} cannot carry {value!r}: printable ASCII only")
    return {header: value for header, value in headers.items() if value}


def base_url(url: str | None) -> str:
    """The address that the client adds its paths to: one ``/v1`` at the end, however the URL was written."""
    if not url:
        raise ConfigurationError("no gateway: pass its address, Agent('https://…/v1'), or set TAPPASS_URL")
    url = url.strip()
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"the gateway's address is https://host or http://host, not {url!r}")
    if parts.username or parts.password:
        raise ConfigurationError("the gateway's address holds no user or password: pass api_key instead")
    if parts.query or parts.fragment:
        raise ConfigurationError(f"the gateway's address ends with its path: {url!r}")
    path = parts.path.rstrip("/")
    while path.endswith("/v1"):
        path = path[: -len("/v1")].rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path}/v1"


def api_key(key: str | Callable[[], str] | Callable[[], Awaitable[str]] | None) -> object:
    """The key to call with. Never ``OPENAI_API_KEY``: a provider's key must not reach another host."""
    found = key or _environment("TAPPASS_API_KEY")
    if not found:
        raise ConfigurationError("no key: pass the agent's api_key='tp_…', or set TAPPASS_API_KEY")
    return found


def _fails_open() -> bool:
    """Only what plainly says yes does."""
    said = (_environment("TAPPASS_FAIL_OPEN") or "0").lower()
    if said not in ("0", "1", "true", "false", "yes", "no", "on", "off"):
        raise ConfigurationError(f"TAPPASS_FAIL_OPEN is 1 or 0, not {said!r}")
    return said in ("1", "true", "yes", "on")


def _environment(name: str) -> str | None:
    return os.environ.get(name, "").strip() or None
