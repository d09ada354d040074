"""Import of dnscheck, stunreachability, tor and the two middlebox tests."""

from itertools import zip_longest

from msgspec import UNSET

from heliograph.failure import Failure, Operation
from heliograph.observation import Exchange, Observation, Udp
from heliograph_collector.sources.ooni import archival
from heliograph_collector.sources.ooni.archival import Steps
from heliograph_collector.sources.ooni.document import (
    OoniDocument,
    OoniKeys,
    ResolverResult,
    TorTarget,
)
from heliograph_collector.sources.ooni.endpoints import add_outcome, import_steps
from heliograph_collector.sources.ooni.envelope import ImportedMeasurement
from heliograph_collector.sources.ooni.steps_builder import HopRows, add_hop_steps

TOR_KINDS = ("dir_port", "or_port", "or_port_dirauth", "obfs4")
TAMPERED = (
    "header_field_name",
    "header_field_number",
    "header_field_value",
    "header_name_capitalization",
    "request_line_capitalization",
    "header_name_diff",  # a list of the names
)


def read_dnscheck(document: OoniDocument) -> ImportedMeasurement:
    """Import the lookup of the resolver's name and a query to each of its addresses."""
    keys = document.test_keys
    steps = Steps()
    groups = {}
    steps.label = "bootstrap"
    for row in keys.bootstrap.queries:
        steps.add_all(archival.parse_queries(row))
    if keys.bootstrap_failure and not steps.observations:
        add_outcome(steps, Operation.RESOLVE, keys.bootstrap_failure)
    if steps.observations:
        groups["bootstrap"] = "bootstrap"
    for url, lookup in keys.lookups.items():
        steps.label = label = f"lookup-{url}"[:200]
        _add_resolver(steps, url, lookup)
        if steps.select_current():
            groups[label] = "lookup"
    return import_steps(document, "dnscheck", steps, groups)


def _add_resolver(steps: Steps, url: str, lookup: ResolverResult) -> None:
    hop = HopRows(url, connects=lookup.tcp_connect, handshakes=lookup.tls_handshakes)
    add_hop_steps(steps, hop)
    _add_last_exchange(steps, "dns", "answer", lookup.failure)


def _add_last_exchange(
    steps: Steps, protocol: str, reply: str, failure_code: Failure | None
) -> None:
    """Add the exchange that follows the present steps, unless one of them failed."""
    present = steps.select_current()
    if not any(x.failure is not None for x in present):
        parent = len(steps.observations) - 1 if present else None
        steps.add(_build_exchange(protocol, reply, failure_code), parent)


def _build_exchange(
    protocol: str,
    reply: str,
    failure_code: Failure | None,
    *,
    udp: Udp | None = None,
    differences: tuple[str, ...] = (),
) -> Observation:
    """Build an exchange, which has the reply unless it failed."""
    is_dns_failure = failure_code is not None and failure_code.startswith("dns_")
    exchange = Exchange(
        protocol=protocol, reply="" if failure_code else reply, differences=differences
    )
    if is_dns_failure:
        failure_code = Failure.UNEXPECTED_REPLY  # it came over an encrypted connection
    return archival.presume_step(Operation.EXCHANGE, failure_code, udp=udp, exchange=exchange)


def read_stunreachability(document: OoniDocument) -> ImportedMeasurement:
    keys = document.test_keys
    steps = Steps(label="stun")
    for row in keys.queries:
        steps.add_all(archival.parse_queries(row))
    failure_code = keys.failure or None
    is_recorded = failure_code is not None and failure_code in {
        x.failure for x in steps.observations
    }
    if not is_recorded and (keys.failure is not UNSET or keys.endpoint):
        address, port = _find_udp_endpoint(keys, steps)
        udp = Udp(address=address, port=port) if address else None
        steps.add(
            _build_exchange("stun", "binding_success", failure_code, udp=udp),
            steps.find_lookup(address) if address else None,
        )
    return import_steps(
        document,
        "stun",
        steps,
        {"stun": "stun"} if steps.observations else {},
        needs_peers=True,  # one unanswered packet is a lost one
    )


def _find_udp_endpoint(keys: OoniKeys, steps: Steps) -> tuple[str, int]:
    end = archival.split_endpoint(keys.endpoint)
    if end[0]:
        return end
    own_addresses = (a for x in steps.observations if x.dns for a in x.dns.addresses)
    return next(own_addresses, ""), 3478


def read_tor(document: OoniDocument) -> ImportedMeasurement:
    """Import each target as an endpoint; targets of one kind form a group."""
    keys = document.test_keys
    steps = Steps()
    groups = {}
    for name, target in keys.targets.items():
        kind = target.target_protocol
        if kind not in TOR_KINDS:
            continue
        steps.label = label = f"{kind}-{name}"[:200]
        _add_tor_target(steps, target)
        if steps.select_current():
            groups[label] = kind
    return import_steps(document, "tor_targets", steps, groups)


def _add_tor_target(steps: Steps, target: TorTarget) -> None:
    address, port = archival.split_endpoint(target.target_address)
    add_hop_steps(steps, HopRows(f"tcp://{address or 'x'}:{port}", connects=target.tcp_connect))
    if not steps.select_current() and target.failure is not None:
        add_outcome(steps, Operation.CONNECT, target.failure)
    else:
        _add_last_exchange(steps, "tor", "handshake", target.failure)


def read_header_fields(document: OoniDocument) -> ImportedMeasurement:
    """Import http_header_field_manipulation: differences of the echoed headers."""
    keys = document.test_keys
    steps = Steps(label="echo")
    failure_code = (keys.requests[0].failure if keys.requests else None) or keys.failure or None
    differences = [name for name in TAMPERED if keys.tampering.get(name)]
    if keys.tampering.get("total"):
        differences.append("no_echo")
    if keys.requests or keys.tampering or failure_code:
        # OONI sets "total" also when the echo service was not reached
        _add_echo(steps, "http_echo", failure_code, () if failure_code else tuple(differences))
    return import_steps(
        document, "middlebox", steps, {"echo": "echo"} if steps.observations else {}
    )


def read_request_lines(document: OoniDocument) -> ImportedMeasurement:
    """Import http_invalid_request_line: malformed lines that are echoed as sent."""
    keys = document.test_keys
    steps = Steps()
    lines = zip_longest(keys.sent, keys.received, keys.failure_list)
    for number, (sent, received, failure_code) in enumerate(lines, 1):
        steps.label = f"line-{number}"
        is_same = sent is not None and sent == received
        differences = () if is_same or failure_code else ("echo_differs",)
        _add_echo(steps, "tcp_echo", failure_code, differences)
    return import_steps(
        document, "middlebox", steps, {x.endpoint: "line" for x in steps.observations}
    )


def _add_echo(
    steps: Steps, protocol: str, failure_code: Failure | None, differences: tuple[str, ...]
) -> None:
    steps.add(_build_exchange(protocol, "echo", failure_code, differences=differences))
