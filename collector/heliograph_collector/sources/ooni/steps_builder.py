"""OONI's rows about one page or endpoint, as steps that stand on each other."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from heliograph.failure import Failure, Operation
from heliograph.observation import Dns, Observation, Tcp
from heliograph_collector.sources.ooni import archival as s
from heliograph_collector.sources.ooni.archival import Steps, host_name
from heliograph_collector.sources.ooni.http_facts import urlsplit_scheme
from heliograph_collector.sources.ooni.values import Json

NAME_WORDS = frozenset(w for w in Failure if w.startswith("dns_"))
LINE_WORDS = frozenset(
    (Failure.CONNECTION_REFUSED, Failure.HOST_UNREACHABLE, Failure.NETWORK_UNREACHABLE)
)
PORTS = {"https": 443, "http": 80}


@dataclass(slots=True)
class Hop:
    """One page of the chain, with OONI's rows about it."""

    url: str
    queries: list[Json] = field(default_factory=list)
    connects: list[Json] = field(default_factory=list)
    handshakes: list[Json] = field(default_factory=list)
    requests: list[Json] = field(default_factory=list)
    duplicates: list[Json] = field(default_factory=list)

    @property
    def host(self) -> str:
        try:
            return host_name(urlsplit(self.url).hostname or "")
        except ValueError:
            return ""

    @property
    def secure(self) -> bool:
        return urlsplit_scheme(self.url) == "https"

    @property
    def port(self) -> int:
        try:
            return urlsplit(self.url).port or PORTS.get(urlsplit_scheme(self.url), 0)
        except ValueError:
            return 0


def walk(made: Steps, hop: Hop) -> None:
    """Adds the hop's steps under the label that `made` has."""
    _Walk(made, hop).walk()


class _Walk:
    """Turns one hop's rows into steps that stand on each other."""

    def __init__(self, made: Steps, hop: Hop) -> None:
        self._made = made
        self._hop = hop
        self._by_connection: dict[int, int] = {}  # transaction → the latest step over it
        self._by_address: dict[tuple[str, int], int] = {}

    def walk(self) -> None:
        for row in self._hop.queries:
            later = [d for d in self._hop.duplicates if _same_query(d, row)]
            for seen in s.queries(row, later):
                self._made.add(seen)
        for row in self._hop.connects:
            self._connect(row)
        for row in self._hop.handshakes:
            self._handshake(row)
        for row in self._hop.requests:
            self._request(row)

    def _connect(self, row: Json) -> None:
        seen = s.connect(row)
        assert seen.tcp is not None  # noqa: S101 it was just made
        index = self._made.add(seen, self._made.lookup_of(seen.tcp.address))
        self._note(row, (seen.tcp.address, seen.tcp.port), index)

    def _handshake(self, row: Json) -> None:
        end = s.split(row.get("address"))
        parent = self._under(row, end)
        if parent is None and not end[0]:
            parent = self._free()
        if parent is None:
            parent = self._opened(end)
        index = self._made.add(s.handshake(row, trusted=self._made.trusted), parent)
        self._note(row, end, index)

    def _request(self, row: Json) -> None:
        seen = s.page(row, self._hop.url)
        parent = self._under(row, s.split(row.get("address")))
        if parent is None:
            parent = self._standing()
        if parent is not None and self._made.made[parent].failure is not None:
            return  # told already, by the step that failed
        if parent is None:
            if self._guessed(seen[0].failure):
                return
            parent = self._opened((self._own_address(), self._hop.port))
        if self._hop.secure and self._made.made[parent].operation is Operation.CONNECT:
            parent = self._made.add(
                s.handshake({"server_name": self._hop.host}, trusted=self._made.trusted), parent
            )
        for one in seen:
            parent = self._made.add(one, parent)

    def _guessed(self, word: Failure | None) -> bool:
        """A request that came to nothing, and no row tells where. True when all is told."""
        if word is None:
            return False
        lookups = [x.dns for x in self._made.here() if x.dns]
        if lookups and not any(dns.addresses for dns in lookups):
            return True  # no lookup gave an address, and those rows tell how
        if word in NAME_WORDS:
            if not any(x.dns for x in self._made.here()):
                dns = Dns(engine="system", resolver="", name=self._hop.host, query_type="A")
                self._made.add(
                    Observation(
                        operation=Operation.RESOLVE,
                        started_us=0,
                        duration_us=0,
                        failure=word,
                        dns=dns,
                    )
                )
            return True
        if self._hop.connects:
            return True  # every connection failed, and those rows tell how
        end = (self._own_address(), self._hop.port)
        if word in LINE_WORDS:
            self._opened(end, word)
            return True
        if self._hop.secure:
            row = {"server_name": self._hop.host, "failure": str(word)}
            self._made.add(s.handshake(row, trusted=self._made.trusted), self._opened(end))
            return True
        return False

    def _under(self, row: Json, end: tuple[str, int]) -> int | None:
        connection = row.get("transaction_id")
        if isinstance(connection, int) and connection in self._by_connection:
            return self._by_connection[connection]
        return self._by_address.get(end) if end[0] else None

    def _free(self) -> int | None:
        """A connection that stands and that no handshake was made over: they come in one order."""
        taken_ = {x.parent for x in self._made.made if x.operation is Operation.TLS_HANDSHAKE}
        standing = (i for i in sorted(self._by_address.values()) if self._stands(i))
        return next((i for i in standing if i not in taken_), None)

    def _standing(self) -> int | None:
        """The first connection at the page's port that got as far as a request needs."""
        ends = [i for (_, port), i in self._by_address.items() if port == self._hop.port]
        return next((i for i in sorted(ends) if self._stands(i)), None)

    def _stands(self, index: int) -> bool:
        return self._made.made[index].failure is None

    def _opened(self, end: tuple[str, int], word: Failure | None = None) -> int:
        """A connection of which no row tells, but of which something that stands on it does."""
        tcp = Tcp(address=end[0], port=end[1]) if end[0] else None
        seen = Observation(
            operation=Operation.CONNECT, started_us=0, duration_us=0, failure=word, tcp=tcp
        )
        return self._made.add(seen, self._made.lookup_of(end[0]) if end[0] else None)

    def _own_address(self) -> str:
        if s.is_address(self._hop.host):
            return self._hop.host
        for seen in self._made.here():
            if seen.dns and seen.dns.engine == "system" and seen.dns.addresses:
                return seen.dns.addresses[0]
        return ""

    def _note(self, row: Json, end: tuple[str, int], index: int) -> None:
        connection = row.get("transaction_id")
        if isinstance(connection, int) and connection > 0:
            self._by_connection[connection] = index
        if end[0]:
            self._by_address[end] = index


def _same_query(one: Json, other: Json) -> bool:
    keys = ("engine", "hostname", "query_type", "resolver_address")
    return all(one.get(key) == other.get(key) for key in keys)
