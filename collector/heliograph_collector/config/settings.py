"""Settings of the collector: every key with its default, read from YAML."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, Protocol, TypeAlias
from urllib.parse import urlsplit

from heliograph.address import split_endpoint
from heliograph.codec import (
    MAX_ADDRESSES,
    MAX_ENTRANCES,
    CodecError,
    entrance_to_pb,
    entrances_from_pb,
)
from heliograph.dns_beacon import MAX_ZONE
from heliograph.plan import Carrier, Entrance
from heliograph.relay_line import RelayLineError, parse_relay_line
from heliograph.yaml_document import YamlEntry, read_yaml
from heliograph_collector.config.errors import CannotServeError
from heliograph_collector.config.journal_settings import JournalSettings, parse_journal
from heliograph_collector.config.licenses import LICENSES
from heliograph_collector.config.receivers import Receiver, parse_path, parse_receivers
from heliograph_collector.config.roles import ROLES, check_roles

_ENTRANCE_KEYS = ("relay", "carrier", "endpoint", "addresses", "server_name")
_WILDCARD_HOSTS = {"0.0.0.0", "::"}  # noqa: S104 - compared, to keep them out of announcements
MAX_NAME = 200  # characters of the operator's name; assumed
log = logging.getLogger("heliograph")
Network: TypeAlias = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of `serve` and the other commands."""

    data: Path = Path("heliograph-data")
    roles: frozenset[str] = frozenset(ROLES)
    grpc: str = "127.0.0.1:7443"
    http: str = "127.0.0.1:8080"
    endpoint: str = ""
    echo: str = ""  # "" for no echo service
    post: str = ""  # "" for no POST listener, for envelopes and agents without gRPC
    dns: str = ""  # "" for no DNS listener, for reports by DNS
    dns_zone: str = ""  # zone that the DNS listener serves and the plan names
    entrances: tuple[Entrance, ...] = ()  # announced to agents; () for our own two listeners
    store_url: str = ""
    journal: JournalSettings | None = None  # None: SQLite in the data directory
    services_file: Path | None = None
    hello_profiles_file: Path | None = None
    control_endpoints: tuple[str, ...] = ("local",)
    visit_networks: tuple[Network, ...] = ()  # of a lab, that controls visit although not public
    k_anonymity: int = 5
    public_url: str = ""  # address of the public pages, for links in notifications
    security_contact: str = ""  # mailto: or https:, for security.txt
    license: str = "CC-BY-4.0"  # of the published data, an SPDX identifier
    operator: str = ""  # who runs the collector, for readers
    contact: str = ""  # mailto: or https:, where readers reach the operator
    dumps_days: int = 3_650  # 0 for no daily files
    requests_a_minute: int = 1_200  # per network of readers; 0 for no limit
    metrics: str = "operator"  # its counts are exact, so the public does not see them
    log: str = "text"
    password_file: Path | None = None
    country_file: Path | None = None
    asn_file: Path | None = None
    observations_days: int = 30
    verdicts_days: int = 180
    sessions: int = 2_000
    trusted_proxies: tuple[Network, ...] = ()
    strangers: bool = False  # enroll agents without invite into quarantine
    batches_per_hour: int = 240  # agents close one batch every 30 s, and at once after a change
    ingest_processes: int | None = None  # 0: `serve` itself runs ingest; None: by cores and memory
    judge_workers: int | None = None  # at most; None: by cores and memory
    corroborate: tuple[str, ...] = ()  # empty by default, because a query reveals what we watch
    partners_file: Path | None = None
    radar_token_file: Path | None = None
    prefixes_file: Path | None = None
    ris_url: str = ""  # "" for the source's own address
    ioda_url: str = ""
    radar_url: str = ""
    source_private_hosts: tuple[str, ...] = ()  # hosts of these URLs in private networks
    alerts: tuple[Receiver, ...] = ()

    @property
    def store(self) -> str:
        """Return the store's URL: as configured, or else embedded in the data directory."""
        return self.store_url or f"chdb://{(self.data / 'store').resolve()}"

    @property
    def dns_listener(self) -> str:
        """Return HOST:PORT of the DNS listener, "" for none. Raises CannotServeError."""
        if bool(self.dns) != bool(self.dns_zone):
            raise CannotServeError("dns.listen and dns.zone go together: set both, or neither.")
        return self.dns

    def list_entrances(self, grpc_port: int, post_port: int) -> tuple[Entrance, ...]:
        """List the configured entrances, else those open to agents.

        The gRPC stream alone needs no entrance, because every agent knows it from its invite.
        """
        if self.entrances or not post_port:
            return self.entrances
        host, port = split_endpoint(self.endpoint or self.grpc)
        if host in _WILDCARD_HOSTS:
            log.warning("Agents are not told of %s: set the key endpoint or entrances.", self.post)
            return ()
        stream = Entrance(carrier=Carrier.STREAM, host=host, port=port or grpc_port)
        return stream, replace(stream, carrier=Carrier.POST, port=post_port)

    def geo_file(self, name: str) -> Path:
        """Return the file of the country or ASN table."""
        configured_file = self.country_file if name == "country" else self.asn_file
        return configured_file or self.data / "geo" / f"{name}.mmdb"


