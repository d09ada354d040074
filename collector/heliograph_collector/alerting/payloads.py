"""HTTP requests for each kind of receiver. Pure."""

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from heliograph.timestamps import format_second
from heliograph_collector.alerting.message import (
    Message,
    format_lines,
    format_link,
    format_text,
    format_title,
)
from heliograph_collector.config.named_files import decode_secret
from heliograph_collector.config.receivers import Receiver, ReceiverKind

_USER_AGENT = "heliograph-alerting/1"
# priorities of ntfy: 3 is the default
_NTFY_QUIET = 2
_NTFY_LOUD = 4
_MAX_TEXT = 3_500  # bytes; ntfy accepts 4,096 in a message, Telegram as many characters
_MAX_STATUS = 500  # characters of a post; Mastodon's default


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRequest:
    """A request; its URL and headers can hold a secret, so they are never logged."""

    method: str
    url: str = field(repr=False)
    body: bytes
    headers: Mapping[str, str] = field(repr=False)


def build_request(
    receiver: Receiver, secret: str, message: Message, *, is_quiet: bool, base: str, now_us: int
) -> AlertRequest:
    """Build the request for a receiver. Raises KeyError for e-mail, which is not HTTP."""
    return _BUILDERS[receiver.kind](receiver, secret, message, is_quiet, base, now_us)


def _build_webhook(
    receiver: Receiver, secret: str, message: Message, is_quiet: bool, base: str, now_us: int
) -> AlertRequest:
    body = _encode_json({**message.to_payload(base, format_second(now_us)), "quiet": is_quiet})
    signature_headers = sign_headers(decode_secret(secret), message.id, now_us // 1_000_000, body)
    return _build_request("POST", receiver.url, body, signature_headers)


def _build_ntfy(
    receiver: Receiver, secret: str, message: Message, is_quiet: bool, base: str, now_us: int
) -> AlertRequest:
    """Build JSON for the server's root, because headers cannot hold every language."""
    root, _, topic = receiver.url.rpartition("/")
    payload = {
        "topic": topic,
        "title": format_title(message)[:250],
        "message": _truncate("\n".join(format_lines(message, base))),
        "priority": _NTFY_QUIET if is_quiet else _NTFY_LOUD,
    }
    if link := format_link(message, base):
        payload["click"] = link
    return _build_request("POST", f"{root}/", _encode_json(payload), _bearer_header(secret))


def _build_matrix(
    receiver: Receiver, secret: str, message: Message, is_quiet: bool, base: str, now_us: int
) -> AlertRequest:
    """Build a request; the message id as transaction id prevents duplicates."""
    room = quote(receiver.room, safe="")
    path = f"/_matrix/client/v3/rooms/{room}/send/m.room.message/{quote(message.id, safe='')}"
    payload = {
        "msgtype": "m.notice" if is_quiet else "m.text",
        "body": format_text(message, base),
    }
    return _build_request("PUT", receiver.url + path, _encode_json(payload), _bearer_header(secret))


def _build_slack(
    receiver: Receiver, secret: str, message: Message, is_quiet: bool, base: str, now_us: int
) -> AlertRequest:
    """Build a request; if the URL is in a file, it is the secret itself."""
    content = format_text(message, base)
    for sign, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        content = content.replace(sign, escaped)
    return _build_request("POST", secret or receiver.url, _encode_json({"text": content}), {})


def _build_telegram(
    receiver: Receiver, secret: str, message: Message, is_quiet: bool, base: str, now_us: int
) -> AlertRequest:
    """Build a call of the Bot API, whose address holds the secret."""
    payload = {
        "chat_id": receiver.room,
        "text": _truncate(format_text(message, base)),
        "disable_notification": is_quiet,
        "link_preview_options": {"is_disabled": True},
    }
    address = f"{receiver.url}/bot{quote(secret, safe=':')}/sendMessage"
    return _build_request("POST", address, _encode_json(payload), {})


def _build_mastodon(
    receiver: Receiver, secret: str, message: Message, is_quiet: bool, base: str, now_us: int
) -> AlertRequest:
    """Build a public post; the message id as idempotency key prevents duplicates."""
    link = format_link(message, base)
    room = _MAX_STATUS - len(link) - 2
    content = format_text(message, "")
    content = content if len(content) <= room else f"{content[: room - 1]}…"
    payload = {
        "status": f"{content}\n{link}" if link else content,
        "visibility": "unlisted" if is_quiet else "public",
        "language": message.language,
    }
    headers = {**_bearer_header(secret), "Idempotency-Key": message.id}
    return _build_request("POST", f"{receiver.url}/api/v1/statuses", _encode_json(payload), headers)


def _build_heartbeat(
    receiver: Receiver, secret: str, message: Message, is_quiet: bool, base: str, now_us: int
) -> AlertRequest:
    """Build a request without content; GET is what all such switches take."""
    return AlertRequest(
        method="GET",
        url=secret or receiver.url,
        body=b"",
        headers={"User-Agent": _USER_AGENT},
    )


_BUILDERS: Mapping[
    ReceiverKind, Callable[[Receiver, str, Message, bool, str, int], AlertRequest]
] = {
    ReceiverKind.WEBHOOK: _build_webhook,
    ReceiverKind.NTFY: _build_ntfy,
    ReceiverKind.MATRIX: _build_matrix,
    ReceiverKind.SLACK: _build_slack,
    ReceiverKind.TELEGRAM: _build_telegram,
    ReceiverKind.MASTODON: _build_mastodon,
    ReceiverKind.HEARTBEAT: _build_heartbeat,
}


def _build_request(method: str, url: str, body: bytes, headers: Mapping[str, str]) -> AlertRequest:
    all_headers = {"Content-Type": "application/json", "User-Agent": _USER_AGENT, **headers}
    return AlertRequest(method=method, url=url, body=body, headers=all_headers)


def _bearer_header(secret: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {secret}"} if secret else {}


def _encode_json(payload: Mapping[str, object]) -> bytes:
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()


def _truncate(content: str) -> str:
    encoded = content.encode()
    return (
        content if len(encoded) <= _MAX_TEXT else encoded[:_MAX_TEXT].decode(errors="ignore") + " …"
    )


def sign_headers(secret: bytes, id_: str, at_s: int, body: bytes) -> Mapping[str, str]:
    """Sign one try; `at_s` is the time of the try, `id_` that of the message."""
    digest = hmac.digest(secret, f"{id_}.{at_s}.".encode() + body, "sha256")
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(at_s),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
