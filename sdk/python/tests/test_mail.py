"""Invitations and links to new passwords, mailed by a real SMTP server with STARTTLS and a login."""

from __future__ import annotations

import datetime
import email
import email.policy
import json
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import real

BASE = "https://tappass.example.com"
PASSWORD = "p%40ss/wörd with spaces"
"""Of the login at the mail server."""


@dataclass
class Inbox:
    """What the mail server has taken; it takes nothing for an address that begins with `nobody`."""

    mails: list[EmailMessage] = field(default_factory=list)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)

    async def handle_RCPT(
        self, _server: Any, _session: Any, envelope: Envelope, address: str, _options: Any
    ) -> str:
        if address.startswith("nobody"):
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        assert [mail["To"]] == envelope.rcpt_tos
        self.mails.append(mail)
        return "250 OK"

    def authenticate(
        self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, shown: Any
    ) -> AuthResult:
        assert isinstance(shown, LoginPassword)
        self.logins.append((shown.login, shown.password))
        right = (shown.login, shown.password) == (b"tappass@mail", PASSWORD.encode())
        return AuthResult(success=right)

    def next(self, to: str) -> EmailMessage:
        """The next mail, once it is there."""
        end = time.monotonic() + real.DEADLINE
        while not self.mails:
            assert time.monotonic() < end, "no mail has come"
            time.sleep(0.01)
        mail = self.mails.pop(0)
        assert (mail["To"], mail["From"]) == (to, "TapPass <gateway@example.com>")
        assert mail.get_content_type() == "text/plain", "and nothing else"
        return mail


@dataclass
class Mailing:
    """A gateway with a mail server."""

    gateway: real.Gateway
    inbox: Inbox

    def refused(self, method: str, path: str, body: Any) -> tuple[int, str]:
        data = json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.gateway.url + path, data, headers, method=method)
        with pytest.raises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(request, timeout=30)
        with raised.value as answer:
            return answer.code, json.loads(answer.read())["code"]


def certified(folder: Path) -> ssl.SSLContext:
    """A certificate for `localhost`, from an authority whose own is left in `ca.pem`."""
    now = datetime.datetime.now(datetime.timezone.utc)

    def signed(name: str, key: Any, issuer: str, by: Any, extension: Any) -> x509.Certificate:
        def named(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

        builder = x509.CertificateBuilder(named(issuer), named(name), key.public_key(), 1 + len(name))
        builder = builder.not_valid_before(now - datetime.timedelta(days=1))
        builder = builder.not_valid_after(now + datetime.timedelta(days=1))
        return builder.add_extension(extension, critical=True).sign(by, hashes.SHA256())

    authority, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = signed("Test CA", authority, "Test CA", authority, x509.BasicConstraints(ca=True, path_length=0))
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    leaf = signed("localhost", own, "Test CA", authority, names)
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(root.public_bytes(pem))
    private = own.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "own.pem").write_bytes(private + leaf.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "own.pem")
    return context


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mailing]:
    folder = tmp_path_factory.mktemp("mail")
    inbox = Inbox()
    server = Controller(
        inbox,
        hostname="localhost",
        port=real.free_port(),
        tls_context=certified(folder),
        require_starttls=True,
        authenticator=inbox.authenticate,
        auth_required=True,
    )
    server.start()
    environment = {
        "TAPPASS_SMTP_URL": f"smtp://tappass%40mail@localhost:{server.port}",
        "TAPPASS_SMTP_PASSWORD": PASSWORD,
        "TAPPASS_SMTP_FROM": "TapPass <gateway@example.com>",
        "TAPPASS_BASE_URL": BASE,
        "SSL_CERT_FILE": str(folder / "ca.pem"),
    }
    try:
        with real.running(folder, lambda: environment) as gateway:
            yield Mailing(gateway, inbox)
    finally:
        server.stop()


@pytest.fixture
def mailing(started: Mailing) -> Mailing:
    started.inbox.mails.clear()
    return started


def link(mail: EmailMessage, page: str) -> str:
    """The token behind the link to one of our pages."""
    found = re.findall(r"^(https?://\S+)\s*$", mail.get_content(), re.MULTILINE)
    assert len(found) == 1, mail.get_content()
    address, token = found[0].split("#")
    assert address == f"{BASE}/app/{page}", "where the operator says, whatever Host was"
    return str(token)


