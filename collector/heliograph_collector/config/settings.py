"""The collector's configuration: every key with its default, and YAML read with places.

`Section` remembers file and line, so that an error can say where the wrong word stands.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import yaml

from heliograph.codec import (
    MAX_ADDRESSES,
    MAX_ENTRANCES,
    CodecError,
    entrance_to_pb,
    entrances_from_pb,
)
from heliograph.dns_beacon import MAX_ZONE
from heliograph.plan import Carrier, Entrance
from heliograph.relay_line import RelayLineError, parse_line
from heliograph_collector.config.receiver import Receiver
from heliograph_collector.config.receivers import receivers

MAX_FILE = 1_048_576
Network: TypeAlias = IPv4Network | IPv6Network


class ConfigError(Exception):
    """One sentence: file, line, key, what is wrong and what is allowed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a YAML mapping and the node it stands for."""

    file: Path
    line: int
    key: str
    node: yaml.Node

    def error(self, problem: str) -> ConfigError:
        return ConfigError(f"{self.file}, line {self.line}: {self.key}: {problem}.")

    def text(self) -> str:
        if not isinstance(self.node, yaml.ScalarNode):
            raise self.error("must be one value, not a list or a mapping")
        return str(self.node.value)

    def whole(self, least: int, most: int) -> int:
        text = self.text().replace("_", "")
        if not (text.isascii() and text.isdigit() and least <= int(text[:19]) <= most):
            raise self.error(f"{text[:64]!r} must be a whole number from {least} to {most}")
        return int(text)

    def word(self, allowed: Sequence[str]) -> str:
        text = self.text()
        if text not in allowed:
            raise self.error(f"{text[:64]!r} must be one of {', '.join(allowed)}")
        return text

    def items(self) -> "list[Entry]":
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.error("must be a list")
        return [
            Entry(self.file, x.start_mark.line + 1, f"{self.key}[{i}]", x)
            for i, x in enumerate(self.node.value)
        ]

    def mapping(self, allowed: Sequence[str]) -> "dict[str, Entry]":
        """The keys below this one; `allowed` empty means any."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.error("must be a mapping of keys to values")
        found: dict[str, Entry] = {}
        for name, value in self.node.value:
            entry = Entry(self.file, name.start_mark.line + 1, self._below(name), value)
            if allowed and name.value not in allowed:
                raise entry.error(f"unknown key; allowed: {', '.join(sorted(allowed))}")
            if name.value in found:
                raise entry.error("stands twice")
            found[str(name.value)] = entry
        return found

    def _below(self, name: yaml.Node) -> str:
        return f"{self.key}.{name.value}" if self.key != "file" else str(name.value)


def read_yaml(file: Path) -> Entry:
    """The file's root. Raises ConfigError."""
    try:
        with file.open("rb") as stream:
            text = stream.read(MAX_FILE + 1)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}.") from error
    if len(text) > MAX_FILE:
        raise ConfigError(f"{file}: is longer than {MAX_FILE} bytes.")
    return parse_yaml(text, file)


