"""The MCP gateway with a real server behind it, and the protocol's own client before it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CreateMessageResult, ElicitResult, TextContent

import real

EMAIL = "jan.peeters@acme.eu"
MASKING = {
    "preset": "standard",
    "overrides": {"pii_tokenize": {"enabled": False}, "detect_pii": {"on_detection": "redact"}},
}

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    """The address of a server of its own."""
    port = real.free_port()
    command = [sys.executable, str(Path(__file__).with_name("mcp_server.py")), str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + real.DEADLINE
    try:
        while time.monotonic() < end and process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        process.wait(timeout=real.DEADLINE)


@pytest.fixture(params=["legacy", "auto"])
def mode(request: pytest.FixtureRequest) -> str:
    """With a session that `initialize` begins, and the newest revision, which has none."""
    return str(request.param)


class Desk:
    """An enforced agent, with a server of its own name in the gateway."""

    def __init__(self, gateway: real.Gateway, upstream: str) -> None:
        self.gateway = gateway
        gateway.ask("PUT", "/pipelines/masking", MASKING)
        self.agent = gateway.register(mode="enforce", floor="enforce", preset="masking")
        self.name = f"tickets-{self.agent['agent_id']}"
        gateway.ask("POST", "/admin/mcp/servers", {"name": self.name, "url": upstream})

    @contextlib.asynccontextmanager
    async def client(self, mode: str, **more: Any) -> AsyncIterator[Client]:
        """The protocol's own client; only the address and the key are ours."""
        headers = {"Authorization": f"Bearer {self.agent['api_key']}"}
        url = f"{self.gateway.url}/mcp/{self.name}"
        async with httpx2.AsyncClient(headers=headers, timeout=real.DEADLINE) as http:
            transport = streamable_http_client(url, http_client=http)
            async with Client(transport, mode=mode, cache=None, **more) as client:
                yield client

    def tools(self) -> list[dict[str, Any]]:
        """What the gateway knows of the server's tools."""
        known: list[dict[str, Any]] = self.gateway.ask("GET", f"/admin/mcp/servers/{self.name}/tools")[
            "items"
        ]
        return known


@pytest.fixture
def desk(gateway: real.Gateway, upstream: str) -> Desk:
    return Desk(gateway, upstream)


def text(result: Any) -> str:
    """The text of a result."""
    return "".join(part.text for part in result.content if isinstance(part, TextContent))


async def test_tools_are_listed_and_called(desk: Desk, mode: str) -> None:
    async with desk.client(mode) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert {"add", "ticket", "echo", "picture"} <= names
        added = await client.call_tool("add", {"a": 2, "b": 3})
        assert text(added) == "5"
        assert added.structured_content == {"result": 5}
        drawn = await client.call_tool("picture", {})
        assert drawn.content[0].type == "image"
        unknown = await client.call_tool("nothing", {})
        assert unknown.is_error


async def test_what_must_be_masked_is_masked_in_both_directions(desk: Desk, mode: str) -> None:
    async with desk.client(mode) as client:
        read = await client.call_tool("ticket", {"number": 7})
        assert EMAIL not in repr(read)
        assert read.structured_content == {"number": 7, "mail": "[EMAIL]"}
        said = await client.call_tool("echo", {"text": f"mail {EMAIL}"})
        assert text(said) == "mail [EMAIL]"
        note = await client.read_resource("note://second")
        assert "[EMAIL]" in repr(note)
        assert EMAIL not in repr(note)
        greeting = await client.get_prompt("greet", {"name": "Ada"})
        assert "[EMAIL]" in repr(greeting)
        assert EMAIL not in repr(greeting)
        listed = await client.list_resources()
        assert EMAIL not in repr(listed)
        await client.list_resource_templates()
        await client.list_prompts()


async def test_a_block_is_a_result_that_the_model_can_read(desk: Desk, mode: str) -> None:
    async with desk.client(mode) as client:
        stopped = await client.call_tool("hijack", {})
        assert stopped.is_error
        assert "Blocked by" in text(stopped)
        assert "verbatim" not in text(stopped)
        assert stopped.meta is not None
        assert stopped.meta["tappass"]["decision"] == "policy_block"
        # The session goes on.
        assert text(await client.call_tool("add", {"a": 1, "b": 1})) == "2"


