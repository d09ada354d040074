"""Import of dnscheck, stunreachability, tor and the two middlebox tests."""

from heliograph.failure import Failure, Operation
from heliograph.observation import Exchange, Observation, Udp
from heliograph_collector.sources.ooni import archival
from heliograph_collector.sources.ooni.archival import Steps
from heliograph_collector.sources.ooni.endpoints import add_outcome, import_steps
from heliograph_collector.sources.ooni.envelope import ImportedMeasurement
from heliograph_collector.sources.ooni.failures import parse_failure
from heliograph_collector.sources.ooni.steps_builder import HopRows, add_hop_steps
from heliograph_collector.sources.ooni.values import (
    Json,
    as_bytes,
    as_object,
    as_rows,
    as_text,
    as_texts,
)

MAX_TARGETS = 128  # per measurement
TOR_KINDS = ("dir_port", "or_port", "or_port_dirauth", "obfs4")
TAMPERED = (
    "header_field_name",
    "header_field_number",
    "header_field_value",
    "header_name_capitalization",
    "request_line_capitalization",
)


def read_dnscheck(document: Json) -> ImportedMeasurement:
    """Import the lookup of the resolver's name and a query to each of its addresses."""
    keys = as_object(document.get("test_keys"))
    steps = Steps()
    groups = {}
    bootstrap = as_object(keys.get("bootstrap"))
    for row in as_rows(bootstrap.get("queries")):
        steps.label = "bootstrap"
        for observation in archival.parse_queries(row):
            steps.add(observation)
    if parse_failure(keys.get("bootstrap_failure")) and not steps.observations:
        steps.label = "bootstrap"
        add_outcome(steps, Operation.RESOLVE, parse_failure(keys.get("bootstrap_failure")))
    if steps.observations:
        groups["bootstrap"] = "bootstrap"
    for url, lookup_keys in list(as_object(keys.get("lookups")).items())[:MAX_TARGETS]:
        steps.label = label = f"lookup-{url}"[:200]
        _add_resolver(steps, url, as_object(lookup_keys))
        if steps.select_current():
            groups[label] = "lookup"
    return import_steps(document, "dnscheck", steps, groups)


def _add_resolver(steps: Steps, url: str, lookup_keys: Json) -> None:
    """Add a resolver's steps, and its answer as an exchange."""
    hop = HopRows(url)
    hop.connects = as_rows(lookup_keys.get("tcp_connect"))
    hop.handshakes = as_rows(lookup_keys.get("tls_handshakes"))
    add_hop_steps(steps, hop)
    failure_code = parse_failure(lookup_keys.get("failure"))
    if any(x.failure is not None for x in steps.select_current()):
        return
    parent = len(steps.observations) - 1 if steps.select_current() else None
    exchange = Exchange(protocol="dns", reply="" if failure_code else "answer")
    steps.add(_build_exchange(exchange, failure_code), parent)


def _build_exchange(
    exchange: Exchange, failure_code: Failure | None, udp: Udp | None = None
) -> Observation:
    return Observation(
        operation=Operation.EXCHANGE,
        started_us=0,
        duration_us=0,
        failure=_map_dns_failure(failure_code),
        udp=udp,
        exchange=exchange,
    )


def _map_dns_failure(failure_code: Failure | None) -> Failure | None:
    """Map a DNS failure over an encrypted connection to UNEXPECTED_REPLY."""
    return (
        Failure.UNEXPECTED_REPLY
        if failure_code and failure_code.startswith("dns_")
        else failure_code
    )


def read_stunreachability(document: Json) -> ImportedMeasurement:
    keys = as_object(document.get("test_keys"))
    steps = Steps(label="stun")
    for row in as_rows(keys.get("queries")):
        for observation in archival.parse_queries(row):
            steps.add(observation)
    failure_code = parse_failure(keys.get("failure"))
    is_recorded = any(
        x.failure is not None and x.failure is failure_code for x in steps.observations
    )
    if not is_recorded and ("failure" in keys or keys.get("endpoint")):
        address, port = _find_udp_endpoint(keys, steps)
        exchange = Exchange(protocol="stun", reply="" if failure_code else "binding_success")
        udp = Udp(address=address, port=port) if address else None
        steps.add(
            _build_exchange(exchange, failure_code, udp),
            steps.find_lookup(address) if address else None,
        )
    return import_steps(
        document, "stunreachability", steps, {"stun": "stun"} if steps.observations else {}
    )


