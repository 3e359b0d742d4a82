"""Capability tokens, checked without asking the gateway: what an agent was allowed, signed, for a minute.

>>> capability = verify_token(token, url="https://tappass.client.internal", tool="pay", arguments={"eur": 5})
>>> capability.agent_id, capability.session_id
('claims-processor', '0192f3...')

Needs ``pip install "tappass[tokens]"``. Whether a token has been used before only the gateway knows: where a
mandate must not serve twice, ask ``POST /v1/tokens/verify``.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Optional, cast

import httpx

from .errors import ConfigurationError, TapPassError

TYPE = "tappass-cap+jwt"
LEVELS = ("PUBLIC", "INTERNAL", "CONFIDENTIAL", "RESTRICTED", "TOP_SECRET")
LEEWAY = 5
"""How far clocks may be apart, in seconds."""
_KNOWN = {
    *("v", "iss", "jti", "iat", "exp", "sub", "agent_id", "org_id", "sid", "call", "mode", "level", "tools"),
    *("ops", "server", "args_sha256", "once", "parent"),
}
_LONGEST = 16 * 1024
_FLOOR = 10.0
"""Seconds between two requests for the keys, however many unknown keys are shown."""
_STALE = 300.0
"""Seconds after which the keys are read again: what is no longer published is no longer believed."""

Reason = Literal[
    "invalid_token",
    "unknown_key",
    "expired",
    "not_yet_valid",
    "wrong_organisation",
    "wrong_agent",
    "wrong_session",
    "wrong_tool",
    "wrong_server",
    "wrong_operation",
    "wrong_arguments",
    "level_exceeded",
]


class TokenRefused(TapPassError):
    """A token does not serve. ``reason`` says why, in the gateway's words."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason


@dataclass(frozen=True)
class Capability:
    """What a token says, once its signature holds."""

    token_id: str
    agent_id: str
    agent_uuid: str
    org_id: str
    session_id: str
    call_id: str
    """The call in the audit log that it was made for."""
    mode: str
    """The mode that the call was governed in: in ``observe`` nothing was refused."""
    level: str
    tools: tuple[str, ...]
    ops: tuple[str, ...]
    server: Optional[str]
    arguments_sha256: Optional[str]
    """Of the only arguments; ``None`` where it is bound to none."""
    issuer: str
    issued_at: int
    expires_at: int
    parent: Optional[str]


def verify_token(
    token: str,
    *,
    jwks: Mapping[str, Any] | None = None,
    url: str | None = None,
    org: str | None = None,
    agent: str | None = None,
    session: str | None = None,
    tool: str | None = None,
    server: str | None = None,
    op: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    level: str | None = None,
    now: float | None = None,
) -> Capability:
    """What a capability token allows, or :class:`TokenRefused`.

    ``jwks``: the gateway's keys; or ``url``: its address, where they are read when they are needed.
    ``agent`` (id or UUID), ``session``, ``tool``, ``server``, ``op``, ``level``: the use that must be
    within it; what is absent is not looked at. ``arguments``: of the tool; where the token is bound to some,
    they must be shown with ``tool``.
    ``org``: the organisation whose tokens count; give it where the gateway serves several.
    """
    claims = _claims(token, jwks, url)
    moment = time.time() if now is None else now
    if moment >= claims["exp"] + LEEWAY:
        raise TokenRefused("expired", "the token's time is over")
    if claims["iat"] > moment + LEEWAY:
        raise TokenRefused("not_yet_valid", "the token was made later than now: look at the clocks")
    capability = _capability(claims)
    _check(capability, org, agent, session, tool, server, op, level)
    bound = capability.arguments_sha256
    shown = None if arguments is None else arguments_hash(arguments)
    if bound is not None and (shown != bound if shown is not None else tool is not None):
        raise TokenRefused("wrong_arguments", "the token is for other arguments, or they were not shown")
    return capability


def arguments_hash(arguments: Mapping[str, Any]) -> str:
    """SHA-256 of a call's arguments in canonical form (RFC 8785), hexadecimal: what a mandate is bound to."""
    return hashlib.sha256(_canonical(dict(arguments)).encode()).hexdigest()


def _check(
    found: Capability,
    org: str | None,
    agent: str | None,
    session: str | None,
    tool: str | None,
    server: str | None,
    op: str | None,
    level: str | None,
) -> None:
    if level is not None and level not in LEVELS:
        raise ConfigurationError(f"level is {level!r}: it is one of {', '.join(LEVELS)}")
    checks: tuple[tuple[bool, Reason, str], ...] = (
        (org is None or org == found.org_id, "wrong_organisation", "it is another organisation's"),
        (
            agent is None or agent in (found.agent_id, found.agent_uuid),
            "wrong_agent",
            "it is for another agent",
        ),
        (session is None or session == found.session_id, "wrong_session", "it is for another session"),
        (op is None or op in found.ops, "wrong_operation", "it does not cover this operation"),
        (
            tool is None or any(_glob(pattern, tool) for pattern in found.tools),
            "wrong_tool",
            "it does not cover this tool",
        ),
        (
            server is None or found.server in (None, server),
            "wrong_server",
            "it is for a tool of another server",
        ),
        (
            level is None or LEVELS.index(level) <= LEVELS.index(found.level),
            "level_exceeded",
            "it does not cover data of this level",
        ),
    )
    for right, reason, message in checks:
        if not right:
            raise TokenRefused(reason, message)


