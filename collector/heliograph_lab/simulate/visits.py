"""Visits to endpoints: generate their observations step by step. Pure.

This copies `heliograph_agent.experiments.endpoints`, which the collector may not import. A test
runs the real experiments over a scripted net and compares the steps.
"""

import ipaddress
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from heliograph.failure import Failure, Operation
from heliograph.observation import Dns, DnsAnswer, Exchange, Http, Observation, Tcp, Tls, Udp
from heliograph.plan import TLS_KINDS, UDP_KINDS, Endpoint, EndpointKind
from heliograph_lab.simulate.hosts import SimulatedHost, derive_host

BODY_LIMIT = 4_096  # of an endpoint's page, as in the agent
STEP_TIMEOUT_US = 10_000_000  # timeout of a step
TTL_S = 300
SWITCHING_PROTOCOLS = 101
# in addition to the round trip
_LOOKUP_US = 12_000
_LOCAL_WORK_US = 3_000
_EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_STATUS_BY_PATH = {"/generate_204": 204, "/": 200}
_EXCHANGES = {  # protocol, reply, bytes sent, bytes received
    EndpointKind.MTPROTO: ("mtproto", "res_pq", 108, 100),
    EndpointKind.NOISE: ("noise", "server_hello", 43, 350),
    EndpointKind.STUN: ("stun", "binding_success", 20, 32),
}
_DATAGRAMS = UDP_KINDS & _EXCHANGES.keys()


class InterferenceMethod(StrEnum):
    """A method by which a network blocks a service."""

    RESET = "reset"  # of the connection after the first message
    SILENCE = "silence"  # no reply to that message
    DROPPED = "dropped"  # no connection is established
    NXDOMAIN = "nxdomain"  # the resolver denies the name


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConditions:
    """The treatment of a visit by a vantage's network."""

    round_trip_us: int = 60_000
    ipv6: bool = False  # False: no route to IPv6
    loss_share: float = 0.0  # share of unanswered connections and datagrams
    interference: InterferenceMethod | None = None


@dataclass(slots=True)
class StepLog:
    """The observations of one task and its elapsed time."""

    conditions: NetworkConditions
    rng: random.Random
    observations: list[Observation] = field(default_factory=list)
    now_us: int = 0

    def add_step(
        self, operation: Operation, endpoint: str, duration_us: int, **details: Any
    ) -> int:
        """Record a step; return its index, which child steps name as their parent."""
        duration_us = int(duration_us * self.rng.uniform(0.7, 1.6))
        self.observations.append(
            Observation(
                operation=operation,
                started_us=self.now_us,
                duration_us=duration_us,
                endpoint=endpoint,
                **details,
            )
        )
        self.now_us += duration_us
        return len(self.observations) - 1

    @property
    def round_trip_us(self) -> int:
        return self.conditions.round_trip_us


@dataclass(frozen=True, slots=True)
class ResolvedAddress:
    """An address literal, with the index of the lookup that returned it."""

    literal: str
    lookup: int | None = None


def visit_endpoints(
    endpoints: Iterable[Endpoint],
    recorder: StepLog,
    max_ipv4: int,
    concurrency: int,
    *,
    until_answered: bool = False,
) -> None:
    """Visit each endpoint once, `concurrency` at a time."""
    free_us = [recorder.now_us] * concurrency
    for endpoint in endpoints:
        slot = free_us.index(min(free_us))
        recorder.now_us = free_us[slot]
        visit_endpoint(endpoint, recorder, max_ipv4, until_answered=until_answered)
        free_us[slot] = recorder.now_us
    recorder.now_us = max(free_us)


def visit_endpoint(
    endpoint: Endpoint, recorder: StepLog, max_ipv4: int, *, until_answered: bool = False
) -> None:
    """Resolve the host, then visit `max_ipv4` IPv4 addresses and one IPv6 address.

    With `until_answered` none is visited after one that answers.
    """
    addresses = resolve_host(endpoint.host, recorder, endpoint.id, max_ipv4)
    if endpoint.kind is EndpointKind.DNS:
        return
    for address in addresses:
        if endpoint.kind in _DATAGRAMS:
            udp = Udp(address=address.literal, port=endpoint.port)
            failure = _connect_failure(address, recorder)
            _exchange_message(endpoint, address.lookup, recorder, udp, failure)
        else:
            _visit_address(endpoint, address, recorder)
        if until_answered and recorder.observations[-1].failure is None:
            break


