"""Parser of the configuration list `alerts`.

It imports no library, because every command reads the configuration.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NotRequired, TypedDict
from urllib.parse import urlsplit

from heliograph.yaml_document import YamlEntry


class AlertScope(TypedDict):
    """Place and service of an incident; an empty field matches every value."""

    country: str
    region: str
    asn: int
    access: str
    service: str


class AlertLinks(TypedDict):
    page: str


class AlertedIncident(TypedDict):
    """The published incident, of which only these fields are used here."""

    id: str
    kind: str
    scope: AlertScope
    sentence: str
    links: AlertLinks


class AlertTranslation(TypedDict):
    """The sentence of an incident, and its state and certainty, in one language."""

    sentence: str
    about: str


class IncidentAlert(TypedDict):
    """One entry of the alert log for receivers, as `alerting.message` builds it."""

    entry: int
    hash: str
    at: str
    change: str
    state: str
    by: str
    called: bool  # it notifies all subscribers
    text: str
    about: str
    incident: AlertedIncident
    translations: NotRequired[Mapping[str, AlertTranslation]]  # by language; none in old outboxes


class ReceiverKind(StrEnum):
    WEBHOOK = "webhook"
    EMAIL = "email"
    NTFY = "ntfy"
    MATRIX = "matrix"
    SLACK = "slack"
    TELEGRAM = "telegram"
    MASTODON = "mastodon"
    HEARTBEAT = "heartbeat"  # a switch elsewhere that calls people when no request comes


class SuspectedPolicy(StrEnum):
    """Policy of a receiver for incidents that are only suspected."""

    LEAVE_OUT = "leave_out"
    QUIET = "quiet"  # sent as a silent notification
    LOUD = "loud"


class HealthPolicy(StrEnum):
    """Policy of a receiver for what keeps the collector itself from working."""

    LEAVE_OUT = "leave_out"
    TOO = "too"
    ONLY = "only"  # it gets no incidents


LANGUAGES = ("en", "fa", "kk", "ru")  # of the pages
STATES = ("confirmed", "closed", "withdrawn")
INCIDENT_KINDS = (
    "network_silence",
    "service_blocking",
    "throttling",
    "partial",
    "isolation",
    "collector_blocked",
    "power",
)


_PER_HOUR = 20
_GATHER_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """One item of `alerts`; an empty filter accepts everything."""

    name: str
    kind: ReceiverKind
    url: str = ""
    secret_file: Path | None = None
    room: str = ""  # Matrix room id, Telegram chat
    sender: str = ""  # sender of e-mail; `to` and `user` are for e-mail too
    to: tuple[str, ...] = ()
    user: str = ""
    private: bool = False  # the URL may be in a private network or on this machine
    countries: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    suspected: SuspectedPolicy = SuspectedPolicy.LEAVE_OUT
    health: HealthPolicy = HealthPolicy.LEAVE_OUT
    language: str = LANGUAGES[0]
    per_hour: int = _PER_HOUR  # messages
    gather_s: int = _GATHER_S  # alerts within this time after a message are sent together

    @property
    def host(self) -> str:
        """Return the host of the URL, whose path may be secret; "" if it is in a file."""
        return urlsplit(self.url).hostname or ""

    def accepts(self, alert: IncidentAlert) -> bool:
        """Return whether the filters accept an alert.

        Suspected incidents, and their ends, go only to receivers that chose them.
        """
        if self.health is HealthPolicy.ONLY or self.kind is ReceiverKind.HEARTBEAT:
            return False
        incident = alert["incident"]
        state = alert["state"]
        scope = incident["scope"]
        return (
            (not self.countries or scope["country"] in self.countries)
            and (not self.services or scope["service"] in self.services)
            and (not self.kinds or incident["kind"] in self.kinds)
            and (not self.states or state in (*self.states, "suspected"))
            and (bool(alert["called"]) or self.suspected is not SuspectedPolicy.LEAVE_OUT)
        )

    def is_quiet(self, alert: IncidentAlert) -> bool:
        return not alert["called"] and self.suspected is SuspectedPolicy.QUIET


MAX_RECEIVERS = 50
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_COUNTRY = re.compile("[A-Z]{2}")
_ADDRESS = re.compile(r"[^\s@<>,;:\"()\[\]\\]{1,64}@[A-Za-z0-9.-]{1,253}")
_ROOM = re.compile(r"![^\s/?#]{1,254}")
_CHAT = re.compile(r"-?[0-9]{1,20}|@[A-Za-z][A-Za-z0-9_]{3,63}")  # core.telegram.org/bots/api
_COMMON_KEYS = ("name", "kind", "secret_file")
_ALERT_KEYS = (
    "countries", "kinds", "services", "states", "suspected", "health", "per_hour", "gather_s",
    "language",
)  # fmt: skip
_URL_KEYS = ("url", "private")
_KEYS_BY_KIND = {
    ReceiverKind.WEBHOOK: (*_URL_KEYS, *_ALERT_KEYS),
    ReceiverKind.NTFY: (*_URL_KEYS, *_ALERT_KEYS),
    ReceiverKind.SLACK: (*_URL_KEYS, *_ALERT_KEYS),
    ReceiverKind.MATRIX: (*_URL_KEYS, *_ALERT_KEYS, "room"),
    ReceiverKind.TELEGRAM: (*_URL_KEYS, *_ALERT_KEYS, "room"),
    # Its posts are public, so they leave out the collector's health.
    ReceiverKind.MASTODON: (*_URL_KEYS, *(key for key in _ALERT_KEYS if key != "health")),
    ReceiverKind.EMAIL: (*_URL_KEYS, *_ALERT_KEYS, "from", "to", "user"),
    ReceiverKind.HEARTBEAT: _URL_KEYS,
}
_REQUIRED_BY_KIND = {
    ReceiverKind.WEBHOOK: ("url", "secret_file"),
    ReceiverKind.NTFY: ("url",),
    ReceiverKind.SLACK: (),
    ReceiverKind.MATRIX: ("url", "room", "secret_file"),
    ReceiverKind.TELEGRAM: ("room", "secret_file"),
    ReceiverKind.MASTODON: ("url", "secret_file"),
    ReceiverKind.EMAIL: ("url", "from", "to"),
    ReceiverKind.HEARTBEAT: (),
}
_DEFAULT_URLS = {ReceiverKind.TELEGRAM: "https://api.telegram.org"}
_SERVER_ROOTS = (ReceiverKind.MATRIX, ReceiverKind.TELEGRAM, ReceiverKind.MASTODON)
# Kinds whose whole address may be a secret, which then stands in a file.
HIDDEN_ADDRESSES = (ReceiverKind.SLACK, ReceiverKind.HEARTBEAT)


def parse_receivers(entry: YamlEntry) -> tuple[Receiver, ...]:
    """Parse the list of receivers. Raises YamlError."""
    items = entry.items()
    if len(items) > MAX_RECEIVERS:
        raise entry.error(f"must list at most {MAX_RECEIVERS} receivers")
    receiver_by_name: dict[str, Receiver] = {}
    for item in items:
        receiver = _parse_receiver(item)
        if receiver.name in receiver_by_name:
            raise item.error(f"the name {receiver.name} stands twice")
        receiver_by_name[receiver.name] = receiver
    return tuple(receiver_by_name.values())


def _parse_receiver(item: YamlEntry) -> Receiver:
    all_keys = item.mapping(())
    if "kind" not in all_keys:
        raise item.error(f"the key kind is missing; it is one of {', '.join(ReceiverKind)}")
    kind = ReceiverKind(all_keys["kind"].parse_choice(tuple(ReceiverKind)))
    keys = item.mapping((*_COMMON_KEYS, *_KEYS_BY_KIND[kind]))
    for required in ("name", *_REQUIRED_BY_KIND[kind]):
        if required not in keys:
            raise item.error(f"the key {required} is missing, which {kind} needs")
    if kind in HIDDEN_ADDRESSES and ("url" in keys) == ("secret_file" in keys):
        raise item.error("wants either url or secret_file (a file that holds the address)")
    if kind is ReceiverKind.EMAIL and ("user" in keys) != ("secret_file" in keys):
        raise item.error("user and secret_file (the password's) belong together")
    private = "private" in keys and keys["private"].parse_flag()
    url = keys.get("url")
    return Receiver(
        name=_parse_name(keys["name"]),
        kind=kind,
        url=(
            _parse_mail_url(url)
            if kind is ReceiverKind.EMAIL
            else _parse_web_url(url, kind, private)
        )
        if url
        else _DEFAULT_URLS.get(kind, ""),
        secret_file=parse_path(keys["secret_file"]) if "secret_file" in keys else None,
        room=_parse_room(keys["room"], kind) if "room" in keys else "",
        sender=_parse_address(keys["from"]) if "from" in keys else "",
        to=_parse_addresses(keys["to"]) if "to" in keys else (),
        user=keys["user"].parse_text() if "user" in keys else "",
        private=private,
        countries=_parse_filters(keys, "countries"),
        kinds=_parse_filters(keys, "kinds"),
        services=_parse_filters(keys, "services"),
        states=_parse_filters(keys, "states"),
        suspected=SuspectedPolicy(keys["suspected"].parse_choice(tuple(SuspectedPolicy)))
        if "suspected" in keys
        else SuspectedPolicy.LEAVE_OUT,
        health=HealthPolicy(keys["health"].parse_choice(tuple(HealthPolicy)))
        if "health" in keys
        else HealthPolicy.LEAVE_OUT,
        language=keys["language"].parse_choice(LANGUAGES) if "language" in keys else LANGUAGES[0],
        per_hour=keys["per_hour"].parse_integer(1, 3_600) if "per_hour" in keys else _PER_HOUR,
        gather_s=keys["gather_s"].parse_integer(0, 86_400) if "gather_s" in keys else _GATHER_S,
    )


def _parse_filters(keys: Mapping[str, YamlEntry], name: str) -> tuple[str, ...]:
    items = keys[name].items() if name in keys else []
    return tuple(_parse_filter(name, entry) for entry in items)


def _parse_filter(name: str, entry: YamlEntry) -> str:
    if name == "countries":
        return _match_text(entry, _COUNTRY, "a country's code in capitals, such as KZ")
    if name == "services":
        return entry.parse_text()
    return entry.parse_choice(INCIDENT_KINDS if name == "kinds" else STATES)


def _parse_room(entry: YamlEntry, kind: ReceiverKind) -> str:
    if kind is ReceiverKind.TELEGRAM:
        return _match_text(entry, _CHAT, "a chat: its number, or @ and a channel's name")
    return _match_text(entry, _ROOM, "a room's id: !abc:example.org")


def _parse_name(entry: YamlEntry) -> str:
    return _match_text(entry, _NAME, "a short name of a-z, 0-9, - and _")


def _match_text(entry: YamlEntry, pattern: re.Pattern[str], description: str) -> str:
    if not pattern.fullmatch(entry.parse_text()):
        raise entry.error(f"{entry.parse_text()[:64]!r} must be {description}")
    return entry.parse_text()


def _parse_address(entry: YamlEntry) -> str:
    return _match_text(entry, _ADDRESS, "an e-mail address")


def _parse_addresses(entry: YamlEntry) -> tuple[str, ...]:
    items = entry.items()
    if not 1 <= len(items) <= MAX_RECEIVERS:
        raise entry.error(f"must list 1 to {MAX_RECEIVERS} addresses")
    return tuple(_parse_address(item) for item in items)


def parse_path(entry: YamlEntry) -> Path:
    """Parse a path relative to the file that contains it."""
    if not entry.parse_text():
        raise entry.error("must be a path")
    return Path(entry.source).parent / Path(entry.parse_text()).expanduser()


def _parse_web_url(entry: YamlEntry, kind: ReceiverKind, private: bool) -> str:
    """Parse a URL, which errors never show because it may contain a secret."""
    address = entry.parse_text().strip()
    try:
        url = urlsplit(address)
        host = url.hostname or ""
        _ = url.port
    except ValueError:
        raise entry.error("is no address of the web") from None
    if url.scheme not in ("https", "http") or not host or url.username or url.fragment:
        raise entry.error("must begin with https:// and a host, without user or fragment")
    if url.scheme == "http" and not private:
        raise entry.error("must begin with https:// (http:// only with private: true)")
    if kind is ReceiverKind.NTFY and not re.fullmatch(r"/([^/]+/)*[A-Za-z0-9_-]{1,64}", url.path):
        raise entry.error("must end with a topic: https://ntfy.example.org/topic")
    return address.removesuffix("/") if kind in _SERVER_ROOTS else address


def _parse_mail_url(entry: YamlEntry) -> str:
    try:
        url = urlsplit(entry.parse_text())
        host = url.hostname or ""
        _ = url.port
    except ValueError:
        host = ""
        url = urlsplit("")
    is_loopback = host in ("127.0.0.1", "::1", "localhost")
    if not host or url.scheme not in ("smtp", "smtps", "smtp+plain") or url.username or url.path:
        raise entry.error("must be smtp://HOST[:PORT] (STARTTLS) or smtps://HOST[:PORT] (TLS)")
    if url.scheme == "smtp+plain" and not is_loopback:
        raise entry.error("smtp+plain:// sends in the clear, and is for this machine only")
    return entry.parse_text()
