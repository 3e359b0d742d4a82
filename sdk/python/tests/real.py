"""A real gateway: the program of this workspace, a fresh data directory, an organisation of its own.

The built-in model answers without a network; what is sent to ``gpt-…`` and ``claude-…`` goes to a stand-in
for the provider, which keeps what it received.
"""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import double

ROOT = Path(__file__).resolve().parents[3]
ADMIN_KEY = "admin-of-the-tests-Zk4WvT9rQx2LmB7cYd1H"
DEADLINE = 60.0
"""Seconds until a start that has not succeeded is a failure."""


@dataclass
class Gateway:
    """A running one."""

    url: str
    provider: double.Double
    token: str = ""
    names: Iterator[int] = field(default_factory=itertools.count)

    def ask(self, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
        """One request to the management routes, as the administrator."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        if token or self.token:
            headers["Authorization"] = f"Bearer {token or self.token}"
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from None

    def register(self, mode: str = "observe", **more: Any) -> dict[str, Any]:
        """A new agent, with its key."""
        agent: dict[str, Any] = self.ask(
            "POST", "/agents/register", {"agent_id": f"agent-{next(self.names)}", "mode": mode, **more}
        )
        return agent

    def rotate_token_keys(self) -> None:
        """As the holder of the admin key."""
        self.ask("POST", "/admin/token-keys/rotate", token=ADMIN_KEY)

    def events(self, agent: dict[str, Any]) -> list[dict[str, Any]]:
        """What the audit log has of an agent's model calls, the newest first."""
        page = self.ask("GET", f"/audit?agent_id={agent['agent_id']}&limit=100")
        return [event for event in page["items"] if event["event_type"].startswith("llm_call")]


def program() -> Path:
    """The program of this workspace, built in the tests' profile if it is not."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    subprocess.run(["cargo", "build", "--locked", "--quiet", "-p", "tappass"], cwd=ROOT, check=True)
    return target / "debug" / "tappass"


@contextmanager
def running(folder: Path, more: Callable[[], dict[str, str]] = dict) -> Iterator[Gateway]:
    """A gateway on a free port, stopped at the end; with more of the environment, asked for each try."""
    binary = program()
    with double.running() as provider:
        for attempt in range(3):  # a free port may be taken by another before the gateway has it
            port = free_port()
            log = folder / f"log-{attempt}"
            environment = {
                "PATH": os.environ["PATH"],
                "HOME": str(folder),
                "TAPPASS_DATA_DIR": str(folder / "data"),
                "OPENAI_BASE_URL": f"{provider.url}/v1",
                "OPENAI_API_KEY": "sk-of-the-provider",
                "ANTHROPIC_BASE_URL": provider.url,
                "ANTHROPIC_API_KEY": "ant-of-the-provider",
                "TAPPASS_ADMIN_API_KEY": ADMIN_KEY,
                "TAPPASS_LICENSE": (ROOT / "tests/license/license.txt").read_text().strip(),
                "TAPPASS_LICENSE_PUBLIC_KEY": (ROOT / "tests/license/public-key.txt").read_text().strip(),
                "TAPPASS_EGRESS_ALLOW": "127.0.0.1",
                **more(),
            }
            command = [str(binary), "up", "--defaults", "--storage", "memory", "--port", str(port)]
            with log.open("wb") as out:
                process = subprocess.Popen(command, env=environment, stdout=out, stderr=out, cwd=folder)
            gateway = Gateway(f"http://127.0.0.1:{port}", provider)
            if ready(gateway, process):
                break
        else:
            raise AssertionError(f"the gateway does not start:\n{log.read_text()}")
        try:
            account = {"email": "ada@example.com", "password": "correct horse battery", "org_name": "Example"}
            gateway.token = gateway.ask("POST", "/auth/signup", account)["session"]["token"]
            yield gateway
        finally:
            process.terminate()
            assert process.wait(timeout=DEADLINE) == 0, log.read_text()


def free_port() -> int:
    """A port that no one listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ready(gateway: Gateway, process: subprocess.Popen[bytes]) -> bool:
    """Waits until it is, or has ended."""
    end = time.monotonic() + DEADLINE
    while process.poll() is None and time.monotonic() < end:
        try:
            gateway.ask("GET", "/health/ready")
        except (AssertionError, OSError):
            time.sleep(0.02)
        else:
            return True
    return False