def resolve_host(
    name: str, recorder: StepLog, label: str, max_ipv4: int
) -> Sequence[ResolvedAddress]:
    """Return a literal itself, or the A and AAAA answers of the system resolver."""
    if is_ip_literal(name):
        return (ResolvedAddress(name),)
    ipv4_lookup = query_dns(name, "A", "system", "", recorder, label)
    ipv6_lookup = query_dns(name, "AAAA", "system", "", recorder, label)
    return (
        *read_addresses(ipv4_lookup, recorder, max_ipv4),
        *read_addresses(ipv6_lookup, recorder, 1),
    )


def query_dns(
    name: str, query_type: str, engine: str, resolver: str, recorder: StepLog, label: str
) -> int:
    """Record one lookup and return its index; DNS over HTTPS cannot be forged on path."""
    is_forged = recorder.conditions.interference is InterferenceMethod.NXDOMAIN and engine != "doh"
    answers: Sequence[DnsAnswer] = (
        () if is_forged else derive_host(name).build_answers(query_type, TTL_S)
    )
    failure = None
    if not answers:
        failure = Failure.DNS_NXDOMAIN_ERROR if is_forged else Failure.DNS_NO_ANSWER
    dns = Dns(
        engine=engine,
        resolver=resolver,
        name=name,
        query_type=query_type,
        rcode=3 if is_forged else 0,
        answers=tuple(answers),
    )
    return recorder.add_step(Operation.RESOLVE, label, _LOOKUP_US, failure=failure, dns=dns)


def read_addresses(lookup: int, recorder: StepLog, limit: int) -> Iterator[ResolvedAddress]:
    """Yield the first `limit` addresses of a lookup."""
    dns = recorder.observations[lookup].dns
    for literal in (dns.addresses if dns is not None else ())[:limit]:
        yield ResolvedAddress(literal, lookup)


def connect_tcp(address: ResolvedAddress, port: int, recorder: StepLog, label: str) -> int | None:
    """Record a TCP connection; return its index, None if it failed."""
    failure = _connect_failure(address, recorder)
    duration_us = _step_duration_us(failure, recorder.round_trip_us)
    tcp = Tcp(address=address.literal, port=port)
    index = recorder.add_step(
        Operation.CONNECT, label, duration_us, parent=address.lookup, failure=failure, tcp=tcp
    )
    return None if failure else index


def handshake_tls(name: str, parent: int, recorder: StepLog, label: str) -> int | None:
    """Record a TLS handshake; return its index, None if it failed."""
    failure = _first_message_failure(recorder)
    tls = Tls(server_name=name)
    if failure is None:
        tls = replace(tls, version="TLSv1.3", cipher="TLS_AES_256_GCM_SHA384", alpn="http/1.1")
        tls = replace(tls, chain=derive_host(name).chain)
    duration_us = _step_duration_us(failure, recorder.round_trip_us + _LOCAL_WORK_US)
    index = recorder.add_step(
        Operation.TLS_HANDSHAKE, label, duration_us, parent=parent, failure=failure, tls=tls
    )
    return None if failure else index


def fetch_page(head: Http, body: Http | None, parent: int, recorder: StepLog, label: str) -> None:
    """Record an HTTP round trip and its body; `body` is None after a protocol switch."""
    is_encrypted = recorder.observations[parent].tls is not None
    failure = None if is_encrypted else _first_message_failure(recorder)
    if failure is not None:
        head = Http(method=head.method, url=head.url)
    duration_us = _step_duration_us(failure, recorder.round_trip_us)
    round_trip = recorder.add_step(
        Operation.HTTP_ROUND_TRIP, label, duration_us, parent=parent, failure=failure, http=head
    )
    if failure is None and body is not None:
        recorder.add_step(Operation.READ_BODY, label, _LOCAL_WORK_US, parent=round_trip, http=body)


