"""What the tests stand on: no settings from outside, a stand-in, a real gateway."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

import double as stand_in
import real


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("TAPPASS_", "OPENAI_", "ANTHROPIC_")):
            monkeypatch.delenv(name)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def double() -> Iterator[stand_in.Double]:
    with stand_in.running() as running:
        yield running


@pytest.fixture(scope="session")
def _gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[real.Gateway]:
    with real.running(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture
def gateway(_gateway: real.Gateway) -> real.Gateway:
    """The gateway, with a provider that has seen nothing yet."""
    _gateway.provider.requests.clear()
    _gateway.provider.answers.clear()
    return _gateway
