"""Compare services.yml with public clients' sources, for the maintainer of the list.

    python deploy/data/compare_services.py --signal-android ~/src/Signal-Android \\
        --libsignal ~/src/libsignal --tdesktop ~/src/tdesktop --tor ~/src/tor

Prints what a checkout names and the list does not, and what the list names for a compared service
and no given checkout does: a new host, a moved address, a closed port. Nothing is fetched. The exit
status is 0 without differences, 1 with some, and 2 where a checkout does not have a file that is
read. Run by hand before an edition of the list; a difference is a question and not yet a mistake.
"""

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from heliograph.address import parse_literal
from heliograph.plan import Service
from heliograph.services import Services, load_services

Peer = tuple[str, int]  # host or literal, and port; 0 where a source names none
_LABELS = r"(?:[a-z0-9-]+\.)+"  # of a name, before its last ones
MAX_FILE = 2_000_000  # bytes; the largest of these files has 60,000


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Describe where a client's source names its servers: `host` and `port` of each match."""

    client: str
    service: str
    path: str
    pattern: str
    until: str = ""  # where the file goes on with test servers


SOURCES = (
    Source(
        client="libsignal",
        service="signal",
        path="rust/net/src/env.rs",
        pattern=rf'hostname: "(?P<host>{_LABELS}signal\.org)"',
    ),
    Source(
        client="libsignal",
        service="signal",
        path="rust/net/src/env.rs",
        pattern=r"(?s)const DOMAIN_CONFIG_CHAT: .*?\};",
    ),
    Source(
        client="signal-android",
        service="signal",
        path="app/build.gradle.kts",
        pattern=rf"https://(?P<host>{_LABELS}signal\.org)",
    ),
    Source(
        client="tdesktop",
        service="telegram",
        path="Telegram/SourceFiles/mtproto/mtproto_dc_options.cpp",
        pattern=r'\{ *\d+, *"(?P<host>[0-9a-f.:]+)" *, *(?P<port>\d+) *\}',
        until="kBuiltInDcsTest",
    ),
    Source(
        client="telethon",
        service="telegram",
        path="telethon/client/telegrambaseclient.py",
        pattern=r"DEFAULT_IPV[46]_IP = '(?P<host>[0-9a-f.:]+)'",
    ),
    Source(
        client="whatsmeow",
        service="whatsapp",
        path="socket/constants.go",
        pattern=rf"wss://(?P<host>{_LABELS}com)",
    ),
    Source(
        client="whatsmeow",
        service="whatsapp",
        path="download.go",
        pattern=rf'"(?P<host>{_LABELS}whatsapp\.net)"',
    ),
    Source(
        client="tor",
        service="tor",
        path="src/app/config/auth_dirs.inc",
        pattern=r'"(?P<host>\d+\.\d+\.\d+\.\d+):(?P<port>\d+) ',
    ),
    Source(
        client="tor",
        service="tor",
        path="src/app/config/auth_dirs.inc",
        pattern=r"ipv6=\[(?P<host>[0-9a-f:]+)\]:(?P<port>\d+)",
    ),
)
_TEST_HOST = re.compile(r"staging")
_ADDRESS = re.compile(r'ip_addr!\(v[46], "(?P<host>[0-9a-f.:]+)"\)')
CLIENTS = tuple(dict.fromkeys(source.client for source in SOURCES))


def read_peers(source: Source, checkout: Path) -> frozenset[Peer]:
    """Read what a checkout names. Raises OSError for a missing file, ValueError for no match."""
    file = checkout / source.path
    if file.stat().st_size > MAX_FILE:
        raise ValueError(f"{file} is larger than {MAX_FILE} bytes: is it that file?")
    text = file.read_text(encoding="utf-8")
    production = text.partition(source.until)[0] if source.until else text
    matches = tuple(_iter_matches(source, production))
    if not matches:
        raise ValueError(f"{file} names no server in the known form: mend SOURCES in this script.")
    return frozenset(
        (match["host"], int(match.groupdict().get("port") or 0))
        for match in matches
        if not _TEST_HOST.search(match["host"])
    )


def _iter_matches(source: Source, text: str) -> Iterator[re.Match[str]]:
    for match in re.finditer(source.pattern, text):
        if "host" in match.groupdict():
            yield match
        else:  # a block of addresses
            yield from _ADDRESS.finditer(match[0])


def list_peers(service: Service) -> frozenset[Peer]:
    """List what the list names for a service, addresses that are built in too."""
    return frozenset((host, e.port) for e in service.endpoints for host in (e.host, *e.addresses))


def compare(service: Service, peers_by_client: Mapping[str, frozenset[Peer]]) -> Iterator[str]:
    """Describe the differences of one service, one a line, in a fixed order."""
    listed = list_peers(service)
    hosts = {_canonical(host) for host, _ in listed}
    named = {_canonical(host) for peers in peers_by_client.values() for host, _ in peers}
    ports = {(_canonical(host), port) for host, port in listed}
    for client, peers in sorted(peers_by_client.items()):
        for host, port in sorted(peers):
            if _canonical(host) not in hosts:
                yield f"{service.name}: {client} has {_describe(host, port)}, the list does not"
            elif port and (_canonical(host), port) not in ports:
                yield f"{service.name}: {client} has {host} on port {port}, the list does not"
    for host in sorted({host for host, _ in listed if _canonical(host) not in named}):
        yield f"{service.name}: the list has {host}, no given checkout does"


def _canonical(host: str) -> str:
    return parse_literal(host) or host


def _describe(host: str, port: int) -> str:
    return f"{host} port {port}" if port else host


def compare_all(services: Services, checkouts: Mapping[str, Path]) -> Iterator[str]:
    """Describe all differences. Raises OSError or ValueError for a checkout that is not read."""
    peers: dict[str, dict[str, frozenset[Peer]]] = {}
    for source in SOURCES:
        if source.client in checkouts:
            by_client = peers.setdefault(source.service, {})
            read = read_peers(source, checkouts[source.client])
            by_client[source.client] = by_client.get(source.client, frozenset()) | read
    for name, by_client in peers.items():
        service = services.get(name)
        if service is not None:
            yield from compare(service, by_client)


def main(arguments: Sequence[str]) -> int:
    """Print the differences; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--services", type=Path, help="a list in place of the shipped one")
    for client in CLIENTS:
        parser.add_argument(f"--{client}", type=Path, metavar="CHECKOUT")
    options = vars(parser.parse_args(arguments))
    checkouts = {
        client: folder for client in CLIENTS if (folder := options[client.replace("-", "_")])
    }
    if not checkouts:
        parser.error(f"name at least one checkout: {', '.join('--' + c for c in CLIENTS)}")
    try:
        differences = tuple(compare_all(load_services(options["services"]), checkouts))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.writelines(f"{difference}\n" for difference in differences)
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
