"""Capability tokens of a real gateway, checked here; and what no verifier may fall for."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import urllib.request
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import tappass
from real import Gateway
from tappass import Agent, Capability, ConfigurationError, TokenRefused, arguments_hash, verify_token
from tappass.capability import TYPE

ARGUMENTS = {"amount": 5, "note": "Übergabe\n\u0001", "rate": 1.5e-9, "list": [0.1, -0.0, True, None]}


def scoped(gateway: Gateway, tools: list[str]) -> dict[str, Any]:
    agent = gateway.register()
    gateway.ask("PUT", f"/agents/{agent['agent_id']}/scope", {"tools": tools, "max_level": "TOP_SECRET"})
    return agent


def mandate(gateway: Gateway, agent: dict[str, Any], arguments: Any = ARGUMENTS) -> str:
    body = {"type": "TOOL_CALL", "session_id": "s1", "payload": {"tool": "pay_out", "args": arguments}}
    token: str = gateway.ask("POST", "/v1/govern", body, agent["api_key"])["mandate"]["token"]
    return token


def keys(gateway: Gateway) -> dict[str, Any]:
    with urllib.request.urlopen(f"{gateway.url}/.well-known/jwks.json", timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def reason(token: str, **use: Any) -> str:
    with pytest.raises(TokenRefused) as refused:
        verify_token(token, **use)
    return refused.value.reason


def test_a_calls_token_is_checked_offline(gateway: Gateway) -> None:
    registered = scoped(gateway, ["read_*"])
    agent = Agent(gateway.url, api_key=registered["api_key"])
    tools: Any = [{"type": "function", "function": {"name": n, "parameters": {}}} for n in ("read_it", "pay")]
    said = agent.chat.completions.create(
        model="builtin", messages=[{"role": "user", "content": "say: hello"}], tools=tools
    ).tappass
    assert said.capability_token is not None
    token = said.capability_token.token or ""
    found = verify_token(
        token, jwks=keys(gateway), tool="read_it", agent=registered["agent_id"], level="PUBLIC"
    )
    assert isinstance(found, Capability)
    assert (found.tools, found.session_id, found.call_id) == (("read_it",), said.session_id, said.task_id)
    assert (found.org_id, found.mode) == (registered["org_id"], "observe")
    assert reason(token, jwks=keys(gateway), tool="pay") == "wrong_tool"


def test_a_mandate_and_each_wrong_use_of_it(gateway: Gateway) -> None:
    agent = scoped(gateway, ["pay_*"])
    token = mandate(gateway, agent)
    where: dict[str, Any] = {"url": f"{gateway.url}/v1"}
    right: dict[str, Any] = {
        **where,
        "org": agent["org_id"],
        "agent": agent["agent_uuid"],
        "session": "s1",
        "tool": "pay_out",
        "op": "tool_call",
        "arguments": ARGUMENTS,
        "level": "PUBLIC",
    }
    found = verify_token(token, **right)
    assert found.arguments_sha256 == arguments_hash(ARGUMENTS)
    for member, value, why in [
        ("org", "00000000-0000-0000-0000-000000000000", "wrong_organisation"),
        ("agent", "another", "wrong_agent"),
        ("session", "s2", "wrong_session"),
        ("tool", "pay_in", "wrong_tool"),
        ("tool", "*", "wrong_tool"),
        ("op", "code_exec", "wrong_operation"),
        ("arguments", {**ARGUMENTS, "amount": 6}, "wrong_arguments"),
        ("arguments", {**ARGUMENTS, "amount": 2**53}, "wrong_arguments"),
        ("arguments", None, "wrong_arguments"),
        ("level", "TOP_SECRET", "level_exceeded"),
    ]:
        assert reason(token, **{**right, member: value}) == why, member
    assert reason(token, **where, now=time.time() + 66) == "expired"
    assert reason(token, **where, now=time.time() - 60) == "not_yet_valid"
    with pytest.raises(ConfigurationError, match="jwks= or url="):
        verify_token(token)
    with pytest.raises(ConfigurationError, match="SECRET"):
        verify_token(token, **where, level="SECRET")


def test_hashes_agree_with_the_gateways(gateway: Gateway) -> None:
    agent = scoped(gateway, ["pay_out"])
    for arguments in (
        {},
        {"b": 1, "a": {"z": [], "\U0001f600": "x", "\ufb33": "y"}},
        {"numbers": [1.0, 100, 1e-7, 123456789.125, 5e-324, 1.8e19, -1, 9007199254740991]},
        {"text": 'quote " back \\ tab \t \u2028 \u007f é'},
    ):
        found = verify_token(mandate(gateway, agent, arguments), jwks=keys(gateway))
        assert found.arguments_sha256 == arguments_hash(arguments), arguments


def test_a_child_is_made_and_checked(gateway: Gateway) -> None:
    agent = scoped(gateway, ["*"])
    body = {"token": mandate(gateway, agent), "level": "PUBLIC", "ttl": 9}
    child = gateway.ask("POST", "/v1/tokens/attenuate", body, agent["api_key"])
    found = verify_token(child["token"], jwks=keys(gateway), tool="pay_out", arguments=ARGUMENTS)
    assert found.parent is not None
    assert found.expires_at - found.issued_at <= 9


def encoded(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def test_no_attack_passes(gateway: Gateway) -> None:
    token = mandate(gateway, scoped(gateway, ["*"]))
    jwks = keys(gateway)
    header, claims, signature = token.split(".")
    own = jwt.get_unverified_header(token)
    said = jwt.decode(token, options={"verify_signature": False})
    theirs = Ed25519PrivateKey.generate()
    public = encoded(theirs.public_key().public_bytes_raw())
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": public, "kid": own["kid"]}
    of_ours = next(key["x"] for key in jwks["keys"] if key["kid"] == own["kid"])

    def signed(head: dict[str, Any], body: Any = said) -> str:
        text = f"{encoded({**own, **head})}.{encoded(body)}"
        return f"{text}.{encoded(theirs.sign(text.encode()))}"

    confused = f"{encoded({**own, 'alg': 'HS256'})}.{claims}"
    mac = hmac.new(base64.urlsafe_b64decode(of_ours + "="), confused.encode(), hashlib.sha256).digest()
    for attack in (
        f"{encoded({**own, 'alg': 'none'})}.{claims}.",
        f"{encoded({**own, 'alg': 'NoNe'})}.{claims}.",
        f"{header}.{claims}.",
        f"{confused}.{encoded(mac)}",
        signed({}),
        signed({"jwk": jwk}),
        signed({"jku": "https://evil.example/jwks.json"}),
        signed({"x5u": "https://evil.example/cert"}),
        signed({"crit": ["exp"]}),
        signed({"alg": "RS256"}),
        signed({"alg": "ES256"}),
        signed({"typ": "JWT"}),
        f"{header}.{encoded({**said, 'tools': ['*'], 'exp': said['exp'] + 3600})}.{signature}",
        f"{token}.{signature}",
        f"{header}.{signature}",
        "",
        "...",
        "x" * 20_000,
    ):
        assert reason(attack, jwks=jwks) == "invalid_token", attack[:80]
    assert reason(signed({"kid": "another"}), jwks=jwks) == "unknown_key"
    # What is not understood could be a limit.
    jwks["keys"].append({**jwk, "kid": "mine"})
    for more in ({"limit": 1}, {"v": 2}, {"level": "SECRET"}):
        assert reason(signed({"kid": "mine"}, {**said, **more}), jwks=jwks) == "invalid_token"
    verify_token(signed({"kid": "mine", "typ": TYPE}), jwks=jwks)


def test_a_key_that_is_rotated_in_is_found(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tappass.capability, "_FLOOR", 0.0)
    agent = scoped(gateway, ["*"])
    before = mandate(gateway, agent)
    verify_token(before, url=gateway.url)
    gateway.rotate_token_keys()
    after = mandate(gateway, agent)
    assert jwt.get_unverified_header(after)["kid"] != jwt.get_unverified_header(before)["kid"]
    for token in (before, after):
        verify_token(token, url=gateway.url)