def _claims(token: str, jwks: Mapping[str, Any] | None, url: str | None) -> dict[str, Any]:
    """The claims of a token whose signature holds.

    The algorithm and the type are fixed; nothing in the token's header says which key to believe except its
    id, looked up among the gateway's own.
    """
    try:
        import jwt
    except ImportError:
        raise ConfigurationError('tokens are checked with PyJWT: pip install "tappass[tokens]"') from None
    if (jwks is None) == (url is None):
        raise ConfigurationError("say where the gateway's keys are: jwks= or url=, one of them")
    broken = TokenRefused("invalid_token", "it is no capability token of this gateway")
    if not isinstance(token, str) or len(token) > _LONGEST:
        raise broken
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        raise broken from None
    if set(header) != {"alg", "typ", "kid"} or header["typ"] != TYPE or header["alg"] != "EdDSA":
        raise broken
    key = _key(header["kid"], jwks, url)
    if key is None:
        raise TokenRefused("unknown_key", "it is signed with a key that is not known, or no longer")
    none = dict.fromkeys(("verify_exp", "verify_nbf", "verify_iat", "verify_aud", "verify_iss"), False)
    try:
        claims: dict[str, Any] = jwt.decode(token, key, algorithms=["EdDSA"], options=cast(Any, none))
    except jwt.PyJWTError:
        raise broken from None
    # What is overlooked could be a limit: unknown members are refused, and so is another version.
    if claims.get("v") != 1 or not set(claims) <= _KNOWN:
        raise TokenRefused(
            "invalid_token", "the token says more than this version understands: update tappass"
        )
    return claims


def _capability(claims: Mapping[str, Any]) -> Capability:
    try:
        found = Capability(
            token_id=claims["jti"],
            agent_id=claims["agent_id"],
            agent_uuid=claims["sub"],
            org_id=claims["org_id"],
            session_id=claims["sid"],
            call_id=claims["call"],
            mode=claims["mode"],
            level=claims["level"],
            tools=tuple(claims["tools"]),
            ops=tuple(claims["ops"]),
            server=claims.get("server"),
            arguments_sha256=claims.get("args_sha256"),
            issuer=claims["iss"],
            issued_at=int(claims["iat"]),
            expires_at=int(claims["exp"]),
            parent=claims.get("parent"),
        )
    except (KeyError, TypeError, ValueError):
        raise TokenRefused("invalid_token", "the token lacks what it must say") from None
    if found.level not in LEVELS:
        raise TokenRefused("invalid_token", "the token's level is none")
    return found


@dataclass
class _Keys:
    """A gateway's keys as they were last read."""

    read: float
    jwks: Mapping[str, Any]


_known: dict[str, _Keys] = {}
_lock = threading.Lock()


def _key(kid: str, jwks: Mapping[str, Any] | None, url: str | None) -> Any:
    if jwks is not None:
        return _find(jwks, kid)
    where = str(url).rstrip("/").removesuffix("/v1")
    with _lock:
        known = _known.get(where)
        age = _STALE if known is None else time.monotonic() - known.read
        found = _find(known.jwks, kid) if known is not None and age < _STALE else None
        if found is None and (known is None or age >= _FLOOR):
            try:
                answer = httpx.get(f"{where}/.well-known/jwks.json", timeout=10)
                answer.raise_for_status()
                known = _Keys(time.monotonic(), answer.json())
            except (httpx.HTTPError, ValueError) as error:
                raise TapPassError(f"the gateway's keys cannot be read from {where}: {error}") from error
            _known[where] = known
            found = _find(known.jwks, kid)
    return found


def _find(jwks: Mapping[str, Any], kid: str) -> Any:
    import jwt

    keys = jwks.get("keys")
    for key in keys if isinstance(keys, list) else []:
        if key.get("kid") == kid and key.get("kty") == "OKP" and key.get("crv") == "Ed25519":
            try:
                return jwt.PyJWK(key, algorithm="EdDSA").key
            except jwt.PyJWTError:
                return None
    return None


def _glob(pattern: str, name: str) -> bool:
    """``*`` any text, ``?`` one character; a name that itself holds one of them is nobody's tool."""
    if "*" in name or "?" in name:
        return False
    at, star, kept, seen = 0, -1, 0, 0
    while seen < len(name):
        if at < len(pattern) and pattern[at] == "*":
            star, kept = at, seen
            at += 1
        elif at < len(pattern) and pattern[at] in ("?", name[seen]):
            at += 1
            seen += 1
        elif star >= 0:
            kept += 1
            at, seen = star + 1, kept
        else:
            return False
    return all(c == "*" for c in pattern[at:])


def _canonical(value: Any) -> str:
    """RFC 8785."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: str(key).encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{_text(key)}:{_canonical(value[key])}" for key in keys) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_canonical, value)) + "]"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int):
        if abs(value) > 2**53 - 1:
            raise TokenRefused("wrong_arguments", "an integer beyond 2^53 is in no token's arguments")
        return str(value)
    if isinstance(value, float):
        return _number(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _number(value: float) -> str:
    """As ECMAScript writes a number, from Python's shortest digits."""
    if value != value or value in (float("inf"), float("-inf")):
        raise TypeError("NaN and Infinity are not JSON")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if 0 < point <= 21:
        return sign + digits[:point].ljust(point, "0") + ("." + digits[point:] if digits[point:] else "")
    if -6 < point <= 0:
        return sign + "0." + "0" * -point + digits
    rest = "." + digits[1:] if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{rest}e{point - 1:+d}"