_CONTACT = r"(mailto:[^\s@]+@|https://)[^\s@]+"


class EntryReader(Protocol):
    """Parse the value of a key. Raises YamlError."""

    def __call__(self, entry: YamlEntry, /) -> Any: ...


@dataclass(frozen=True, slots=True)
class SettingsKey:
    """One key of the file, its field in `Config`, and its parser."""

    name: str
    field: str
    read: EntryReader


def _parse_endpoint(entry: YamlEntry) -> str:
    address = entry.parse_text()
    try:
        split_endpoint(address)
    except ValueError as error:
        raise entry.error(str(error)) from None
    return address


def _parse_entrances(entry: YamlEntry) -> tuple[Entrance, ...]:
    items = entry.items()
    if len(items) > MAX_ENTRANCES:
        raise entry.error(f"must list at most {MAX_ENTRANCES} entrances")
    return tuple(_parse_entrance(item) for item in items)


def _parse_entrance(item: YamlEntry) -> Entrance:
    if "relay" in item.mapping(_ENTRANCE_KEYS):  # a relay line contains all fields
        return _parse_relay(item.mapping()["relay"])
    keys = item.mapping(_ENTRANCE_KEYS, required=("carrier", "endpoint"))
    host, port = split_endpoint(_parse_endpoint(keys["endpoint"]))
    addresses = keys["addresses"].items() if "addresses" in keys else []
    if len(addresses) > MAX_ADDRESSES:
        raise keys["addresses"].error(f"must list at most {MAX_ADDRESSES} addresses")
    entrance = Entrance(
        carrier=Carrier(keys["carrier"].parse_choice((Carrier.STREAM, Carrier.POST))),
        host=host,
        port=port,
        addresses=tuple(_parse_address(x) for x in addresses),
        server_name=_parse_server_name(keys["server_name"]) if "server_name" in keys else "",
    )
    try:
        entrances_from_pb([entrance_to_pb(entrance)])
    except CodecError as error:
        raise item.error(f"agents would take no such plan ({error})") from None
    return entrance


def _parse_address(entry: YamlEntry) -> str:
    try:
        return str(ip_address(entry.parse_text()))
    except ValueError:
        raise entry.error(f"{entry.parse_text()[:64]!r} must be an address") from None


def _parse_server_name(entry: YamlEntry) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", entry.parse_text()):
        raise entry.error(f"{entry.parse_text()[:64]!r} must be a host's name")
    return entry.parse_text()


def _parse_zone(entry: YamlEntry) -> str:
    zone = entry.parse_text().rstrip(".").lower()
    labels = zone.split(".")
    if len(zone) > MAX_ZONE or not all(re.fullmatch(r"[a-z0-9_-]{1,63}", x) for x in labels):
        raise entry.error(f"must be a zone of at most {MAX_ZONE} characters, like b.example.org")
    return zone


def _parse_relay(entry: YamlEntry) -> Entrance:
    try:
        return parse_relay_line(entry.parse_text())
    except RelayLineError as error:
        raise entry.error(f"{error}") from None