def _find_udp_endpoint(keys: Json, steps: Steps) -> tuple[str, int]:
    end = archival.split_endpoint(keys.get("endpoint"))
    if end[0]:
        return end
    own_addresses = (a for x in steps.observations if x.dns for a in x.dns.addresses)
    return next(own_addresses, ""), 3478


def read_tor(document: Json) -> ImportedMeasurement:
    """Import each target as an endpoint; targets of one kind form a group."""
    keys = as_object(document.get("test_keys"))
    steps = Steps()
    groups = {}
    for name, target_keys in list(as_object(keys.get("targets")).items())[:MAX_TARGETS]:
        target = as_object(target_keys)
        kind = as_text(target.get("target_protocol"), 32)
        if kind not in TOR_KINDS:
            continue
        steps.label = label = f"{kind}-{name}"[:200]
        _add_tor_target(steps, target)
        if steps.select_current():
            groups[label] = kind
    return import_steps(document, "tor_targets", steps, groups)


def _add_tor_target(steps: Steps, target: Json) -> None:
    address, port = archival.split_endpoint(target.get("target_address"))
    hop = HopRows(f"tcp://{address or 'x'}:{port}")
    hop.connects = as_rows(target.get("tcp_connect"))
    add_hop_steps(steps, hop)
    failure_code = parse_failure(target.get("failure"))
    if any(x.failure is not None for x in steps.select_current()):
        return
    if not steps.select_current() and failure_code is not None:
        add_outcome(steps, Operation.CONNECT, failure_code)
        return
    parent = len(steps.observations) - 1 if steps.select_current() else None
    exchange = Exchange(protocol="tor", reply="" if failure_code else "handshake")
    steps.add(_build_exchange(exchange, failure_code), parent)


def read_header_fields(document: Json) -> ImportedMeasurement:
    """Import http_header_field_manipulation: differences of the echoed headers."""
    keys = as_object(document.get("test_keys"))
    steps = Steps(label="echo")
    requests = as_rows(keys.get("requests"))
    failure_code = parse_failure(requests[0].get("failure")) if requests else None
    failure_code = failure_code or parse_failure(keys.get("failure"))
    tampering = as_object(keys.get("tampering"))
    differences = tuple(name for name in TAMPERED if tampering.get(name) is True)
    if as_texts(tampering.get("header_name_diff")):
        differences = (*differences, "header_name_diff")
    if tampering.get("total") is True:
        differences = (*differences, "no_echo")
    if requests or tampering or failure_code:
        # OONI sets "total" also when the echo service was not reached
        _add_echo(steps, "http_echo", failure_code, () if failure_code else differences)
    return import_steps(
        document, "middlebox", steps, {"echo": "echo"} if steps.observations else {}
    )


def read_request_lines(document: Json) -> ImportedMeasurement:
    """Import http_invalid_request_line: malformed lines that are echoed as sent."""
    keys = as_object(document.get("test_keys"))
    steps = Steps()
    sent = _as_list(keys.get("sent"))
    received = _as_list(keys.get("received"))
    failures = _as_list(keys.get("failure_list"))
    for index in range(min(max(len(sent), len(received), len(failures)), 16)):
        steps.label = f"line-{index + 1}"
        failure_code = parse_failure(failures[index]) if index < len(failures) else None
        is_same = (
            index < len(sent)
            and index < len(received)
            and as_bytes(sent[index]) == as_bytes(received[index])
        )
        _add_echo(
            steps, "tcp_echo", failure_code, () if is_same or failure_code else ("echo_differs",)
        )
    return import_steps(
        document, "middlebox", steps, {x.endpoint: "line" for x in steps.observations}
    )


def _add_echo(
    steps: Steps, protocol: str, failure_code: Failure | None, differences: tuple[str, ...]
) -> None:
    reply = "" if failure_code else "echo"
    exchange = Exchange(protocol=protocol, reply=reply, differences=differences)
    steps.add(_build_exchange(exchange, failure_code))


def _as_list(value: object) -> list[object]:
    return value[:16] if isinstance(value, list) else []
