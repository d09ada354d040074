"""One try to deliver by e-mail, over TLS from the beginning or from STARTTLS on."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from urllib.parse import urlsplit

from heliograph_collector.alerting import templates
from heliograph_collector.alerting.http_client import Arrived, DeliveryError
from heliograph_collector.alerting.message import Message
from heliograph_collector.config.receiver import Receiver

DEADLINE_S = 60.0  # greylisting servers think long
_MAX_SUBJECT = 180


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A letter, who takes it to the post, and how."""

    letter: EmailMessage
    host: str
    port: int
    scheme: str  # smtp: STARTTLS is a must; smtps: TLS from the first byte; smtp+plain: none
    user: str
    password: str


Mail = Callable[[Envelope], Awaitable[Arrived]]


def envelope(
    receiver: Receiver, secret: str, message: Message, *, quiet: bool, base: str, now_us: int
) -> Envelope:
    place = urlsplit(receiver.url)
    port = place.port or {"smtps": 465, "smtp": 587}.get(place.scheme, 25)
    return Envelope(
        letter=_letter(receiver, message, quiet, base, now_us),
        host=place.hostname or "",
        port=port,
        scheme=place.scheme,
        user=receiver.user,
        password=secret,
    )


def _letter(
    receiver: Receiver, message: Message, quiet: bool, base: str, now_us: int
) -> EmailMessage:
    domain = receiver.sender.rpartition("@")[2]
    letter = EmailMessage(policy=SMTP.clone(max_line_length=78))
    letter["From"] = Address("Heliograph", addr_spec=receiver.sender)
    letter["To"] = ", ".join(receiver.to)
    letter["Subject"] = _one_line(templates.title(message))
    letter["Date"] = format_datetime(datetime.fromtimestamp(now_us // 1_000_000, UTC))
    letter["Message-ID"] = f"<{message.id}@{domain}>"
    threads = templates.threads(message.alerts)
    if len(threads) == 1:  # so that all about one incident stands together
        letter["References"] = f"<incident-{threads[0]}@{domain}>"
    letter["Auto-Submitted"] = "auto-generated"
    if not quiet:
        letter["Importance"] = "high"
    letter.set_content(templates.mail_text(message, base), cte="quoted-printable")
    return letter


def _one_line(text: str) -> str:
    """As a subject. What reads like an encoded word would be decoded here, line ends and all."""
    return " ".join(text.replace("=?", "= ?").split())[:_MAX_SUBJECT]


class Post:
    """Takes letters to the server. `context` is what certificates are checked by."""

    def __init__(
        self, context: ssl.SSLContext | None = None, deadline_s: float = DEADLINE_S
    ) -> None:
        self._context, self._deadline_s = context, deadline_s

    async def __call__(self, envelope: Envelope) -> Arrived:
        """Raises DeliveryError."""
        import aiosmtplib

        try:
            async with asyncio.timeout(self._deadline_s):
                await aiosmtplib.send(
                    envelope.letter,
                    hostname=envelope.host,
                    port=envelope.port,
                    username=envelope.user or None,
                    password=envelope.password or None,
                    use_tls=envelope.scheme == "smtps",
                    start_tls=envelope.scheme == "smtp",
                    tls_context=self._context or ssl.create_default_context(),
                    timeout=self._deadline_s,
                )
        except TimeoutError:
            raise DeliveryError(f"no whole answer in {self._deadline_s:g} s") from None
        except aiosmtplib.SMTPAuthenticationError:
            raise DeliveryError("it does not know the user and password") from None
        except aiosmtplib.SMTPResponseException as error:
            raise DeliveryError(f"answered {error.code}") from None
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise DeliveryError(_why(error)) from None
        return Arrived("taken for delivery")


def _why(error: BaseException) -> str:
    """What a mail server writes may quote the letter, so only the kind of trouble is told."""
    kind = type(error).__name__
    if isinstance(error.__cause__, ssl.SSLError) or isinstance(error, ssl.SSLError):
        return "its certificate cannot be trusted, or it speaks no TLS"
    named = {
        "SMTPConnectError": "no connection",
        "SMTPServerDisconnected": "it hung up",
        "SMTPRecipientsRefused": "it refuses every recipient",
        "SMTPNotSupported": "it offers no STARTTLS",
    }
    return named.get(kind, f"no answer that can be read ({kind})")
