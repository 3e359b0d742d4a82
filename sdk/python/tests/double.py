"""A stand-in for the gateway, for answers that a real one cannot be made to give on demand.

It plays the answers it was given, in order, and keeps the requests. Everything else is tested against
the real program.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answer:
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    events: list[Any] | None = None
    """Sent as a stream instead of ``body``."""
    cut: bool = False
    """The connection ends before the stream does."""
    stall: bool = False
    """After the events nothing more comes, until the client has left."""
    hold: threading.Event | None = None
    """Nothing is answered before it is set."""


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: Any


class Double:
    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[Request] = []
        self.left = threading.Event()
        """A client has left an answer that stalled."""
        self.url = ""

    def will(self, *answers: Answer) -> None:
        self.answers.extend(answers)


@contextmanager
def running() -> Iterator[Double]:
    double = Double()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            double.requests.append(Request(self.path, headers, json.loads(body)))
            nothing = Answer(400, {"error": {"message": "no answer was prepared"}})
            answer = double.answers.pop(0) if double.answers else nothing
            if answer.hold:
                answer.hold.wait(30)
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.events is None:
                payload = json.dumps(answer.body).encode()
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)
                return
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for event in answer.events:
                self.chunk(f"data: {json.dumps(event)}\n\n")
            if answer.stall:
                self.rfile.read(1)
                double.left.set()
                self.close_connection = True
                return
            if answer.cut:
                self.close_connection = True
                return
            # In one write: a client may leave once it has read [DONE].
            self.chunk("data: [DONE]\n\n", end=b"0\r\n\r\n")

        def chunk(self, text: str, end: bytes = b"") -> None:
            data = text.encode()
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n" + end)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    double.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield double
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def completion(text: str = "ok", **tappass: Any) -> dict[str, Any]:
    """A chat completion as the gateway answers it."""
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}},
        ],
        "tappass": {"blocked": False, "mode": "enforce", **tappass},
    }


def chunk(text: str = "", finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk of a streamed one."""
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}],
        "content": text,
        **more,
    }


def decision(decision: str, **more: Any) -> Answer:
    """A refusal as the gateway words it."""
    body = {
        "decision": decision,
        "reason": "because",
        "message": "This call was refused.",
        "classification": "CONFIDENTIAL",
        "details": {"findings": [{"kind": "EMAIL", "sample": "a…@b…"}]},
        "session_id": "s1",
        "task_id": "t1",
        "agent_uuid": "a1",
        "pipeline_uuid": "p1",
        "audit_url": "/audit/e1",
        "error": {"message": "This call was refused.", "type": decision, "code": decision, "param": None},
        "tappass": {"blocked": True, "mode": "enforce"},
        **more,
    }
    return Answer(403, body, {"x-should-retry": "false", "x-request-id": "r1"})