def is_ip_literal(name: str) -> bool:
    """Return whether the name is an address literal."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _visit_address(endpoint: Endpoint, address: ResolvedAddress, recorder: StepLog) -> None:
    """Record the steps of the endpoint's kind at one address, up to a failure."""
    parent = connect_tcp(address, endpoint.port, recorder, endpoint.id)
    if parent is not None and endpoint.kind in TLS_KINDS:
        parent = handshake_tls(endpoint.host, parent, recorder, endpoint.id)
    if parent is None:
        return
    if endpoint.kind in (EndpointKind.HTTP, EndpointKind.HTTPS, EndpointKind.WEBSOCKET):
        head, body = _build_reply(endpoint)
        fetch_page(head, body, parent, recorder, endpoint.id)
    elif endpoint.kind in _EXCHANGES:
        _exchange_message(endpoint, parent, recorder, None, _first_message_failure(recorder))


def _exchange_message(
    endpoint: Endpoint,
    parent: int | None,
    recorder: StepLog,
    udp: Udp | None,
    failure: Failure | None,
) -> None:
    protocol, reply, sent, received = _EXCHANGES[endpoint.kind]
    exchange = Exchange(protocol=protocol, sent_bytes=sent)
    if failure is None:
        exchange = replace(exchange, reply=reply, received_bytes=received)
    duration_us = _step_duration_us(failure, recorder.round_trip_us)
    recorder.add_step(
        Operation.EXCHANGE,
        endpoint.id,
        duration_us,
        parent=parent,
        failure=failure,
        udp=udp,
        exchange=exchange,
    )


def _connect_failure(address: ResolvedAddress, recorder: StepLog) -> Failure | None:
    conditions = recorder.conditions
    if ":" in address.literal and not conditions.ipv6:
        return Failure.NETWORK_UNREACHABLE
    if (
        conditions.interference is InterferenceMethod.DROPPED
        or recorder.rng.random() < conditions.loss_share
    ):
        return Failure.GENERIC_TIMEOUT_ERROR
    return None


def _first_message_failure(recorder: StepLog) -> Failure | None:
    """Return the failure of a first message, in which filters see the name."""
    match recorder.conditions.interference:
        case InterferenceMethod.RESET:
            return Failure.CONNECTION_RESET
        case InterferenceMethod.SILENCE:
            return Failure.GENERIC_TIMEOUT_ERROR
    return None


def _step_duration_us(failure: Failure | None, expected_us: int) -> int:
    if failure is Failure.NETWORK_UNREACHABLE:
        return _LOCAL_WORK_US
    return STEP_TIMEOUT_US if failure is Failure.GENERIC_TIMEOUT_ERROR else expected_us


def _build_reply(endpoint: Endpoint) -> tuple[Http, Http | None]:
    host = derive_host(endpoint.host)
    url = make_url(endpoint)
    status = _STATUS_BY_PATH.get(endpoint.path, 404)
    if endpoint.kind is EndpointKind.WEBSOCKET:
        return build_response_head(host, endpoint.method, url, SWITCHING_PROTOCOLS), None
    status = 404 if endpoint.method == "POST" else status
    head = build_response_head(host, endpoint.method, url, status)
    return head, build_page(head, host, 0 if status == 204 else BODY_LIMIT)


def make_url(endpoint: Endpoint) -> str:
    """Return the URL that agents request."""
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    scheme, default_port = ("http", 80) if endpoint.kind is EndpointKind.HTTP else ("https", 443)
    port = "" if endpoint.port == default_port else f":{endpoint.port}"
    return f"{scheme}://{host}{port}{endpoint.path}"


def build_response_head(host: SimulatedHost, method: str, url: str, status: int) -> Http:
    """Build the fields of the round trip."""
    return Http(
        method=method,
        url=url,
        status=status,
        server=host.server,
        version="1.1",
        header_names=host.header_names,
    )


def build_page(head: Http, host: SimulatedHost, limit: int) -> Http:
    """Build the fields of the page, of which at most `limit` bytes are read."""
    size = min(limit, host.page_bytes)
    return replace(
        head,
        title="" if size == 0 else f"Page {host.page_sha256[:12]}",
        body_bytes=size,
        body_sha256=host.page_sha256 if size else _EMPTY_SHA256,
        truncated=host.page_bytes > limit > 0,
    )
