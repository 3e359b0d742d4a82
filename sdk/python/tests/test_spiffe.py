"""SPIFFE, with clients that are not ours.

The stand-in for SPIRE against the spiffe package; and Python's TLS, with what that package fetched, against a
real gateway.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from spiffe import TrustDomain, WorkloadApiClient
from spiffe._proto import workload_pb2, workload_pb2_grpc
from spiffe.workloadapi.errors import FetchJwtSvidError, FetchX509SvidError, ValidateJwtSvidError
from spiffe.workloadapi.x509_context import X509Context

import real

DOMAIN = TrustDomain("corp.example")
HELLO = {"model": "builtin", "messages": [{"role": "user", "content": "hello"}]}


@dataclass
class Spire:
    """The stand-in, as a process."""

    address: str
    process: subprocess.Popen[str]

    def tell(self, command: str = "") -> None:
        """Has it do something, and waits until it is done."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if command:
            self.process.stdin.write(command + "\n")
            self.process.stdin.flush()
        assert self.process.stdout.readline() == "ok\n", command

    def client(self) -> WorkloadApiClient:
        return WorkloadApiClient(self.address)


@contextmanager
def running(folder: Path) -> Iterator[Spire]:
    build = ["cargo", "build", "--locked", "--quiet", "-p", "tappass-testkit", "--example", "workload_api"]
    subprocess.run(build, cwd=real.ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", real.ROOT / "target"))
    socket = folder / "agent.sock"
    command = [str(target / "debug" / "examples" / "workload_api"), str(socket)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        spire = Spire(f"unix://{socket}", process)
        spire.tell()
        try:
            yield spire
        finally:
            process.kill()


@pytest.fixture(autouse=True)
def _authority(monkeypatch: pytest.MonkeyPatch) -> None:
    """gRPC's C core sends a socket's path as the authority; SPIRE takes that, hyper's HTTP/2 does not."""
    options = (("grpc.default_authority", "localhost"),)
    monkeypatch.setattr(grpc, "insecure_channel", partial(grpc.insecure_channel, options=options))


@pytest.fixture
def spire(tmp_path: Path) -> Iterator[Spire]:
    with running(tmp_path) as started:
        yield started


def test_it_gives_what_it_should(spire: Spire) -> None:
    spire.tell("federate partner.example")
    with spire.client() as client:
        svid = client.fetch_x509_svid()
        assert str(svid.spiffe_id) == "spiffe://corp.example/tappass"
        context = client.fetch_x509_context()
        assert context.default_svid.leaf.subject == svid.leaf.subject
        assert len(client.fetch_x509_bundles().bundles) == 2
        assert len(client.fetch_jwt_bundles().bundles) == 2
        token = client.fetch_jwt_svid(audience={"here", "there"})
        assert token.audience == {"here", "there"}
        checked = client.validate_jwt_svid(token.token, "there")
        assert str(checked.spiffe_id) == "spiffe://corp.example/tappass"


def test_it_refuses_what_spire_refuses(spire: Spire) -> None:
    with spire.client() as client:
        token = client.fetch_jwt_svid(audience={"here"}).token
        with pytest.raises(ValidateJwtSvidError):
            client.validate_jwt_svid(token, "elsewhere")
        with pytest.raises(ValidateJwtSvidError):
            client.validate_jwt_svid(token[:-8] + "AAAAAAAA", "here")
        spire.tell("entry")
        with pytest.raises(FetchX509SvidError):
            client.fetch_x509_svid()
        with pytest.raises(FetchJwtSvidError):
            client.fetch_jwt_svid(audience={"here"})


def test_it_refuses_who_does_not_keep_to_the_protocol(spire: Spire) -> None:
    said = (("workload.spiffe.io", "true"),)
    with grpc.insecure_channel(spire.address) as channel:
        stub = workload_pb2_grpc.SpiffeWorkloadAPIStub(channel)  # type: ignore[no-untyped-call]

        def refused(call: Any) -> grpc.StatusCode:
            with pytest.raises(grpc.RpcError) as refusal:
                call()
            code: grpc.StatusCode = refusal.value.code()
            return code

        for metadata in ((), (("workload.spiffe.io", "false"),)):
            x509 = workload_pb2.X509SVIDRequest()
            code = refused(lambda x=x509, m=metadata: next(stub.FetchX509SVID(x, metadata=m)))
            assert code == grpc.StatusCode.INVALID_ARGUMENT
        nobody = workload_pb2.JWTSVIDRequest(audience=[])
        code = refused(lambda: stub.FetchJWTSVID(nobody, metadata=said))
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        empty = workload_pb2.ValidateJWTSVIDRequest(audience="", svid="x")
        code = refused(lambda: stub.ValidateJWTSVID(empty, metadata=said))
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        spire.tell("entry")
        x509 = workload_pb2.X509SVIDRequest()
        code = refused(lambda: next(stub.FetchX509SVID(x509, metadata=said)))
        assert code == grpc.StatusCode.PERMISSION_DENIED


def test_it_rotates_while_somebody_watches(spire: Spire) -> None:
    seen: list[X509Context] = []
    more = threading.Event()

    def updated(context: X509Context) -> None:
        seen.append(context)
        more.set()

    def bundle() -> int:
        assert more.wait(real.DEADLINE)
        more.clear()
        found = seen[-1].x509_bundle_set.get_bundle_for_trust_domain(DOMAIN)
        assert found is not None
        return len(found.x509_authorities)

    with spire.client() as client:
        watching = client.stream_x509_contexts(updated, print)
        assert bundle() == 1
        spire.tell("rotate")
        assert bundle() == 2
        spire.tell("drop")
        assert bundle() == 1
        assert seen[0].default_svid.leaf != seen[-1].default_svid.leaf
        watching.cancel()


@contextmanager
def gateway(folder: Path, spire: Spire) -> Iterator[tuple[real.Gateway, int]]:
    ports = []

    def environment() -> dict[str, str]:
        ports.append(real.free_port())
        return {
            "SPIFFE_ENDPOINT_SOCKET": spire.address,
            "TAPPASS_MTLS_PORT": str(ports[-1]),
            "TAPPASS_BASE_URL": "https://tappass.example",
        }

    with real.running(folder, environment) as started:
        end = time.monotonic() + real.DEADLINE
        while started.ask("GET", "/health/ready")["checks"]["spire"] != "ok":
            assert time.monotonic() < end, "the gateway gets no SVID"
            time.sleep(0.05)
        yield started, ports[-1]


def test_a_workload_reaches_the_gateway_with_its_svids(tmp_path: Path, spire: Spire) -> None:
    with gateway(tmp_path, spire) as (started, port), spire.client() as client:
        agent = started.register()
        # The stand-in has one workload for all who ask: for a moment it is the agent.
        spire.tell(f"entry /agent/{agent['org_id']}/{agent['agent_id']}")
        svid, bundles = client.fetch_x509_svid(), client.fetch_x509_bundles()
        token = client.fetch_jwt_svid(audience={"https://tappass.example"}).token
        stranger = client.fetch_jwt_svid(audience={"https://other.example"}).token
        spire.tell("entry /tappass")

        assert started.ask("POST", "/v1/chat/completions", HELLO, token=token)["choices"]
        with pytest.raises(AssertionError, match="401"):
            started.ask("POST", "/v1/chat/completions", HELLO, token=stranger)

        svid.save(str(tmp_path / "svid.pem"), str(tmp_path / "key.pem"), Encoding.PEM)
        bundle = bundles.get_bundle_for_trust_domain(DOMAIN)
        assert bundle is not None
        authorities = b"".join(a.public_bytes(Encoding.DER) for a in bundle.x509_authorities)

        def call(certificate: bool) -> int:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.load_verify_locations(cadata=authorities)
            if certificate:
                context.load_cert_chain(tmp_path / "svid.pem", tmp_path / "key.pem")
            connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=30)
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/v1/chat/completions", json.dumps(HELLO), headers)
            return connection.getresponse().status

        assert call(certificate=True) == 200
        with pytest.raises((ssl.SSLError, OSError, http.client.HTTPException)):
            call(certificate=False)
        used = [event["details"]["authentication"] for event in started.events(agent)]
        spiffe_id = str(svid.spiffe_id)
        assert used == [{"method": way, "spiffe_id": spiffe_id} for way in ("x509_svid", "jwt_svid")]