def _parse_store_url(entry: YamlEntry) -> str:
    url = entry.parse_text()
    if not re.match(r"chdb:///[^?]|clickhouses?://[^/?]", url):
        raise entry.error("must be chdb:///PATH, clickhouse://HOST:PORT or clickhouses://HOST:PORT")
    return url


def _parse_controls(entry: YamlEntry) -> tuple[str, ...]:
    return tuple(x.parse_choice(("local",)) for x in entry.items())


def _parse_networks(entry: YamlEntry) -> tuple[Network, ...]:
    return tuple(_parse_network(x) for x in entry.items())


def _parse_network(entry: YamlEntry) -> Network:
    try:
        return ip_network(entry.parse_text())
    except ValueError:
        raise entry.error(
            f"{entry.parse_text()[:64]!r} must be a network such as 10.0.0.0/8 or one address"
        ) from None


def _parse_sources(entry: YamlEntry) -> tuple[str, ...]:
    return tuple(dict.fromkeys(x.parse_choice(("ris", "ioda", "radar")) for x in entry.items()))


def _parse_source_url(entry: YamlEntry) -> str:
    """Parse a source's URL; only loopback may be unencrypted.

    The queries and the token must not be readable on the path.
    """
    try:
        url = urlsplit(entry.parse_text())
        host = url.hostname or ""
    except ValueError:
        raise entry.error("is no address of the web") from None
    is_protected = url.scheme in ("https", "wss") or host in ("127.0.0.1", "::1", "localhost")
    if url.scheme not in ("https", "wss", "http", "ws") or not host or not is_protected:
        raise entry.error("must begin with https:// or wss:// (http and ws on loopback alone)")
    return (
        entry.parse_text().removesuffix("/")
        if url.scheme.startswith("http")
        else entry.parse_text()
    )


def _parse_public_url(entry: YamlEntry) -> str:
    """Parse where readers find the pages: links are its end and a path of ours."""
    url = entry.parse_text().removesuffix("/")
    is_local = re.match(r"http://(127\.0\.0\.1|localhost|\[::1\])(?![^:/])", url)
    if not (is_local or re.match(r"https://[^/\s]", url)) or re.search(r"[?#\s]", url):
        raise entry.error(
            "must be https://HOST of your pages, without ? or # (http:// on loopback alone)"
        )
    return url


def _parse_contact(entry: YamlEntry) -> str:
    if not re.fullmatch(_CONTACT, entry.parse_text()):
        raise entry.error("must begin with mailto: or https://, like mailto:security@example.org")
    return entry.parse_text()


def _parse_reader_contact(entry: YamlEntry) -> str:
    """Parse an address for readers; a plain e-mail address becomes a mailto: URI."""
    contact = entry.parse_text()
    if re.fullmatch(r"[^\s@:/]+@[^\s@:/]+", contact):
        return f"mailto:{contact}"
    if not re.fullmatch(_CONTACT, contact):
        raise entry.error(
            "must be an e-mail address, like desk@example.org, or begin with https://"
        )
    return contact


def _parse_name(entry: YamlEntry) -> str:
    name = entry.parse_text().strip()
    if not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise entry.error(f"must be a name of 1 to {MAX_NAME} printable characters")
    return name


def _parse_roles(entry: YamlEntry) -> frozenset[str]:
    names = [item.parse_choice(ROLES) for item in entry.items()]
    try:
        return check_roles(names)
    except ValueError as error:
        raise entry.error(f"must be roles that work together: {error}") from None


def _parse_hosts(entry: YamlEntry) -> tuple[str, ...]:
    return tuple(item.parse_text().lower() for item in entry.items())


def _parse_strangers(entry: YamlEntry) -> bool:
    return entry.parse_choice(("refuse", "quarantine")) == "quarantine"


def _integer(minimum: int, maximum: int) -> "partial[int]":
    return partial(YamlEntry.parse_integer, minimum=minimum, maximum=maximum)


def _choice(allowed: tuple[str, ...]) -> "partial[str]":
    return partial(YamlEntry.parse_choice, allowed=allowed)


