"""A message as each kind of receiver wants it over HTTP. Pure."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

from heliograph_collector.alerting import signature, templates
from heliograph_collector.alerting.message import Message
from heliograph_collector.config.receiver import Kind, Receiver

_AGENT = "heliograph-courier/1"
_NTFY_QUIET, _NTFY_LOUD = 2, 4  # its priorities: 3 is the default
_MAX_TEXT = 3_500  # ntfy takes 4,096 bytes of a message


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Neither the address nor the headers may be told: both can hold a secret."""

    method: str
    url: str = field(repr=False)
    body: bytes
    headers: Mapping[str, str] = field(repr=False)


def request(
    receiver: Receiver, secret: str, message: Message, *, quiet: bool, base: str, now_us: int
) -> Request:
    """Raises KeyError for e-mail, which goes by no HTTP."""
    return _SHAPES[receiver.kind](receiver, secret, message, quiet, base, now_us)


def _webhook(
    receiver: Receiver, secret: str, message: Message, quiet: bool, base: str, now_us: int
) -> Request:
    body = _json({**message.payload(base, _time(now_us)), "quiet": quiet})
    signed = signature.headers(signature.secret_of(secret), message.id, now_us // 1_000_000, body)
    return _made("POST", receiver.url, body, signed)


def _ntfy(
    receiver: Receiver, secret: str, message: Message, quiet: bool, base: str, now_us: int
) -> Request:
    """As JSON to the server's root: headers could not hold every language."""
    root, _, topic = receiver.url.rpartition("/")
    told: dict[str, Any] = {
        "topic": topic,
        "title": templates.title(message)[:250],
        "message": _cut("\n".join(templates.lines(message, base))),
        "priority": _NTFY_QUIET if quiet else _NTFY_LOUD,
    }
    if link := templates.link(message, base):
        told["click"] = link
    return _made("POST", f"{root}/", _json(told), _bearer(secret))


def _matrix(
    receiver: Receiver, secret: str, message: Message, quiet: bool, base: str, now_us: int
) -> Request:
    """The transaction's id is the message's, so that the server takes it once."""
    room = quote(receiver.room, safe="")
    path = f"/_matrix/client/v3/rooms/{room}/send/m.room.message/{quote(message.id, safe='')}"
    told = {
        "msgtype": "m.notice" if quiet else "m.text",
        "body": templates.text(message, base),
    }
    return _made("PUT", receiver.url + path, _json(told), _bearer(secret))


def _slack(
    receiver: Receiver, secret: str, message: Message, quiet: bool, base: str, now_us: int
) -> Request:
    """The address itself is the secret, where it stands in a file."""
    told = templates.text(message, base)
    for sign, harmless in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        told = told.replace(sign, harmless)
    return _made("POST", secret or receiver.url, _json({"text": told}), {})


_SHAPES: Mapping[Kind, Callable[[Receiver, str, Message, bool, str, int], Request]] = {
    Kind.WEBHOOK: _webhook,
    Kind.NTFY: _ntfy,
    Kind.MATRIX: _matrix,
    Kind.SLACK: _slack,
}


def _made(method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Request:
    kept = {"Content-Type": "application/json", "User-Agent": _AGENT, **headers}
    return Request(method=method, url=url, body=body, headers=kept)


def _bearer(secret: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {secret}"} if secret else {}


def _json(told: Mapping[str, Any]) -> bytes:
    return json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode()


def _cut(text: str) -> str:
    raw = text.encode()
    return text if len(raw) <= _MAX_TEXT else raw[:_MAX_TEXT].decode(errors="ignore") + " …"


def _time(at_us: int) -> str:
    return f"{datetime.fromtimestamp(at_us // 1_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def host_of(url: str) -> str:
    """What of an address may be shown: paths of chats are secrets."""
    return urlsplit(url).hostname or ""
