"""The agent's settings: address, key, flags, environment."""

from __future__ import annotations

import pytest

from tappass import Agent, AsyncAgent, ConfigurationError, TapPassError
from tappass.flags import check, header, parse


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("https://gw.internal", "https://gw.internal/v1/"),
        ("https://gw.internal/", "https://gw.internal/v1/"),
        ("https://gw.internal/v1", "https://gw.internal/v1/"),
        (" https://gw.internal/v1/ ", "https://gw.internal/v1/"),
        ("https://gw.internal/v1/v1//", "https://gw.internal/v1/"),
        ("http://127.0.0.1:9620", "http://127.0.0.1:9620/v1/"),
        ("https://proxy.internal/tappass/v1", "https://proxy.internal/tappass/v1/"),
    ],
)
def test_any_spelling_of_the_address_is_the_same(given: str, used: str) -> None:
    assert str(Agent(given, api_key="tp_1").base_url) == used
    assert str(AsyncAgent(given, api_key="tp_1").base_url) == used


@pytest.mark.parametrize(
    "given", ["gw.internal", "ftp://gw", "https://", "https://user:pw@gw", "https://gw/v1?x=1", ""]
)
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(ConfigurationError):
        Agent(given, api_key="tp_1")


def test_the_environment_fills_what_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPPASS_URL", "http://127.0.0.1:9620")
    monkeypatch.setenv("TAPPASS_API_KEY", "tp_env")
    monkeypatch.setenv("TAPPASS_FLAGS", "pii=mask, mode=observe")
    monkeypatch.setenv("TAPPASS_AGENT_ID", "claims")
    monkeypatch.setenv("TAPPASS_SESSION_ID", "s-1")
    agent = Agent(flags={"mode": "enforce"})
    assert (agent.api_key, agent.settings.name) == ("tp_env", "claims")
    assert agent.default_headers["X-TapPass-Flags"] == "pii=mask, mode=enforce"
    assert agent.default_headers["X-TapPass-Session"] == "s-1"


def test_the_providers_key_is_never_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-provider")
    with pytest.raises(ConfigurationError, match="TAPPASS_API_KEY"):
        Agent("https://gw")
    with pytest.raises(ConfigurationError, match="TAPPASS_API_KEY"):
        AsyncAgent("https://gw")


def test_the_key_is_not_shown() -> None:
    agent = Agent("https://gw", name="claims", api_key="tp_secret")
    assert repr(agent) == "Agent('https://gw/v1', name='claims')"
    assert "tp_secret" not in repr(agent.settings)


def test_a_copy_keeps_and_changes_flags() -> None:
    agent = Agent("https://gw", name="claims", api_key="tp_1", flags={"pii": "mask", "mode": "observe"})
    other = agent.with_options(flags={"mode": "enforce"}, end_user="u-1", max_retries=0)
    assert isinstance(other, Agent)
    assert (other.settings.name, other.max_retries, other.api_key) == ("claims", 0, "tp_1")
    assert other.default_headers["X-TapPass-Flags"] == "pii=mask, mode=enforce"
    assert other.default_headers["X-TapPass-User"] == "u-1"
    assert agent.default_headers["X-TapPass-Flags"] == "pii=mask, mode=observe"


def test_the_name_goes_into_the_user_agent() -> None:
    agent = Agent("https://gw", name="Schäden\n1", api_key="tp_1")
    assert agent.user_agent.startswith("tappass-python/")
    assert "(Sch%C3%A4den%0A1)" in agent.user_agent


@pytest.mark.parametrize(
    "text",
    [
        "mode=observe, pii=mask",
        "tools=allowlist:a:b",
        "budget=custom:0.5:10",
        "email=mirror:a@b.eu",
        "db=block",
    ],
)
def test_flags_round_trip(text: str) -> None:
    assert header(parse(text)) == text


def test_a_flag_of_a_newer_gateway_is_passed_on() -> None:
    assert check({"region": "eu"}) == {"region": "eu"}


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"mode": "strict"}, "observe, warn, enforce, lockdown"),
        ({"pii": "mask:x"}, "mask, block"),
        ({"tools": "allowlist"}, "allowlist:…"),
        ({"tools": "allowlist:"}, "allowlist:…"),
        ({"mode": "observe, pii=off"}, "cannot carry"),
        ({"mode": "observe\r\nX-Other: 1"}, "cannot carry"),
        ({"pii": True}, "not a text"),
        ({"pii": ""}, "not a text"),
    ],
)
def test_what_could_never_be_right_is_refused(flags: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        check(flags)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, TapPassError)


@pytest.mark.parametrize(("text", "says"), [("mode", "key=value"), ("pii=off,pii=mask", "twice")])
def test_a_wrong_environment_is_refused(text: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPPASS_FLAGS", text)
    with pytest.raises(ConfigurationError, match=says):
        Agent("https://gw", api_key="tp_1")


def test_a_header_that_cannot_be_sent_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="X-TapPass-Session"):
        Agent("https://gw", api_key="tp_1", session_id="a\nb")
