"""E-mail to a real server over STARTTLS and TLS: readable, with short errors."""

import email
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from email import policy
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope

from heliograph_collector.alerting.email import OutgoingMail, SmtpSender, build_mail
from heliograph_collector.alerting.http_client import DeliveryError
from heliograph_collector.alerting.incident_alerts import collect_alerts
from heliograph_collector.alerting.message import Message
from heliograph_collector.config import outgoing_http
from heliograph_collector.config.receivers import Receiver, ReceiverKind
from support.fake_feed import NOW_US, published
from support.incident_book import book, silence
from support.loopback_ca import LoopbackCA
from support.ports import free_port, refusing_port
from support.receivers import Rebinding

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS"),
]
ALERT = collect_alerts(book(silence()), book(silence()).entries, published({}))[1]
LETTER = Message(id="msg_7", alerts=[ALERT])


class Box:
    def __init__(self) -> None:
        self.came: list[Envelope] = []
        self.refuses = ""

    async def handle_DATA(self, server: Any, session: Any, letter: Envelope) -> str:  # noqa: N802 -- its library's word
        if self.refuses:
            return self.refuses
        self.came.append(letter)
        return "250 taken"


@contextmanager
def server(box: Box, context: ssl.SSLContext, *, starttls: bool) -> Iterator[int]:
    class Here(Controller):
        def factory(self) -> SMTP:
            def check(*args: Any) -> AuthResult:
                return AuthResult(success=args[4].password == b"right", handled=False)

            return SMTP(  # over TLS from the first byte it knows of no TLS to require
                box, hostname="localhost", tls_context=context if starttls else None,
                require_starttls=starttls, auth_required=True, auth_require_tls=starttls,
                authenticator=check,
            )  # fmt: skip

    port = free_port()
    running = Here(box, "127.0.0.1", port, ssl_context=None if starttls else context)
    running.start()
    try:
        yield port
    finally:
        running.stop()


def to(port: int, scheme: str) -> Receiver:
    return Receiver(
        name="desk", kind=ReceiverKind.EMAIL, url=f"{scheme}://127.0.0.1:{port}", user="sun",
        sender="sun@example.org", to=("night@example.org", "day@example.org"),
    )  # fmt: skip


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_a_letter_over_tls(scheme: str, tmp_path: Path) -> None:
    ca, box = LoopbackCA(tmp_path), Box()
    post = SmtpSender(ssl.create_default_context(cafile=ca.ca_file), 15)
    with server(box, ca.leaf("127.0.0.1").server_context(), starttls=scheme == "smtp") as port:

        def one(secret: str) -> Any:
            return build_mail(
                to(port, scheme), secret, LETTER, is_quiet=False, base="https://sun.example.org",
                now_us=NOW_US,
            )  # fmt: skip

        assert (await post.send_mail(one("right"))).summary == "taken for delivery"
        with pytest.raises(DeliveryError, match="does not know the user and password"):
            await post.send_mail(one("wrong"))
        with pytest.raises(DeliveryError, match="certificate"):
            await SmtpSender().send_mail(one("right"))
        box.refuses = "451 greylisted, come again"
        with pytest.raises(DeliveryError, match="answered 451"):
            await post.send_mail(one("right"))
    (came,) = box.came
    assert came.rcpt_tos == ["night@example.org", "day@example.org"]
    assert isinstance(came.content, bytes)
    letter = email.message_from_bytes(came.content, policy=policy.default)
    assert letter["Message-ID"] == "<msg_7@example.org>"
    assert letter["References"] == f"<incident-{'5e1f' * 4}@example.org>"
    assert letter["Importance"] == "high"
    body = letter.get_content().replace("\r\n", "\n")
    subject = letter["Subject"].strip()  # folded at once: RFC 5322, 2.2.3, leaves a space
    assert (body.splitlines()[0], body) == (subject, EXPECTED)


EXPECTED = """\
Kazakhstan went offline about 13:13 UTC on 5 January 2022; still offline.

State: confirmed. How sure: high confidence (0.9 of 1): 20\N{EN DASH}49 vantage points in 3 networks, all of them silent.

Entry 2 of the log, 2022-01-05T13:14:20Z.

https://sun.example.org/incidents/5e1f5e1f5e1f5e1f

--\N{SPACE}
Heliograph tells from volunteers' machines whether the Internet around them works.
Every alert is an entry of a signed log that anybody can verify: https://sun.example.org/api/v1/log
"""  # noqa: E501 -- a letter as it is read


async def test_nobody_is_there(tmp_path: Path) -> None:
    one = build_mail(to(free_port(), "smtp"), "", LETTER, is_quiet=True, base="", now_us=NOW_US)
    assert one.message["Importance"] is None
    with pytest.raises(DeliveryError, match="no connection"):
        await SmtpSender().send_mail(one)


def letter(url: str, *, private: bool = False) -> OutgoingMail:
    receiver = replace(to(1, "smtp"), url=url, private=private)
    return build_mail(receiver, "", LETTER, is_quiet=False, base="", now_us=NOW_US)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("10.0.0.5", ""),
        ("169.254.169.254", ""),
        ("[::ffff:127.0.0.1]", ""),
        ("2130706433", ""),
        ("mail.example", "127.0.0.1"),
        ("mail.example", "192.168.1.1"),
    ],
)
async def test_mail_goes_into_no_private_network(host: str, address: str) -> None:
    """Mail goes into no private network, by address in any form, or by name."""
    sender = SmtpSender(resolver=Rebinding(address) if address else None)
    with pytest.raises(DeliveryError, match="no public address; `private: true` would allow it"):
        await sender.send_mail(letter(f"smtp://{host}:25"))


async def test_a_mail_server_s_name_is_resolved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mail server's name is resolved once, and the checked address is used."""
    monkeypatch.setattr(outgoing_http, "is_public", lambda host: host == "127.0.0.2")
    with refusing_port() as port:
        rebinding = Rebinding("127.0.0.2", "127.0.0.1")
        with pytest.raises(DeliveryError, match="no connection"):
            await SmtpSender(resolver=rebinding).send_mail(letter(f"smtp://mail.example:{port}"))
    assert rebinding.asked == 1


@pytest.mark.parametrize("host", ["localhost", "mail.internal.example"])
async def test_a_private_mail_server_is_used_where_configured(host: str, tmp_path: Path) -> None:
    """Loopback by its own name, anything else by `private: true`."""
    ca, box = LoopbackCA(tmp_path), Box()
    sender = SmtpSender(
        ssl.create_default_context(cafile=ca.ca_file), 15, resolver=Rebinding("127.0.0.1")
    )
    with server(box, ca.leaf(host).server_context(), starttls=True) as port:
        mail = letter(f"smtp://{host}:{port}", private=host != "localhost")
        await sender.send_mail(replace(mail, password="right"))
    assert len(box.came) == 1


def test_no_name_in_a_subject_begins_a_header_of_its_own() -> None:
    """Python decodes what reads like an encoded word, line ends and all."""
    alert = LETTER.alerts[0].copy()
    alert["incident"] = alert["incident"].copy()
    alert["incident"]["sentence"] = "=?utf-8?q?=0d=0aBcc:_x@example.net?="
    sly = Message(id="msg_8", alerts=[alert])
    made = build_mail(to(1, "smtp"), "", sly, is_quiet=False, base="", now_us=NOW_US)
    head = email.message_from_bytes(bytes(made.message)).keys()
    assert "Bcc" not in head