SETTINGS_KEYS = (
    SettingsKey("data", "data", parse_path),
    SettingsKey("roles", "roles", _parse_roles),
    SettingsKey("grpc", "grpc", _parse_endpoint),
    SettingsKey("http", "http", _parse_endpoint),
    SettingsKey("endpoint", "endpoint", _parse_endpoint),
    SettingsKey("echo.listen", "echo", _parse_endpoint),
    SettingsKey("post.listen", "post", _parse_endpoint),
    SettingsKey("dns.listen", "dns", _parse_endpoint),
    SettingsKey("dns.zone", "dns_zone", _parse_zone),
    SettingsKey("entrances", "entrances", _parse_entrances),
    SettingsKey("store.url", "store_url", _parse_store_url),
    SettingsKey("store.journal", "journal", parse_journal),
    SettingsKey("plan.services_file", "services_file", parse_path),
    SettingsKey("plan.hello_profiles_file", "hello_profiles_file", parse_path),
    SettingsKey("control.endpoints", "control_endpoints", _parse_controls),
    SettingsKey("control.visit_networks", "visit_networks", _parse_networks),
    SettingsKey("feed.k_anonymity", "k_anonymity", _integer(1, 1_000)),
    SettingsKey("feed.url", "public_url", _parse_public_url),
    SettingsKey("feed.security_contact", "security_contact", _parse_contact),
    SettingsKey("feed.license", "license", _choice(tuple(LICENSES))),
    SettingsKey("feed.operator", "operator", _parse_name),
    SettingsKey("feed.contact", "contact", _parse_reader_contact),
    SettingsKey("feed.partners_file", "partners_file", parse_path),
    SettingsKey("feed.requests_per_minute", "requests_a_minute", _integer(0, 1_000_000)),
    SettingsKey("feed.metrics", "metrics", _choice(("open", "operator"))),
    SettingsKey("log", "log", _choice(("text", "json"))),
    SettingsKey("feed.dumps_days", "dumps_days", _integer(0, 36_500)),
    SettingsKey("console.password_file", "password_file", parse_path),
    SettingsKey("geo.country_file", "country_file", parse_path),
    SettingsKey("geo.asn_file", "asn_file", parse_path),
    SettingsKey("retention.observations_days", "observations_days", _integer(1, 3_650)),
    SettingsKey("retention.verdicts_days", "verdicts_days", _integer(1, 36_500)),
    SettingsKey("intake.trusted_proxies", "trusted_proxies", _parse_networks),
    SettingsKey(
        "intake.without_invite",
        "strangers",
        _parse_strangers,
    ),
    SettingsKey("intake.processes", "ingest_processes", _integer(0, 1)),
    SettingsKey("limits.sessions", "sessions", _integer(1, 100_000)),
    SettingsKey("limits.batches_per_hour", "batches_per_hour", _integer(1, 100_000)),
    SettingsKey("judge.workers", "judge_workers", _integer(0, 64)),
    SettingsKey("corroborate.sources", "corroborate", _parse_sources),
    SettingsKey("corroborate.radar_token_file", "radar_token_file", parse_path),
    SettingsKey("corroborate.prefixes_file", "prefixes_file", parse_path),
    SettingsKey("corroborate.ris_url", "ris_url", _parse_source_url),
    SettingsKey("corroborate.ioda_url", "ioda_url", _parse_source_url),
    SettingsKey("corroborate.radar_url", "radar_url", _parse_source_url),
    SettingsKey("corroborate.private_hosts", "source_private_hosts", _parse_hosts),
    SettingsKey("alerts", "alerts", parse_receivers),
)


def load_config(file: Path | None, overrides: Mapping[str, object]) -> Config:
    """Load defaults, then the file, then overrides. Raises YamlError."""
    values: dict[str, Any] = {} if file is None else _read_values(read_yaml(file))
    values.update(overrides)
    return Config(**values)


def _read_values(root: YamlEntry) -> dict[str, Any]:
    entries: dict[str, YamlEntry] = {}
    for name, entry in root.mapping(sorted({k.name.split(".")[0] for k in SETTINGS_KEYS})).items():
        inner = [k.name.partition(".")[2] for k in SETTINGS_KEYS if k.name.startswith(f"{name}.")]
        below = {f"{name}.{x}": e for x, e in entry.mapping(inner).items()} if inner else {}
        entries |= below or ({} if inner else {name: entry})
    return {key.field: key.read(entries[key.name]) for key in SETTINGS_KEYS if key.name in entries}
