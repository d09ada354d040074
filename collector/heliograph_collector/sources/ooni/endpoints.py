"""Import of service tests: rows by endpoint, and a presumed control.

OONI has no control for these tests. The service is presumed to be up, which halves the confidence.
`PeerOutcomes` (control.py) uses the outcomes of other countries instead, if imported.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from urllib.parse import urlsplit

from msgspec import UNSET

from heliograph.failure import Failure, Operation
from heliograph.observation import Link, Observation
from heliograph.plan import ServiceFunction
from heliograph_collector.model.records import ControlView
from heliograph_collector.sources.ooni import archival
from heliograph_collector.sources.ooni.archival import Steps, normalize_host
from heliograph_collector.sources.ooni.document import (
    ConnectRow,
    ConnectStatus,
    HandshakeRow,
    OoniDocument,
    OoniKeys,
    QueryRow,
    RecordedFailure,
    RequestRow,
    Response,
)
from heliograph_collector.sources.ooni.envelope import (
    ImportedMeasurement,
    build_measurement,
    build_record,
    detect_link,
    parse_vantage,
)
from heliograph_collector.sources.ooni.steps_builder import HopRows, add_hop_steps
from heliograph_collector.sources.typed_reader import MAX_ROWS

MAX_ENDPOINTS = MAX_ROWS  # as many as rows are read
# Functions of OONI's groups of endpoints, as services.yml has them for ours.
FUNCTIONS: Mapping[str, Mapping[str, ServiceFunction]] = {
    "telegram": {"dc": ServiceFunction.MESSAGING, "web": ServiceFunction.WEB},
    "whatsapp": {
        "endpoints": ServiceFunction.MESSAGING,
        "registration": ServiceFunction.REGISTRATION,
        "web": ServiceFunction.WEB,
    },
    "signal": {
        "backend": ServiceFunction.MESSAGING,
        "chat.signal.org": ServiceFunction.MESSAGING,
        "textsecure-service.whispersystems.org": ServiceFunction.MESSAGING,
        "api.backup.signal.org": ServiceFunction.REGISTRATION,
        "api.directory.signal.org": ServiceFunction.REGISTRATION,
        "cdsi.signal.org": ServiceFunction.REGISTRATION,
        "storage.signal.org": ServiceFunction.MEDIA,
        "cdn.signal.org": ServiceFunction.MEDIA,
        "cdn2.signal.org": ServiceFunction.MEDIA,
        "cdn3.signal.org": ServiceFunction.MEDIA,
        "sfu.voip.signal.org": ServiceFunction.CALLS,
        "updates.signal.org": ServiceFunction.WEB,
        "updates2.signal.org": ServiceFunction.WEB,
    },
    "facebook_messenger": {
        "all": ServiceFunction.MESSAGING,
        "edge": ServiceFunction.MESSAGING,
        "b_api": ServiceFunction.REGISTRATION,
        "b_graph": ServiceFunction.REGISTRATION,
        "star": ServiceFunction.REGISTRATION,
        "external_cdn": ServiceFunction.MEDIA,
        "scontent_cdn": ServiceFunction.MEDIA,
        "stun": ServiceFunction.CALLS,
    },
}
CAUSELESS_LABELS = frozenset(("dc", "endpoint"))  # summary labels without a recorded failure
EARLY_OPERATIONS = {
    "resolve": Operation.RESOLVE,
    "connect": Operation.CONNECT,
}  # OONI's failed_operation


@dataclass(frozen=True, slots=True)
class ServiceEndpoint:
    """Endpoint of a client; a URL with the scheme tcp is a connection only."""

    label: str
    group: str
    url: str


class EndpointRows:
    """Rows of a measurement by host, and its endpoints."""

    def __init__(self, keys: OoniKeys) -> None:
        self.keys = keys
        self.endpoints: dict[str, ServiceEndpoint] = {}
        self._queries: defaultdict[str, list[QueryRow]] = defaultdict(list)
        self._addresses: dict[str, set[str]] = {}  # by host, as asked for
        # with the place of each row, by which the rows of several addresses are ordered
        self._connects: defaultdict[tuple[str, int], list[tuple[int, ConnectRow]]] = defaultdict(
            list
        )
        self._handshakes: defaultdict[str, list[HandshakeRow]] = defaultdict(list)
        self._requests: defaultdict[tuple[str, str, int], list[RequestRow]] = defaultdict(list)
        for query in keys.queries:
            self._queries[normalize_host(query.hostname)].append(query)
        for place, connect in enumerate(keys.tcp_connect):
            self._connects[connect.ip, connect.port].append((place, connect))
        for handshake in keys.tls_handshakes:
            self._handshakes[normalize_host(handshake.server_name)].append(handshake)
        for request in keys.requests:
            self._requests[_parse_origin(request.request.url)].append(request)

    def add(self, endpoint: ServiceEndpoint) -> None:
        if len(self.endpoints) < MAX_ENDPOINTS:
            self.endpoints.setdefault(endpoint.label, endpoint)

    def select_rows(self, endpoint: ServiceEndpoint) -> HopRows:
        """Select the endpoint's rows; hosts share addresses, so a row may be of several.

        A connection does not name its host. Of those that ended alike at one address the first
        stands for all: WhatsApp's 16 hosts share four addresses.
        """
        hop = HopRows(endpoint.url)
        host = hop.host
        hop.queries = self._queries.get(host, []) if host else []
        port = hop.port
        ends = (self._connects.get((address, port), ()) for address in self._list_addresses(host))
        hop.connects = [row for _, row in sorted(chain.from_iterable(ends))]
        if endpoint.url.startswith("tcp:"):
            alike: dict[tuple[str, ConnectStatus], ConnectRow] = {}
            for row in hop.connects:
                alike.setdefault((row.ip, row.status), row)
            hop.connects = [*alike.values()]
            return hop
        hop.handshakes = self._handshakes.get(host, []) if host else []
        hop.requests = self._requests.get(_parse_origin(endpoint.url), [])
        failures = {request.failure for request in hop.requests}
        if self.keys.tls_handshakes and not hop.handshakes and None not in failures:
            # Where handshakes are listed and this host has none, its own connections failed.
            failed = [row for row in hop.connects if row.status.failure in failures]
            hop.connects = failed or hop.connects
        return hop

    def _list_addresses(self, host: str) -> set[str]:
        """List the addresses of a host, which several endpoints have on several ports."""
        addresses = self._addresses.get(host)
        if addresses is None:
            addresses = archival.list_addresses(self._queries.get(host, []) if host else [])
            addresses |= {host} if archival.is_address(host) else set()
            self._addresses[host] = addresses
        return addresses


def import_service(
    document: OoniDocument,
    name: str,
    endpoint_rows: EndpointRows,
    fill: Callable[[Steps, ServiceEndpoint], None] | None,
) -> ImportedMeasurement:
    """Import all endpoints; `fill` may add steps that only a summary key records."""
    steps = Steps()
    for endpoint in endpoint_rows.endpoints.values():
        steps.label = endpoint.label
        step_count = len(steps.observations)
        add_hop_steps(steps, endpoint_rows.select_rows(endpoint))
        if fill is not None and len(steps.observations) == step_count:
            fill(steps, endpoint)
    groups = {e.label: e.group for e in endpoint_rows.endpoints.values()}
    return import_steps(document, name, steps, groups, causeless_labels=CAUSELESS_LABELS)


def import_steps(
    document: OoniDocument,
    name: str,
    steps: Steps,
    groups: dict[str, str],
    *,
    is_expected: Callable[[Observation], bool] | None = None,
    causeless_labels: frozenset[str] = frozenset(),
    needs_peers: bool = False,
) -> ImportedMeasurement:
    """Build the imported measurement; `is_expected` selects everybody's failures.

    With `needs_peers` the service is not presumed to work: nobody else saw whether it did, unless
    other countries were imported. It is not presumed to work either if every connection to anywhere
    was met by silence: that is a line or a firewall that lets nothing out, as well as a censor.
    """
    steps.observations = [_reject_private(x, steps.observations) for x in steps.observations]
    online = detect_link(document, steps.observations)
    target = document.input or name
    by_group = FUNCTIONS.get(name, {})
    functions = {label: by_group[group] for label, group in groups.items() if group in by_group}
    service_measurement = build_measurement(
        document, steps.observations, experiment=name, target=target, service=name, online=online
    )
    is_all_silent = _is_all_silent(steps.observations)
    presumed = replace(
        service_measurement,
        link=Link.ONLINE,
        observations=tuple(
            x
            if is_expected is not None and x.failure and is_expected(x)
            else presume_unseen(x)
            if needs_peers or (is_all_silent and x.operation is not Operation.RESOLVE)
            else presume_passed(x)
            for x in steps.observations
        ),
    )
    probe_vantage = parse_vantage(document)
    return ImportedMeasurement(
        input=document.input,
        test_name=document.test_name,
        probe_cc=probe_vantage.country,
        probe_asn=f"AS{probe_vantage.asn}",
        record=build_record(document, service_measurement),
        control=ControlView(
            measurement=presumed, age_us=0, link=Link.ONLINE, groups=groups, functions=functions
        ),
        presumed=True,
        groups=groups,
        causeless_labels=causeless_labels,
    )


def _is_all_silent(observations: Sequence[Observation]) -> bool:
    """Return whether nothing answered, as at a vantage without a link.

    An answer to a lookup shows a link, and then silence at every address is the service's.
    """
    if any(x.operation is Operation.RESOLVE and x.failure is None for x in observations):
        return False
    beyond = [x for x in observations if x.operation is not Operation.RESOLVE]
    return bool(beyond) and all(
        x.operation is Operation.CONNECT and x.failure is Failure.GENERIC_TIMEOUT_ERROR
        for x in beyond
    )


def _reject_private(observation: Observation, observations: Sequence[Observation]) -> Observation:
    """Reject answers with only private addresses unless a handshake verified one.

    A service is on the Internet, so such an answer is a bogon.
    """
    dns = observation.dns
    if dns is None or not dns.addresses or any(map(archival.is_public, dns.addresses)):
        return observation
    proven = {
        observations[x.parent].tcp for x in observations if _is_verified(x) and x.parent is not None
    }
    if any(end and end.address in dns.addresses for end in proven):
        return observation
    return replace(observation, failure=Failure.DNS_BOGON_ERROR)


def _is_verified(observation: Observation) -> bool:
    return observation.operation is Operation.TLS_HANDSHAKE and observation.failure is None


def presume_unseen(observation: Observation) -> Observation:
    """Return the step as nobody else saw it; a page in clear may be anybody's."""
    http = observation.http
    is_cleartext = http is not None and http.url.startswith("http:")
    if observation.failure is None and not is_cleartext:
        return presume_passed(observation)
    return replace(observation, failure=Failure.UNKNOWN_FAILURE)


