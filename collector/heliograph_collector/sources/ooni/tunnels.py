"""Import of vanilla_tor, torsf, psiphon, riseupvpn and openvpn.

A tunnel that did not come up has no control here: the network may be slow, its servers may be down
and a snowflake proxy may be missing. So it is unknown, unless the same worked in other countries.
"""

import re
from urllib.parse import parse_qs, urlsplit

from heliograph.failure import Failure, Operation
from heliograph.observation import Exchange, Tcp, Udp
from heliograph_collector.sources.ooni import archival
from heliograph_collector.sources.ooni.archival import Steps
from heliograph_collector.sources.ooni.document import OoniDocument, OoniKeys, OpenvpnRow, Row
from heliograph_collector.sources.ooni.endpoints import (
    EndpointRows,
    ServiceEndpoint,
    import_steps,
)
from heliograph_collector.sources.ooni.envelope import ImportedMeasurement
from heliograph_collector.sources.ooni.steps_builder import add_hop_steps

BOOTSTRAP = "bootstrap"
UP = 100  # percent; a line of tor's log says "Bootstrapped 100% (done): Done"
_PROGRESS = re.compile(r"Bootstrapped (\d{1,3})%")
_TIMED_OUT = "timeout-reached"  # `error` of vanilla_tor (ts-016)


def read_tor_bootstrap(document: OoniDocument) -> ImportedMeasurement:
    """Import vanilla_tor or torsf: tor either came up, or got so far by its log."""
    keys = document.test_keys
    progress = find_progress(keys)
    is_up = progress >= UP or keys.flags.get("success") is True
    failure_code = None if is_up else keys.failure or None
    if failure_code is None and keys.error == _TIMED_OUT:
        failure_code = Failure.GENERIC_TIMEOUT_ERROR
    is_recorded = is_up or failure_code is not None or keys.flags.get("success") is False
    if not is_up and failure_code is None:
        failure_code = Failure.UNKNOWN_FAILURE
    reply = f"progress_{progress}"
    return _import_bootstrap(
        document, "tor_bootstrap", reply, failure_code, is_recorded=is_recorded
    )


def find_progress(keys: OoniKeys) -> int:
    """Find the last percentage that tor reported."""
    lines = (*keys.tor_log, *keys.tor_logs)
    percentages = [int(match.group(1)) for line in lines if (match := _PROGRESS.search(line))]
    return max((keys.tor_progress, *percentages))


def read_psiphon(document: OoniDocument) -> ImportedMeasurement:
    """Import psiphon: up if it bootstrapped, whatever the page behind it did (ts-015)."""
    keys = document.test_keys
    is_up = keys.bootstrap_time > 0
    failure_code = None if is_up else keys.failure or None
    is_recorded = is_up or failure_code is not None
    return _import_bootstrap(document, "psiphon", "up", failure_code, is_recorded=is_recorded)


def _import_bootstrap(
    document: OoniDocument,
    protocol: str,
    reply: str,
    failure_code: Failure | None,
    *,
    is_recorded: bool,
) -> ImportedMeasurement:
    steps = Steps(label=BOOTSTRAP)
    if is_recorded:
        _add_exchange(steps, protocol, reply, failure_code)
    groups = {BOOTSTRAP: BOOTSTRAP} if is_recorded else {}
    return import_steps(document, document.test_name, steps, groups, needs_peers=True)


def _add_exchange(
    steps: Steps,
    protocol: str,
    reply: str,
    failure_code: Failure | None,
    parent: int | None = None,
    udp: Udp | None = None,
) -> None:
    exchange = Exchange(protocol=protocol, reply=reply if failure_code is None else "")
    step = archival.presume_step(Operation.EXCHANGE, failure_code, exchange=exchange, udp=udp)
    steps.add(step, parent)


def read_riseupvpn(document: OoniDocument) -> ImportedMeasurement:
    """Import the pages of the provider's API, and its interchangeable gateways."""
    keys = document.test_keys
    endpoint_rows = EndpointRows(keys)
    for url in dict.fromkeys(row.request.url for row in keys.requests if row.request.url):
        endpoint_rows.add(ServiceEndpoint(f"api-{url}"[:200], url[:200], url))
    named = archival.list_addresses(keys.queries)
    for row in keys.tcp_connect:
        if row.port and row.ip not in named:
            url = f"tcp://{_bracket(row.ip)}:{row.port}"
            endpoint_rows.add(ServiceEndpoint(f"gateway-{row.ip}-{row.port}", "gateway", url))
    steps = Steps()
    for endpoint in endpoint_rows.endpoints.values():
        steps.label = endpoint.label
        add_hop_steps(steps, endpoint_rows.select_rows(endpoint))
    groups = {e.label: e.group for e in endpoint_rows.endpoints.values()}
    return import_steps(document, "riseupvpn", steps, groups, needs_peers=True)


def _bracket(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def read_openvpn(document: OoniDocument) -> ImportedMeasurement:
    """Import one OpenVPN handshake with each endpoint."""
    keys = document.test_keys
    steps = Steps()
    rows = keys.openvpn_handshake or _presume_handshake(document)
    for row in rows:
        steps.label = f"{row.ip}-{row.port}-{row.transport}"
        _add_openvpn(steps, keys, row)
    groups = dict.fromkeys((x.endpoint for x in steps.observations), "server")
    return import_steps(document, "openvpn", steps, groups, needs_peers=True)


def _presume_handshake(document: OoniDocument) -> list[OpenvpnRow]:
    """Build the handshake with the endpoint of the input where no row records it."""
    keys = document.test_keys
    try:
        options = parse_qs(urlsplit(document.input).query)
    except ValueError:
        options = {}
    address, port = archival.split_endpoint("".join(options.get("address", ())[:1]))
    success = keys.flags.get("success")
    failure_code = keys.failure or None
    if not address or (success is None and failure_code is None):
        return []
    if success is not True and failure_code is None:
        failure_code = Failure.UNKNOWN_FAILURE
    transport = "".join(options.get("transport", ())[:1])
    return [OpenvpnRow(ip=address, port=port, transport=transport, failure=failure_code)]


def _add_openvpn(steps: Steps, keys: OoniKeys, row: OpenvpnRow) -> None:
    parent = None
    for connect in keys.tcp_connect:
        if (connect.ip, connect.port) == (row.ip, row.port):
            parent = steps.add(archival.parse_connect(connect))
    if parent is not None and steps.observations[parent].failure is not None:
        return  # no handshake followed
    if parent is None and row.transport == "tcp":
        if row.failure is not None:  # it may be the connection's
            steps.add(archival.build_step(Operation.EXCHANGE, Row(), Failure.UNKNOWN_FAILURE))
            return
        connection = archival.presume_step(
            Operation.CONNECT, tcp=Tcp(address=row.ip, port=row.port)
        )
        parent = steps.add(connection)
    udp = Udp(address=row.ip, port=row.port) if parent is None else None
    _add_exchange(steps, "openvpn", "handshake", row.failure, parent, udp)
