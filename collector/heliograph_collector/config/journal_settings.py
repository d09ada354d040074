"""Parser of the configuration key `store.journal`.

It imports no library, because every command reads the configuration.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from heliograph.address import split_endpoint
from heliograph.yaml_document import YamlEntry

_KEYS = (
    "servers", "name", "replicas", "kept_hours", "max_gib", "ca_file", "certificate_file",
    "key_file", "credentials_file",
)  # fmt: skip
_SCHEMES = ("nats", "tls")
_GIB = 1_073_741_824
_PORT = 4_222  # of NATS
_KEPT_HOURS = 24  # assumed; seven days of 100,000 agents would be some 940 million subjects


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalSettings:
    """The servers of `store.journal`, and how the collector proves itself to them."""

    urls: tuple[str, ...]  # nats://HOST:PORT or tls://HOST:PORT
    name: str = "heliograph"  # of the stream, and the beginning of its subjects and buckets
    replicas: int = 3
    kept_hours: int = _KEPT_HOURS  # of judged envelopes
    max_bytes: int = 0  # of the stream; 0: as much as the servers give
    ca_file: Path | None = None  # None: the authorities of the system
    certificate_file: Path | None = None  # PEM, with its chain
    key_file: Path | None = None
    credentials_file: Path | None = None


def parse_journal(entry: YamlEntry) -> JournalSettings:
    """Parse servers as text, `nats://HOST:PORT,nats://…`, or a mapping.

    Raises YamlError.
    """
    if isinstance(entry.content, str):
        return JournalSettings(urls=_parse_servers(entry, entry.parse_text().split(",")))
    keys = entry.mapping(_KEYS, required=("servers",))
    if ("certificate_file" in keys) != ("key_file" in keys):
        raise entry.error("certificate_file and key_file go together: set both, or neither")
    servers = [item.parse_text() for item in keys["servers"].items()]
    return JournalSettings(
        urls=_parse_servers(keys["servers"], servers),
        name=_parse_name(keys["name"]) if "name" in keys else "heliograph",
        replicas=keys["replicas"].parse_integer(1, 5) if "replicas" in keys else 3,
        kept_hours=(
            keys["kept_hours"].parse_integer(1, 720) if "kept_hours" in keys else _KEPT_HOURS
        ),
        max_bytes=keys["max_gib"].parse_integer(1, 65_536) * _GIB if "max_gib" in keys else 0,
        ca_file=_parse_file(keys.get("ca_file")),
        certificate_file=_parse_file(keys.get("certificate_file")),
        key_file=_parse_file(keys.get("key_file")),
        credentials_file=_parse_file(keys.get("credentials_file")),
    )


def _parse_servers(entry: YamlEntry, servers: list[str]) -> tuple[str, ...]:
    urls = tuple(_parse_server(entry, server.strip()) for server in servers)
    if not urls:
        raise entry.error("must name at least one server, like nats://HOST:4222")
    return urls


def _parse_server(entry: YamlEntry, server: str) -> str:
    """Parse one server, without a password: configurations are readable by others."""
    scheme, separator, address = server.partition("://")
    if scheme not in _SCHEMES or not separator:
        raise entry.error("must begin with nats:// or tls://")
    if "@" in address:
        raise entry.error("must hold no user and no password: name a credentials_file")
    try:
        url = urlsplit(server)
        host, port = split_endpoint(address if url.port else f"{address}:{_PORT}")
    except ValueError:
        host = ""
    if not host:
        raise entry.error(f"{server[:100]!r} is no server, like nats://HOST:{_PORT}")
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _parse_name(entry: YamlEntry) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", entry.parse_text()):
        raise entry.error("must be 1 to 32 letters, digits, - or _")
    return entry.parse_text()


def _parse_file(entry: YamlEntry | None) -> Path | None:
    """Parse a path relative to the file that contains it."""
    if entry is None:
        return None
    if not entry.parse_text():
        raise entry.error("must be a path")
    return Path(entry.source).parent / Path(entry.parse_text()).expanduser()