def test_an_invitation_is_mailed_and_accepted(mailing: Mailing) -> None:
    invited = {"email": "bob@example.com", "role": "auditor"}
    made = mailing.gateway.ask("POST", "/invitations", invited)
    assert (made["mailed"], "token" in made, "mail_error" in made) == (True, False, False)
    assert mailing.inbox.logins[-1] == (b"tappass@mail", PASSWORD.encode())
    mail = mailing.inbox.next("bob@example.com")
    assert 'ada@example.com invites you to join the organisation "Example"' in mail.get_content()
    body = {"token": link(mail, "invitation"), "password": "a password for bob"}
    joined = mailing.gateway.ask("POST", "/auth/invitations/accept", body)
    assert joined["user"]["role"] == "auditor"


def test_who_has_forgotten_their_password_gets_a_link(mailing: Mailing) -> None:
    mailing.gateway.ask("POST", "/invitations", {"email": "cid@example.com"})
    body = {
        "token": link(mailing.inbox.next("cid@example.com"), "invitation"),
        "password": "the first password",
    }
    mailing.gateway.ask("POST", "/auth/invitations/accept", body)
    for address in ("stranger@example.com", "no address", "CID@example.com "):
        answer = mailing.gateway.ask("POST", "/auth/password/forgotten", {"email": address})
        assert answer is None, "the same whoever asks"
    token = link(mailing.inbox.next("cid@example.com"), "reset")
    new = {"token": token, "new_password": "another password"}
    assert mailing.gateway.ask("POST", "/auth/password/reset", new) is None
    login = {"email": "cid@example.com", "password": "another password"}
    assert mailing.gateway.ask("POST", "/auth/login", login)["user"]["email"] == "cid@example.com"
    assert mailing.refused("POST", "/auth/password/reset", new) == (422, "invalid_link")
    # Three within the hour, one of which is used; then the same answer, and no mail.
    for _ in range(4):
        mailing.gateway.ask("POST", "/auth/password/forgotten", {"email": "cid@example.com"})
    for _ in range(2):
        mailing.inbox.next("cid@example.com")
    mailing.gateway.ask("POST", "/invitations", {"email": "dan@example.com"})
    mailing.inbox.next("dan@example.com")
    assert mailing.inbox.mails == []
    events = mailing.gateway.ask("GET", "/audit?event_type=config_changed&limit=100")["items"]
    asked = [event for event in events if event["details"].get("password_reset") == "asked for"]
    assert len(asked) == 3
    assert all(event["details"]["mailed"] and event["details"]["from"] for event in asked)


def test_an_admins_reset_is_mailed(mailing: Mailing) -> None:
    people = mailing.gateway.ask("GET", "/people")["items"]
    me = next(person for person in people if person["email"] == "ada@example.com")
    made = mailing.gateway.ask("POST", f"/people/{me['user_id']}/reset", {"second_factor": True})
    assert (made["mailed"], "token" in made) == (True, False)
    mail = mailing.inbox.next("ada@example.com")
    assert "removes your second factor too" in mail.get_content()
    assert link(mail, "reset").startswith("tpr_")
    shown = mailing.gateway.ask("POST", f"/people/{me['user_id']}/reset", {"mail": False})
    assert (shown["mailed"], shown["token"][:4], mailing.inbox.mails) == (False, "tpr_", [])


def test_what_the_server_does_not_take_is_told_to_the_admin_who_gets_the_link(mailing: Mailing) -> None:
    made = mailing.gateway.ask("POST", "/invitations", {"email": "nobody@example.com"})
    assert made["mailed"] is False
    assert "550" in made["mail_error"]
    assert "no such mailbox" in made["mail_error"]
    body = {"token": made["token"], "password": "a password for nobody"}
    assert mailing.gateway.ask("POST", "/auth/invitations/accept", body)["user"]["role"] == "member"


def test_words_of_whoever_invites_make_no_headers(mailing: Mailing) -> None:
    name = "Grüße: \u202eevil\u202c " + "very " * 15 + "long"
    account = {"email": "eve@example.org", "password": "correct horse battery", "org_name": name}
    token = mailing.gateway.ask("POST", "/auth/signup", account)["session"]["token"]
    mailing.gateway.ask("POST", "/invitations", {"email": "fay@example.org"}, token=token)
    mail = mailing.inbox.next("fay@example.org")
    assert mail["Subject"] == "An invitation to TapPass"
    assert "Grüße" in mail.get_content()
    assert "\u202e" not in mail.get_content()
    assert link(mail, "invitation").startswith("tpi_")
