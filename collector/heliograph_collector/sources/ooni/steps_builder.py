"""Conversion of OONI's rows on one page or endpoint to linked steps."""

from dataclasses import dataclass, field
from operator import attrgetter
from urllib.parse import urlsplit

from heliograph.failure import Failure, Operation
from heliograph.observation import Tcp
from heliograph_collector.sources.ooni import archival
from heliograph_collector.sources.ooni.archival import Steps, normalize_host
from heliograph_collector.sources.ooni.document import (
    ConnectRow,
    HandshakeRow,
    QueryRow,
    RequestRow,
    Row,
)
from heliograph_collector.sources.ooni.http_facts import parse_scheme

NAME_FAILURES = frozenset(w for w in Failure if w.startswith("dns_"))
TLS_FAILURES = frozenset(w for w in Failure if w.startswith("ssl_"))
CONNECT_FAILURES = frozenset(
    (Failure.CONNECTION_REFUSED, Failure.HOST_UNREACHABLE, Failure.NETWORK_UNREACHABLE)
)
PORTS = {"https": 443, "http": 80}
_QUERY_KEY = attrgetter("engine", "hostname", "query_type", "resolver_address")


@dataclass(slots=True)
class HopRows:
    """One page of the redirect chain with its rows."""

    url: str
    queries: list[QueryRow] = field(default_factory=list)
    connects: list[ConnectRow] = field(default_factory=list)
    handshakes: list[HandshakeRow] = field(default_factory=list)
    requests: list[RequestRow] = field(default_factory=list)
    duplicates: list[QueryRow] = field(default_factory=list)

    @property
    def host(self) -> str:
        try:
            return normalize_host(urlsplit(self.url).hostname or "")
        except ValueError:
            return ""

    @property
    def is_secure(self) -> bool:
        return parse_scheme(self.url) == "https"

    @property
    def port(self) -> int:
        try:
            return urlsplit(self.url).port or PORTS.get(parse_scheme(self.url), 0)
        except ValueError:
            return 0


def add_hop_steps(steps: Steps, hop: HopRows) -> None:
    """Add the hop's steps under the present label of `steps`."""
    _StepBuilder(steps, hop).build()