def parse_yaml(text: bytes, file: Path) -> Entry:
    """The root of what stands, or is to stand, in `file`. Raises ConfigError."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{file}, line {line}: is not YAML: {error.problem}.") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{file}: is not YAML.") from error
    empty = yaml.MappingNode("tag:yaml.org,2002:map", [])
    return Entry(file, 1, "file", node or empty)


def split_endpoint(text: str) -> tuple[str, int]:
    """HOST:PORT, an IPv6 address in brackets. Raises ValueError with what is wrong."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise ValueError(f"{text[:64]!r} must be HOST:PORT, for example 127.0.0.1:7443")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ValueError(f"{text[:64]!r} needs brackets around an IPv6 address: [::1]:7443")
    return host.strip("[]"), int(port)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What `serve` and the other commands go by."""

    data: Path = Path("heliograph-data")
    grpc: str = "127.0.0.1:7443"
    http: str = "127.0.0.1:8080"
    endpoint: str = ""
    echo: str = ""  # "" for no echo service
    post: str = ""  # "" for no door where one connection brings one envelope
    dns: str = ""  # "" for no door for last words by DNS
    dns_zone: str = ""  # what that door answers for, and agents are told
    entrances: tuple[Entrance, ...] = ()  # what agents are told; () for the two doors themselves
    store_url: str = ""
    services_file: Path | None = None
    control_endpoints: tuple[str, ...] = ("local",)
    k_anonymity: int = 5
    public_url: str = ""  # where readers find the page, for links in what is sent to them
    dumps_days: int = 3_650  # 0 for no daily files
    requests_a_minute: int = 1_200  # of one reader's network; 0 for no limit
    metrics: str = "operator"  # counts exactly: not for everybody
    log: str = "text"
    password_file: Path | None = None
    country_file: Path | None = None
    asn_file: Path | None = None
    observations_days: int = 30
    verdicts_days: int = 180
    sessions: int = 2_000
    trusted_proxies: tuple[Network, ...] = ()
    strangers: bool = False  # whoever has no invite is let into quarantine
    batches_per_hour: int = 240  # agents close one every 30 s, and at once when something changed
    corroborate: tuple[str, ...] = ()  # to ask is to tell whom we watch
    radar_token_file: Path | None = None
    prefixes_file: Path | None = None
    ris_url: str = ""  # "" for the source's own place
    ioda_url: str = ""
    radar_url: str = ""
    alerts: tuple[Receiver, ...] = ()

    @property
    def store(self) -> str:
        """The store's URL: as configured, else embedded in the data directory."""
        return self.store_url or f"chdb://{(self.data / 'store').resolve()}"

    def geo_file(self, name: str) -> Path:
        """Where the country or ASN table is looked for."""
        given = self.country_file if name == "country" else self.asn_file
        return given or self.data / "geo" / f"{name}.mmdb"


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the file: where it goes and how it is read."""

    name: str
    field: str
    read: Callable[[Entry], Any]


def _endpoint(entry: Entry) -> str:
    try:
        split_endpoint(entry.text())
    except ValueError as error:
        raise entry.error(str(error)) from None
    return entry.text()


def _path(entry: Entry) -> Path:
    """Relative to the file that names it."""
    if not entry.text():
        raise entry.error("must be a path")
    return entry.file.parent / Path(entry.text()).expanduser()


def _entrances(entry: Entry) -> tuple[Entrance, ...]:
    items = entry.items()
    if len(items) > MAX_ENTRANCES:
        raise entry.error(f"must list at most {MAX_ENTRANCES} entrances")
    return tuple(_entrance(item) for item in items)


def _entrance(item: Entry) -> Entrance:
    keys = item.mapping(("relay", "carrier", "endpoint", "addresses", "server_name"))
    if "relay" in keys:  # its line says all there is to say
        return _relay(keys["relay"])
    for needed in ("carrier", "endpoint"):
        if needed not in keys:
            raise item.error(f"the key {needed} is missing")
    host, port = split_endpoint(_endpoint(keys["endpoint"]))
    addresses = keys["addresses"].items() if "addresses" in keys else []
    if len(addresses) > MAX_ADDRESSES:
        raise keys["addresses"].error(f"must list at most {MAX_ADDRESSES} addresses")
    entrance = Entrance(
        carrier=Carrier(keys["carrier"].word((Carrier.STREAM, Carrier.POST))),
        host=host,
        port=port,
        addresses=tuple(_address(x) for x in addresses),
        server_name=_server_name(keys["server_name"]) if "server_name" in keys else "",
    )
    try:
        entrances_from_pb([entrance_to_pb(entrance)])
    except CodecError as error:
        raise item.error(f"agents would take no such plan ({error})") from None
    return entrance


def _address(entry: Entry) -> str:
    try:
        return str(ip_address(entry.text()))
    except ValueError:
        raise entry.error(f"{entry.text()[:64]!r} must be an address") from None


def _server_name(entry: Entry) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", entry.text()):
        raise entry.error(f"{entry.text()[:64]!r} must be a host's name")
    return entry.text()


def _zone(entry: Entry) -> str:
    zone = entry.text().rstrip(".").lower()
    labels = zone.split(".")
    if len(zone) > MAX_ZONE or not all(re.fullmatch(r"[a-z0-9_-]{1,63}", x) for x in labels):
        raise entry.error(f"must be a zone of at most {MAX_ZONE} characters, like b.example.org")
    return zone


def _relay(entry: Entry) -> Entrance:
    try:
        return parse_line(entry.text())
    except RelayLineError as error:
        raise entry.error(f"{error}") from None


def _store(entry: Entry) -> str:
    if not entry.text().startswith(("chdb:///", "clickhouse://", "clickhouses://")):
        raise entry.error("must begin with chdb:///, clickhouse:// or clickhouses://")
    return entry.text()


def _controls(entry: Entry) -> tuple[str, ...]:
    return tuple(x.word(("local",)) for x in entry.items())


def _networks(entry: Entry) -> tuple[Network, ...]:
    return tuple(_network(x) for x in entry.items())


def _network(entry: Entry) -> Network:
    try:
        return ip_network(entry.text())
    except ValueError:
        raise entry.error(
            f"{entry.text()[:64]!r} must be a network such as 10.0.0.0/8 or one address"
        ) from None


def _corroborate(entry: Entry) -> tuple[str, ...]:
    return tuple(dict.fromkeys(x.word(("ris", "ioda", "radar")) for x in entry.items()))


def _outside(entry: Entry) -> str:
    """Another place of a source: what is asked, and the token, are for nobody on the way."""
    try:
        url = urlsplit(entry.text())
        host = url.hostname or ""
    except ValueError:
        raise entry.error("is no address of the web") from None
    kept = url.scheme in ("https", "wss") or host in ("127.0.0.1", "::1", "localhost")
    if url.scheme not in ("https", "wss", "http", "ws") or not host or not kept:
        raise entry.error("must begin with https:// or wss:// (http and ws on loopback alone)")
    return entry.text().removesuffix("/") if url.scheme.startswith("http") else entry.text()


KEYS = (
    Key("data", "data", _path),
    Key("grpc", "grpc", _endpoint),
    Key("http", "http", _endpoint),
    Key("endpoint", "endpoint", _endpoint),
    Key("echo.listen", "echo", _endpoint),
    Key("post.listen", "post", _endpoint),
    Key("dns.listen", "dns", _endpoint),
    Key("dns.zone", "dns_zone", _zone),
    Key("entrances", "entrances", _entrances),
    Key("store.url", "store_url", _store),
    Key("plan.services_file", "services_file", _path),
    Key("control.endpoints", "control_endpoints", _controls),
    Key("feed.k_anonymity", "k_anonymity", lambda e: e.whole(1, 1_000)),
    Key("feed.url", "public_url", _outside),
    Key("feed.requests_per_minute", "requests_a_minute", lambda e: e.whole(0, 1_000_000)),
    Key("feed.metrics", "metrics", lambda e: e.word(("open", "operator"))),
    Key("log", "log", lambda e: e.word(("text", "json"))),
    Key("feed.dumps_days", "dumps_days", lambda e: e.whole(0, 36_500)),
    Key("console.password_file", "password_file", _path),
    Key("geo.country_file", "country_file", _path),
    Key("geo.asn_file", "asn_file", _path),
    Key("retention.observations_days", "observations_days", lambda e: e.whole(1, 3_650)),
    Key("retention.verdicts_days", "verdicts_days", lambda e: e.whole(1, 36_500)),
    Key("intake.trusted_proxies", "trusted_proxies", _networks),
    Key(
        "intake.without_invite",
        "strangers",
        lambda e: e.word(("refuse", "quarantine")) == "quarantine",
    ),
    Key("limits.sessions", "sessions", lambda e: e.whole(1, 100_000)),
    Key("limits.batches_per_hour", "batches_per_hour", lambda e: e.whole(1, 100_000)),
    Key("corroborate.sources", "corroborate", _corroborate),
    Key("corroborate.radar_token_file", "radar_token_file", _path),
    Key("corroborate.prefixes_file", "prefixes_file", _path),
    Key("corroborate.ris_url", "ris_url", _outside),
    Key("corroborate.ioda_url", "ioda_url", _outside),
    Key("corroborate.radar_url", "radar_url", _outside),
    Key("alerts", "alerts", receivers),
)


def load_config(file: Path | None, overrides: Mapping[str, object]) -> Config:
    """Defaults, then the file, then what was typed. Raises ConfigError."""
    values: dict[str, Any] = {} if file is None else _read(read_yaml(file))
    values.update(overrides)
    return Config(**values)


def _read(root: Entry) -> dict[str, Any]:
    entries: dict[str, Entry] = {}
    for name, entry in root.mapping(sorted({k.name.split(".")[0] for k in KEYS})).items():
        inner = [k.name.partition(".")[2] for k in KEYS if k.name.startswith(f"{name}.")]
        below = {f"{name}.{x}": e for x, e in entry.mapping(inner).items()} if inner else {}
        entries |= below or ({} if inner else {name: entry})
    return {key.field: key.read(entries[key.name]) for key in KEYS if key.name in entries}
