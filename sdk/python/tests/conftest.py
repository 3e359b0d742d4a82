"""What the tests stand on: no settings from outside, a stand-in, a real gateway."""

from __future__ import annotations

import os
from collections.abc import Iterator

import double as stand_in
import pytest


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("TAPPASS_", "OPENAI_")):
            monkeypatch.delenv(name)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def double() -> Iterator[stand_in.Double]:
    with stand_in.running() as running:
        yield running