def presume_passed(observation: Observation) -> Observation:
    """Return the step without its failure, as the service answers when unblocked."""
    has_chain = observation.tls is not None and observation.tls.chain
    if observation.failure is None and observation.exchange is None and not has_chain:
        return observation
    dns = observation.dns
    if dns is not None and observation.failure is not None:
        dns = replace(dns, answers=())  # what the vantage rejected is no answer of the control
    tls = replace(observation.tls, chain=()) if observation.tls else None
    exchange = replace(observation.exchange, differences=()) if observation.exchange else None
    return replace(observation, failure=None, dns=dns, tls=tls, exchange=exchange)


def add_fetch(steps: Steps, url: str, failure_code: Failure | None, operation: str) -> None:
    """Add a fetch of which only the outcome, and perhaps the failed step, is recorded."""
    if failure_code is not None and operation in EARLY_OPERATIONS:
        add_outcome(steps, EARLY_OPERATIONS[operation], failure_code)
        return
    hop = HopRows(url)
    response = Response(code=200 if failure_code is None else 0)
    hop.requests = [RequestRow(failure=failure_code, response=response)]
    add_hop_steps(steps, hop)


def read_summary(recorded: RecordedFailure, status: str) -> tuple[bool, Failure | None]:
    """Return whether a summary covers this endpoint, and its failure.

    "blocked" without a failure becomes UNKNOWN_FAILURE.
    """
    failure_code = recorded or None
    if failure_code is None and status == "blocked":
        failure_code = Failure.UNKNOWN_FAILURE
    return recorded is not UNSET or bool(status), failure_code


def add_outcome(steps: Steps, operation: Operation, failure_code: Failure | None = None) -> None:
    if operation is Operation.CONNECT and failure_code is Failure.EOF_ERROR:
        failure_code = Failure.CONNECTION_RESET
    steps.add(archival.presume_step(operation, failure_code))


def _parse_origin(url: str) -> tuple[str, str, int]:
    hop = HopRows(url)
    try:
        return urlsplit(url).scheme.lower(), hop.host, hop.port
    except ValueError:
        return "", "", 0
