"""The HTTP API is what `docs/reference/openapi.json` says: every route, called with requests made from it.

They are the same each time (hypothesis, derandomised), a few for each route, right and wrong. Looked for: an
answer with 500, a content type or a body that the document does not know, a route that hangs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

import real

LEFT_OUT = {
    # They end the session that all requests here rest on.
    "/auth/logout",
    "/auth/refresh",
    "/auth/switch-org",
    "/auth/password",
    "/auth/sessions",
    "/auth/sessions/{session}",
    # It has no end.
    "/audit/stream",
}

FEW = hypothesis.settings(
    max_examples=4,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)


def operations() -> list[Any]:
    document = schemathesis.openapi.from_path(real.ROOT / "docs" / "reference" / "openapi.json")
    results: list[Any] = list(document.get_all_operations())
    found = [result.ok() for result in results]
    return [operation for operation in found if operation.path not in LEFT_OUT]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, str]]:
    """A gateway that nothing else uses: its address, a person's token, an agent's key."""
    with real.running(tmp_path_factory.mktemp("contract")) as gateway:
        yield gateway.url, gateway.token, gateway.register()["api_key"]


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("operation", operations(), ids=lambda operation: operation.label)
def test_every_route_answers_as_documented(
    operation: Any, mode: schemathesis.GenerationMode, alone: tuple[str, str, str]
) -> None:
    url, token, key = alone
    agent = "agent_key" in str(operation.definition.raw.get("security"))
    headers = {"Authorization": f"Bearer {key if agent else token}"}

    @FEW
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def answers(case: Any) -> None:
        answer = case.call(base_url=url, headers=headers, timeout=real.DEADLINE, allow_redirects=False)
        assert answer.status_code != 500, answer.text
        case.validate_response(answer, checks=[content_type_conformance, response_schema_conformance])

    # Some routes take nothing that could be wrong.
    with contextlib.suppress(hypothesis.errors.Unsatisfiable):
        answers()
