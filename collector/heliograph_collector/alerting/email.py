"""One delivery try by e-mail, with TLS from the first byte or by STARTTLS."""

import asyncio
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver

from heliograph_collector.alerting.http_client import (
    REACH,
    RESOLVE,
    TRUST,
    DeliveryError,
    DeliveryResult,
)
from heliograph_collector.alerting.message import (
    Message,
    format_mail_text,
    format_title,
    list_threads,
)
from heliograph_collector.config.outgoing_http import PrivateTargetError, connect_socket
from heliograph_collector.config.receivers import Receiver

DEADLINE_S = 60.0  # greylisting servers answer slowly
_MAX_SUBJECT = 180
_LOGIN = "correct the user, or what its secret file holds"
_SCHEME = "smtps:// is for port 465, smtp:// for 587"
_FAILURES = {  # reason and cure, by the class of the error
    "SMTPConnectError": ("no connection", REACH),
    "SMTPServerDisconnected": ("it hung up", _SCHEME),
    "SMTPRecipientsRefused": ("it refuses every recipient", "correct the list `to`"),
    "SMTPNotSupported": ("it offers no STARTTLS", _SCHEME),
    "gaierror": ("its name leads nowhere", RESOLVE),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingMail:
    """An e-mail with its server and credentials."""

    message: EmailMessage
    host: str
    port: int
    scheme: str  # smtp: STARTTLS required; smtps: TLS from the first byte; smtp+plain: no TLS
    user: str
    password: str
    is_private: bool  # the server may be in a private network


def build_mail(
    receiver: Receiver, secret: str, message: Message, *, is_quiet: bool, base: str, now_us: int
) -> OutgoingMail:
    address = urlsplit(receiver.url)
    port = address.port or {"smtps": 465, "smtp": 587}.get(address.scheme, 25)
    return OutgoingMail(
        message=_build_letter(receiver, message, is_quiet, base, now_us),
        host=address.hostname or "",
        port=port,
        scheme=address.scheme,
        user=receiver.user,
        password=secret,
        is_private=receiver.private,
    )


def _build_letter(
    receiver: Receiver, message: Message, is_quiet: bool, base: str, now_us: int
) -> EmailMessage:
    domain = receiver.sender.rpartition("@")[2]
    mail = EmailMessage(policy=SMTP.clone(max_line_length=78))
    mail["From"] = Address("Heliograph", addr_spec=receiver.sender)
    mail["To"] = ", ".join(receiver.to)
    mail["Subject"] = _clean_subject(format_title(message))
    mail["Date"] = format_datetime(datetime.fromtimestamp(now_us // 1_000_000, UTC))
    mail["Message-ID"] = f"<{message.id}@{domain}>"
    threads = list_threads(message.alerts)
    if len(threads) == 1:  # groups all mails about one incident in a thread
        mail["References"] = f"<incident-{threads[0]}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    if not is_quiet:
        mail["Importance"] = "high"
    mail.set_content(format_mail_text(message, base), cte="quoted-printable")
    return mail


def _clean_subject(title: str) -> str:
    """Return a title as a subject without encoded words.

    A mail reader would decode them, line ends included.
    """
    return " ".join(title.replace("=?", "= ?").split())[:_MAX_SUBJECT]


class SmtpSender:
    """Send e-mails; `context` verifies certificates, `resolver` replaces the system's."""

    def __init__(
        self,
        context: ssl.SSLContext | None = None,
        deadline_s: float = DEADLINE_S,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._context = context
        self._deadline_s = deadline_s
        self._resolver = resolver

    async def send_mail(self, mail: OutgoingMail) -> DeliveryResult:
        """Send an e-mail once. Raises DeliveryError."""
        import aiosmtplib

        try:
            async with asyncio.timeout(self._deadline_s):
                await aiosmtplib.send(
                    mail.message,
                    hostname=mail.host,  # which the certificate must name
                    sock=await connect_socket(
                        mail.host, mail.port, is_private=mail.is_private, resolver=self._resolver
                    ),
                    username=mail.user or None,
                    password=mail.password or None,
                    use_tls=mail.scheme == "smtps",
                    start_tls=mail.scheme == "smtp",
                    tls_context=self._context or ssl.create_default_context(),
                    timeout=self._deadline_s,
                )
        except TimeoutError:
            raise DeliveryError(f"no whole answer in {self._deadline_s:g} s", REACH) from None
        except PrivateTargetError as error:
            raise DeliveryError(f"{error}; `private: true` would allow it") from None
        except aiosmtplib.SMTPAuthenticationError:
            raise DeliveryError("it does not know the user and password", _LOGIN) from None
        except aiosmtplib.SMTPResponseException as error:
            raise DeliveryError(f"answered {error.code}") from None
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise DeliveryError(*_describe_failure(error)) from None
        return DeliveryResult("taken for delivery")


def _describe_failure(error: BaseException) -> tuple[str, str]:
    """Return the kind of a failure and its cure; the server's text may quote the mail."""
    kind = type(error).__name__
    if isinstance(error.__cause__, ssl.SSLError) or isinstance(error, ssl.SSLError):
        return "its certificate cannot be trusted, or it speaks no TLS", f"{TRUST}; {_SCHEME}"
    if kind in _FAILURES:
        return _FAILURES[kind]
    if isinstance(error, OSError):
        return _FAILURES["SMTPConnectError"]
    return f"no answer that can be read ({kind})", _SCHEME