class _StepBuilder:
    """Builder that links each step of a hop to the step below it."""

    def __init__(self, steps: Steps, hop: HopRows) -> None:
        self._steps = steps
        self._hop = hop
        self._by_connection: dict[int, int] = {}  # transaction → its last step
        self._by_address: dict[tuple[str, int], int] = {}

    def build(self) -> None:
        for query in self._hop.queries:
            later = [d for d in self._hop.duplicates if _QUERY_KEY(d) == _QUERY_KEY(query)]
            self._steps.add_all(archival.parse_queries(query, later, self._steps.label))
        for connect in self._hop.connects:
            self._add_connect(connect)
        for handshake in self._hop.handshakes:
            self._add_handshake(handshake)
        for request in self._hop.requests:
            self._add_request(request)

    def _add_connect(self, row: ConnectRow) -> None:
        parent = self._steps.find_lookup(row.ip)
        index = self._steps.add(archival.parse_connect(row, self._steps.label, parent), parent)
        self._index_step(row, (row.ip, row.port), index)

    def _add_handshake(self, row: HandshakeRow) -> None:
        end = archival.split_endpoint(row.address)
        parent = self._find_parent(row, end)
        if parent is None and not end[0]:
            parent = self._find_free_connection()
        if parent is None:
            parent = self._add_connection(end)
        index = self._steps.add(archival.parse_handshake(row, trusted=self._steps.trusted), parent)
        self._index_step(row, end, index)

    def _add_request(self, row: RequestRow) -> None:
        observations = archival.parse_page(row, self._hop.url)
        parent = self._find_parent(row, archival.split_endpoint(row.address))
        if parent is None:
            parent = self._find_page_connection()
        if parent is not None and self._steps.observations[parent].failure is not None:
            return  # the failed step is already recorded
        if self._add_failed_handshake(parent, observations[0].failure):
            return
        if parent is None:
            if self._add_presumed_failure(observations[0].failure):
                return
            parent = self._add_connection((self._find_own_address(), self._hop.port))
        if self._hop.is_secure and self._steps.observations[parent].operation is Operation.CONNECT:
            parent = self._add_unrecorded_handshake(parent)
        for observation in observations:
            parent = self._steps.add(observation, parent)

    def _add_failed_handshake(self, parent: int | None, failure_code: Failure | None) -> bool:
        """Add a request's failure at its handshake; return False if it failed elsewhere.

        A certificate fails in a handshake. Where none is recorded for a request over HTTPS, none
        is known to have passed either.
        """
        if parent is None or failure_code is None:
            return False
        has_handshake = self._steps.observations[parent].operation is Operation.TLS_HANDSHAKE
        is_insecure = not self._hop.is_secure
        if failure_code not in TLS_FAILURES and (has_handshake or is_insecure):
            return False
        if has_handshake or is_insecure:  # so it was over another connection
            parent = self._add_connection(self._find_end(parent) if has_handshake else ("", 0))
        self._add_unrecorded_handshake(parent, failure_code)
        return True

    def _find_end(self, index: int) -> tuple[str, int]:
        """Find the address and port of a step's connection, ("", 0) if unrecorded."""
        step = self._steps.observations[index]
        while step.tcp is None and step.parent is not None:
            step = self._steps.observations[step.parent]
        return (step.tcp.address, step.tcp.port) if step.tcp else ("", 0)

    def _add_presumed_failure(self, failure_code: Failure | None) -> bool:
        """Add the failure of a request at its likely step; return True if nothing is left."""
        if failure_code is None:
            return False
        lookups = [x.dns for x in self._steps.select_current() if x.dns]
        if lookups and not any(dns.addresses for dns in lookups):
            return True  # no lookup gave an address, and its rows contain the failure
        if failure_code in NAME_FAILURES:
            if not any(x.dns for x in self._steps.select_current()):
                self._steps.add(archival.presume_lookup(self._hop.host, failure_code))
            return True
        if self._hop.connects:
            return True  # every connection failed, and its rows contain the failure
        end = (self._find_own_address(), self._hop.port)
        if failure_code in CONNECT_FAILURES:
            self._add_connection(end, failure_code)
            return True
        if self._hop.is_secure:
            self._add_unrecorded_handshake(self._add_connection(end), failure_code)
            return True
        return False

    def _add_unrecorded_handshake(self, parent: int, failure_code: Failure | None = None) -> int:
        row = HandshakeRow(server_name=self._hop.host, failure=failure_code)
        return self._steps.add(archival.parse_handshake(row, trusted=self._steps.trusted), parent)

    def _find_parent(self, row: Row, end: tuple[str, int]) -> int | None:
        by_address = self._by_address.get(end) if end[0] else None
        return self._by_connection.get(row.transaction_id, by_address)

    def _find_free_connection(self) -> int | None:
        """Find the first open connection without handshake: both lists have one order."""
        used_parents = {
            x.parent for x in self._steps.observations if x.operation is Operation.TLS_HANDSHAKE
        }
        open_indices = (i for i in sorted(self._by_address.values()) if self._is_open(i))
        return next((i for i in open_indices if i not in used_parents), None)

    def _find_page_connection(self) -> int | None:
        ends = [i for (_, port), i in self._by_address.items() if port == self._hop.port]
        return next((i for i in sorted(ends) if self._is_open(i)), None)

    def _is_open(self, index: int) -> bool:
        return self._steps.observations[index].failure is None

    def _add_connection(self, end: tuple[str, int], failure_code: Failure | None = None) -> int:
        """Add a connection that has no row, but that a later step needs."""
        tcp = Tcp(address=end[0], port=end[1]) if end[0] else None
        step = archival.presume_step(Operation.CONNECT, failure_code, tcp=tcp)
        return self._steps.add(step, self._steps.find_lookup(end[0]) if end[0] else None)

    def _find_own_address(self) -> str:
        if archival.is_address(self._hop.host):
            return self._hop.host
        for observation in self._steps.select_current():
            if observation.dns and observation.dns.engine == "system" and observation.dns.addresses:
                return observation.dns.addresses[0]
        return ""

    def _index_step(self, row: Row, end: tuple[str, int], index: int) -> None:
        if row.transaction_id > 0:
            self._by_connection[row.transaction_id] = index
        if end[0]:
            self._by_address[end] = index
