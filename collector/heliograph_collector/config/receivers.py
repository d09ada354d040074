"""Reads the configuration's list `alerts`. Loads no library: every command reads it."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from heliograph_collector.config.receiver import INCIDENTS, STATES, Kind, Receiver, Suspected

MOST = 50
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_COUNTRY = re.compile("[A-Z]{2}")
_ADDRESS = re.compile(r"[^\s@<>,;:\"()\[\]\\]{1,64}@[A-Za-z0-9.-]{1,253}")
_ROOM = re.compile(r"![^\s/?#]{1,254}")
_EVERY = (
    "name", "kind", "secret_file", "countries", "kinds", "services", "states", "suspected",
    "per_hour", "gather_s",
)  # fmt: skip
_WEB = ("url", "private")
_OF = {
    Kind.WEBHOOK: _WEB,
    Kind.NTFY: _WEB,
    Kind.SLACK: _WEB,
    Kind.MATRIX: (*_WEB, "room"),
    Kind.EMAIL: ("url", "from", "to", "user"),
}
_NEEDED = {
    Kind.WEBHOOK: ("url", "secret_file"),
    Kind.NTFY: ("url",),
    Kind.SLACK: (),
    Kind.MATRIX: ("url", "room", "secret_file"),
    Kind.EMAIL: ("url", "from", "to"),
}


class Words(Protocol):
    """One key of the file and what it stands for, as config reads it."""

    @property
    def file(self) -> Path: ...
    def error(self, problem: str) -> Exception: ...
    def text(self) -> str: ...
    def whole(self, least: int, most: int) -> int: ...
    def word(self, allowed: Sequence[str]) -> str: ...
    def items(self) -> "Sequence[Words]": ...
    def mapping(self, allowed: Sequence[str]) -> "Mapping[str, Words]": ...


def receivers(entry: Words) -> tuple[Receiver, ...]:
    """Raises what `entry.error` makes."""
    items = entry.items()
    if len(items) > MOST:
        raise entry.error(f"must list at most {MOST} receivers")
    found: dict[str, Receiver] = {}
    for item in items:
        one = _receiver(item)
        if one.name in found:
            raise item.error(f"the name {one.name} stands twice")
        found[one.name] = one
    return tuple(found.values())


def _receiver(item: Words) -> Receiver:
    loose = item.mapping(())
    if "kind" not in loose:
        raise item.error(f"the key kind is missing; it is one of {', '.join(Kind)}")
    kind = Kind(loose["kind"].word(tuple(Kind)))
    keys = item.mapping((*_EVERY, *_OF[kind]))
    for needed in ("name", *_NEEDED[kind]):
        if needed not in keys:
            raise item.error(f"the key {needed} is missing, which {kind} needs")
    if kind is Kind.SLACK and ("url" in keys) == ("secret_file" in keys):
        raise item.error("wants either url or secret_file (a file that holds the address)")
    if kind is Kind.EMAIL and ("user" in keys) != ("secret_file" in keys):
        raise item.error("user and secret_file (the password's) belong together")
    private = "private" in keys and keys["private"].word(("true", "false")) == "true"
    url = keys.get("url")
    return Receiver(
        name=_name(keys["name"]),
        kind=kind,
        url=(_mail_url(url) if kind is Kind.EMAIL else _web_url(url, kind, private)) if url else "",
        secret_file=_path(keys["secret_file"]) if "secret_file" in keys else None,
        room=_matching(keys["room"], _ROOM, "a room's id: !abc:example.org")
        if "room" in keys
        else "",
        sender=_address(keys["from"]) if "from" in keys else "",
        to=_addresses(keys["to"]) if "to" in keys else (),
        user=keys["user"].text() if "user" in keys else "",
        private=private,
        **_filters(keys),
        **_pace(keys),
    )


def _filters(keys: Mapping[str, Words]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("countries", "kinds", "services", "states"):
        if name in keys:
            found[name] = tuple(_filter(name, one) for one in keys[name].items())
    return found


def _filter(name: str, entry: Words) -> str:
    if name == "countries":
        return _matching(entry, _COUNTRY, "a country's code in capitals, such as KZ")
    if name == "services":
        return entry.text()
    return entry.word(INCIDENTS if name == "kinds" else STATES)


def _pace(keys: Mapping[str, Words]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "suspected" in keys:
        found["suspected"] = Suspected(keys["suspected"].word(tuple(Suspected)))
    if "per_hour" in keys:
        found["per_hour"] = keys["per_hour"].whole(1, 3_600)
    if "gather_s" in keys:
        found["gather_s"] = keys["gather_s"].whole(0, 86_400)
    return found


def _name(entry: Words) -> str:
    return _matching(entry, _NAME, "a short name of a-z, 0-9, - and _")


def _matching(entry: Words, pattern: re.Pattern[str], what: str) -> str:
    if not pattern.fullmatch(entry.text()):
        raise entry.error(f"{entry.text()[:64]!r} must be {what}")
    return entry.text()


def _address(entry: Words) -> str:
    return _matching(entry, _ADDRESS, "an e-mail address")


def _addresses(entry: Words) -> tuple[str, ...]:
    items = entry.items()
    if not 1 <= len(items) <= MOST:
        raise entry.error(f"must list 1 to {MOST} addresses")
    return tuple(_address(one) for one in items)


def _path(entry: Words) -> Path:
    """Relative to the file that names it."""
    if not entry.text():
        raise entry.error("must be a path")
    return entry.file.parent / Path(entry.text()).expanduser()


def _web_url(entry: Words, kind: Kind, private: bool) -> str:
    """Not shown in an error: it may hold a secret."""
    text = entry.text().strip()
    try:
        url = urlsplit(text)
        host, _ = url.hostname or "", url.port
    except ValueError:
        raise entry.error("is no address of the web") from None
    if url.scheme not in ("https", "http") or not host or url.username or url.fragment:
        raise entry.error("must begin with https:// and a host, without user or fragment")
    if url.scheme == "http" and not private:
        raise entry.error("must begin with https:// (http:// only with private: true)")
    if kind is Kind.NTFY and not re.fullmatch(r"/([^/]+/)*[A-Za-z0-9_-]{1,64}", url.path):
        raise entry.error("must end with a topic: https://ntfy.example.org/topic")
    return text.removesuffix("/") if kind is Kind.MATRIX else text


def _mail_url(entry: Words) -> str:
    try:
        url = urlsplit(entry.text())
        host, _ = url.hostname or "", url.port
    except ValueError:
        host, url = "", urlsplit("")
    near = host in ("127.0.0.1", "::1", "localhost")
    if not host or url.scheme not in ("smtp", "smtps", "smtp+plain") or url.username or url.path:
        raise entry.error("must be smtp://HOST[:PORT] (STARTTLS) or smtps://HOST[:PORT] (TLS)")
    if url.scheme == "smtp+plain" and not near:
        raise entry.error("smtp+plain:// sends in the clear, and is for this machine only")
    return entry.text()