async def test_progress_and_questions_are_governed_on_their_way(desk: Desk, mode: str) -> None:
    seen: list[str] = []

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        seen.append(message or "")

    async def elicit(context: Any, params: Any) -> ElicitResult:
        seen.append(params.message)
        return ElicitResult(action="accept", content={"mail": EMAIL})

    async def sample(context: Any, params: Any) -> CreateMessageResult:
        seen.append(params.messages[0].content.text)
        said = TextContent(type="text", text=f"to {EMAIL}")
        return CreateMessageResult(role="assistant", content=said, model="m")

    async with desk.client(mode, elicitation_callback=elicit, sampling_callback=sample) as client:
        assert text(await client.call_tool("count", {"to": 3}, progress_callback=progress)) == "done"
        if mode == "legacy":  # the newest revision asks in another way, which this server does not use
            assert text(await client.call_tool("ask_user", {})) == "accept: [EMAIL]"
            assert text(await client.call_tool("ask_model", {})) == "the model says to [EMAIL]"
            assert len(seen) == 5
    assert seen
    assert all("[EMAIL]" in said and EMAIL not in said for said in seen)


async def test_a_definition_that_changes_is_in_quarantine_until_it_is_approved(desk: Desk, mode: str) -> None:
    async with desk.client(mode) as client:
        await client.call_tool("rename", {"description": "Says what it was told."})
        assert "echo" in {tool.name for tool in (await client.list_tools()).tools}
        await client.call_tool("rename", {"description": f"Says what it was told, once more ({mode})."})
        assert "echo" not in {tool.name for tool in (await client.list_tools()).tools}
        refused = await client.call_tool("echo", {"text": "hello"})
        assert refused.is_error
        assert "has changed since it was first seen" in text(refused)
        changed = next(tool["changed"] for tool in desk.tools() if tool["tool"] == "echo")
        assert changed["differences"] == [
            {
                "at": "/description",
                "was": "Says what it was told.",
                "now": f"Says what it was told, once more ({mode}).",
            }
        ]
        approve = f"/admin/mcp/servers/{desk.name}/definitions/{changed['hash']}/approve"
        desk.gateway.ask("POST", approve, {})
        assert "echo" in {tool.name for tool in (await client.list_tools()).tools}
        assert text(await client.call_tool("echo", {"text": "hello"})) == "hello"
        await client.call_tool("rename", {"description": "Says what it was told."})


async def test_a_person_approves_and_the_same_call_passes_once(desk: Desk, mode: str) -> None:
    asks = {"preset": "standard", "overrides": {"policy": {"require_human_approval": [{"tool": "add"}]}}}
    desk.gateway.ask("PUT", f"/pipelines/asks-{mode}", asks)
    desk.gateway.ask("PATCH", f"/agents/{desk.agent['agent_id']}", {"pipeline": f"asks-{mode}"})
    async with desk.client(mode) as client:
        waits = await client.call_tool("add", {"a": 2, "b": 2})
        assert waits.is_error
        assert "approval" in text(waits)
        assert waits.meta is not None
        approval = waits.meta["tappass"]["approval_id"]
        desk.gateway.ask("POST", f"/admin/approvals/{approval}/decide", {"decision": "approve"})
        assert text(await client.call_tool("add", {"a": 2, "b": 2})) == "4"
        assert (await client.call_tool("add", {"a": 2, "b": 2})).is_error


async def test_a_server_that_is_away_is_told(desk: Desk, mode: str) -> None:
    async with desk.client(mode) as client:
        away = {"url": f"http://127.0.0.1:{real.free_port()}/mcp"}
        desk.gateway.ask("PATCH", f"/admin/mcp/servers/{desk.name}", away)
        with pytest.raises(MCPError, match="cannot be reached"):
            await client.call_tool("add", {"a": 1, "b": 1})
