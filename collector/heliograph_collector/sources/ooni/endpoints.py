"""What the tests of one service share: rows sorted to endpoints, and a control that is presumed.

OONI has no control for these. The service is presumed to be up, which halves the confidence;
`world.py` puts in its place what other countries saw, where their measurements were imported too.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from heliograph.failure import Failure, Operation
from heliograph.observation import Link, Observation
from heliograph_collector.model.records import ControlView
from heliograph_collector.sources.ooni import archival as s
from heliograph_collector.sources.ooni.archival import Steps, host_name
from heliograph_collector.sources.ooni.envelope import Imported, link, measurement, taken, vantage
from heliograph_collector.sources.ooni.failures import failure
from heliograph_collector.sources.ooni.steps_builder import Hop, walk
from heliograph_collector.sources.ooni.values import Json, obj, rows, text

MOST_ENDPOINTS = 128
WORDLESS = frozenset(("dc", "endpoint"))  # labels of which a summary tells that they fail, not how
EARLY = {"resolve": Operation.RESOLVE, "connect": Operation.CONNECT}  # OONI's failed_operation


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a client goes. The URL's scheme says how far: tcp is a connection and no more."""

    label: str
    group: str
    url: str


@dataclass(slots=True)
class Sorted:
    """A measurement's rows, and the endpoints that they are about."""

    keys: Json
    endpoints: dict[str, Endpoint] = field(default_factory=dict)

    def add(self, endpoint: Endpoint) -> None:
        if len(self.endpoints) < MOST_ENDPOINTS:
            self.endpoints.setdefault(endpoint.label, endpoint)

    def hop(self, endpoint: Endpoint) -> Hop:
        """The endpoint's own rows. Names share addresses, so a connection may count for several."""
        hop = Hop(endpoint.url)
        named = [q for q in rows(self.keys.get("queries")) if _named(q, "hostname", hop.host)]
        hop.queries = named
        own = {a for q in named for x in s.queries(q) if x.dns for a in x.dns.addresses}
        own |= {hop.host} if s.is_address(hop.host) else set()
        hop.connects = [c for c in rows(self.keys.get("tcp_connect")) if _at(c, own, hop.port)]
        hop.handshakes = [
            h for h in rows(self.keys.get("tls_handshakes")) if _named(h, "server_name", hop.host)
        ]
        hop.requests = [r for r in rows(self.keys.get("requests")) if _asks(r, endpoint.url)]
        if endpoint.url.startswith("tcp:"):
            hop.handshakes, hop.requests = [], []
        return hop


def service(
    document: Json,
    name: str,
    sorted_: Sorted,
    fill: Callable[[Steps, Endpoint], None] | None = None,
) -> Imported:
    """Every endpoint walked; `fill` may add what only a word of the keys tells."""
    made = Steps()
    for endpoint in sorted_.endpoints.values():
        made.label = endpoint.label
        walk(made, sorted_.hop(endpoint))
        if fill is not None and not made.here():
            fill(made, endpoint)
    groups = {e.label: e.group for e in sorted_.endpoints.values()}
    return imported(document, name, made, groups, wordless=WORDLESS)


def imported(
    document: Json,
    name: str,
    made: Steps,
    groups: dict[str, str],
    *,
    mirror: Callable[[Observation], bool] = lambda _: False,
    wordless: frozenset[str] = frozenset(),
) -> Imported:
    """`mirror`: failures that the service shows everybody."""
    made.made = [_public(x, made.made) for x in made.made]
    online = link(document, made.made)
    target = text(document.get("input")) or name
    of = measurement(
        document, made.made, experiment=name, target=target, service=name, online=online
    )
    presumed = replace(of, link=Link.ONLINE, observations=tuple(presume(made.made, mirror)))
    place = vantage(document)
    return Imported(
        input=text(document.get("input")),
        test_name=text(document.get("test_name"), 64),
        probe_cc=place.country,
        probe_asn=f"AS{place.asn}",
        taken=taken(document, of),
        control=ControlView(measurement=presumed, age_us=0, link=Link.ONLINE, groups=groups),
        presumed=True,
        groups=groups,
        wordless=wordless,
    )


def _public(seen: Observation, all_: Sequence[Observation]) -> Observation:
    """A service is on the Internet: private addresses alone are no answer, unless it is there."""
    dns = seen.dns
    if dns is None or not dns.addresses or any(map(s.is_public, dns.addresses)):
        return seen
    proven = {all_[x.parent].tcp for x in all_ if _verified(x) and x.parent is not None}
    if any(end and end.address in dns.addresses for end in proven):
        return seen
    return replace(seen, failure=Failure.DNS_BOGON_ERROR, dns=replace(dns, answers=()))


def _verified(seen: Observation) -> bool:
    return seen.operation is Operation.TLS_HANDSHAKE and seen.failure is None


def presume(
    seen: Sequence[Observation], mirror: Callable[[Observation], bool]
) -> Iterable[Observation]:
    """The same steps, all passed: how the service answers where nothing is in the way."""
    for one in seen:
        if one.failure is not None and mirror(one):
            yield one
        else:
            tls = replace(one.tls, chain=()) if one.tls else None
            exchange = replace(one.exchange, differences=()) if one.exchange else None
            yield replace(one, failure=None, tls=tls, exchange=exchange)


def by_word(made: Steps, url: str, word: Failure | None, operation: str = "") -> None:
    """A fetch of which only its outcome is told, and perhaps the step that failed."""
    if word is not None and operation in EARLY:
        reached(made, EARLY[operation], word)
        return
    hop = Hop(url)
    response = {"code": 200} if word is None else {}
    hop.requests = [{"failure": None if word is None else str(word), "response": response}]
    walk(made, hop)


def told(keys: Json, failed: str, status: str) -> tuple[bool, Failure | None]:
    """Whether a summary tells of this endpoint, and its failure. "blocked" is no word for one."""
    word = failure(keys.get(failed))
    if word is None and keys.get(status) == "blocked":
        word = Failure.UNKNOWN_FAILURE
    return failed in keys or bool(text(keys.get(status), 16)), word


def reached(made: Steps, operation: Operation, word: Failure | None = None) -> None:
    if operation is Operation.CONNECT and word is Failure.EOF_ERROR:
        word = Failure.CONNECTION_RESET
    made.add(Observation(operation=operation, started_us=0, duration_us=0, failure=word))


def _named(row: Json, key: str, host: str) -> bool:
    return host_name(text(row.get(key), 256)) == host != ""


def _at(row: Json, addresses: set[str], port: int) -> bool:
    return text(row.get("ip"), 64) in addresses and s.connect(row).tcp == s.end(row, port)


def _asks(row: Json, url: str) -> bool:
    """Whether this request is to the endpoint: the same scheme, host and port."""
    return _origin(text(obj(row.get("request")).get("url"))) == _origin(url)


def _origin(url: str) -> tuple[str, str, int]:
    hop = Hop(url)
    try:
        return urlsplit(url).scheme.lower(), hop.host, hop.port
    except ValueError:
        return "", "", 0
