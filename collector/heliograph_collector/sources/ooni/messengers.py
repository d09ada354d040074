"""Import of telegram, whatsapp, signal and facebook_messenger."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from heliograph.failure import Failure, Operation
from heliograph.observation import Observation
from heliograph_collector.sources.ooni import archival
from heliograph_collector.sources.ooni.archival import Steps
from heliograph_collector.sources.ooni.document import OoniDocument, OoniKeys, QueryRow
from heliograph_collector.sources.ooni.endpoints import (
    EndpointRows,
    ServiceEndpoint,
    add_fetch,
    add_outcome,
    import_service,
    import_steps,
    read_summary,
)
from heliograph_collector.sources.ooni.envelope import ImportedMeasurement, parse_started_us
from heliograph_collector.sources.ooni.steps_builder import HopRows, add_hop_steps

TIMEOUT = Failure.GENERIC_TIMEOUT_ERROR
UNNAMED_FAILURE = TIMEOUT  # used where a summary records the step and no failure
META = 32934  # AS of all Meta front ends, except the caches in providers' networks
WHATSAPP = tuple(f"e{number}.whatsapp.net" for number in range(1, 17))
SIGNAL_RETIRED = {  # dates at which these hosts were switched off
    "api.directory.signal.org": datetime(2023, 5, 1, tzinfo=UTC),
    "textsecure-service.whispersystems.org": datetime(2023, 11, 7, tzinfo=UTC),
}
SIGNAL_STEADY = (
    *("cdsi.signal.org", "chat.signal.org", "sfu.voip.signal.org", "storage.signal.org"),
    *SIGNAL_RETIRED,
)  # the other hosts time out at random everywhere
SIGNAL_OWN = ("signal messenger", "open whisper systems")
FACEBOOK = {
    "stun": "stun.fbsbx.com",
    "b_api": "b-api.facebook.com",
    "b_graph": "b-graph.facebook.com",
    "edge": "edge-mqtt.facebook.com",
    "external_cdn": "external.xx.fbcdn.net",
    "scontent_cdn": "scontent.xx.fbcdn.net",
    "star": "star.c10r.facebook.com",
}
CACHED_HOSTS = ("external_cdn", "scontent_cdn")  # providers host caches of these


def read_telegram(document: OoniDocument) -> ImportedMeasurement:
    keys = document.test_keys
    endpoint_rows = EndpointRows(keys)
    for address, port in _find_data_centers(keys):
        url = f"http://{address}:{port}/"
        endpoint_rows.add(ServiceEndpoint(f"dc-{address}-{port}", "dc", url))
    endpoint_rows.add(ServiceEndpoint("web", "web", "https://web.telegram.org/"))
    if len(endpoint_rows.endpoints) == 1:  # no single data center is recorded
        endpoint_rows.add(ServiceEndpoint("dc", "dc", "http:///"))
    fill = partial(_add_telegram_summary, keys)
    return import_service(document, "telegram", endpoint_rows, fill)


def _add_telegram_summary(keys: OoniKeys, steps: Steps, endpoint: ServiceEndpoint) -> None:
    has_summary, failure_code = read_summary(keys.telegram_web_failure, keys.telegram_web_status)
    if endpoint.label == "web" and has_summary:
        add_fetch(steps, endpoint.url, failure_code, keys.failed_operation)
    elif endpoint.label == "dc":
        is_finished = keys.telegram_web_status == "ok" and failure_code is None
        _add_data_centers(steps, keys.flags, is_finished=is_finished)


def _add_data_centers(steps: Steps, flags: Mapping[str, bool], *, is_finished: bool) -> None:
    """Add the summary of data centers.

    An interrupted run records True too, so True counts only if the web front end was fetched.
    """
    is_tcp_blocked = flags.get("telegram_tcp_blocking", False)
    is_http_blocked = flags.get("telegram_http_blocking")
    if is_http_blocked:
        step = Operation.CONNECT if is_tcp_blocked else Operation.HTTP_ROUND_TRIP
        add_outcome(steps, step, UNNAMED_FAILURE if is_finished else Failure.UNKNOWN_FAILURE)
    elif is_tcp_blocked:
        add_outcome(steps, Operation.CONNECT, Failure.UNKNOWN_FAILURE)
    elif is_http_blocked is False:
        add_outcome(steps, Operation.CONNECT)


def _find_data_centers(keys: OoniKeys) -> list[tuple[str, int]]:
    """Find the data centers that were tried, by address, without web.telegram.org."""
    pages = [HopRows(row.request.url) for row in keys.requests]
    ends = [(page.host, page.port) for page in pages if archival.is_address(page.host)]
    named = archival.list_addresses(keys.queries)
    ends += [(row.ip, row.port) for row in keys.tcp_connect if row.port and row.ip not in named]
    return list(dict.fromkeys(ends))


def read_whatsapp(document: OoniDocument) -> ImportedMeasurement:
    keys = document.test_keys
    endpoint_rows = EndpointRows(keys)
    hosts = {query.hostname for query in keys.queries}
    for host in WHATSAPP:
        for port in (443, 5222) if host in hosts else ():
            label = f"{host.partition('.')[0]}-{port}"
            endpoint_rows.add(ServiceEndpoint(label, "endpoints", f"tcp://{host}:{port}"))
    endpoint_rows.add(
        ServiceEndpoint("registration", "registration", "https://v.whatsapp.net/v2/register")
    )
    endpoint_rows.add(ServiceEndpoint("web", "web", "https://web.whatsapp.com/"))
    if not hosts:
        endpoint_rows.add(ServiceEndpoint("endpoint", "endpoints", "tcp:"))
    fill = partial(_add_whatsapp_summary, keys)
    return import_service(document, "whatsapp", endpoint_rows, fill)


def _add_whatsapp_summary(keys: OoniKeys, steps: Steps, endpoint: ServiceEndpoint) -> None:
    registration = read_summary(keys.registration_server_failure, keys.registration_server_status)
    web = read_summary(keys.whatsapp_web_failure, keys.whatsapp_web_status)
    has_summary, failure_code = {"registration": registration, "web": web}.get(
        endpoint.label, (False, None)
    )
    if has_summary:
        add_fetch(steps, endpoint.url, failure_code, keys.failed_operation)
    elif endpoint.label == "endpoint" and keys.whatsapp_endpoints_status == "ok":
        add_outcome(steps, Operation.CONNECT)
    elif endpoint.label == "endpoint" and keys.whatsapp_endpoints_status == "blocked":
        is_finished = registration == web == (True, None)
        add_outcome(
            steps, Operation.CONNECT, UNNAMED_FAILURE if is_finished else Failure.UNKNOWN_FAILURE
        )


def read_signal(document: OoniDocument) -> ImportedMeasurement:
    keys = document.test_keys
    endpoint_rows = EndpointRows(keys)
    hosts = [HopRows(row.request.url).host for row in keys.requests]
    hosts += [query.hostname for query in keys.queries]
    for host in hosts:
        _add_signal_host(endpoint_rows, host, parse_started_us(document))
    steps = Steps()
    for endpoint in endpoint_rows.endpoints.values():
        steps.label = endpoint.label
        add_hop_steps(steps, endpoint_rows.select_rows(endpoint))
        if endpoint.label not in SIGNAL_STEADY and TIMEOUT in {
            x.failure for x in steps.select_current()
        }:
            steps.observations = [x for x in steps.observations if x.endpoint != steps.label]
    groups = {x.endpoint: x.endpoint for x in steps.observations}
    has_summary, failure_code = read_summary(
        keys.signal_backend_failure, keys.signal_backend_status
    )
    if not endpoint_rows.endpoints and has_summary:
        steps.label = "backend"
        groups = {"backend": "backend"}
        add_fetch(steps, "https://chat.signal.org/", failure_code, keys.failed_operation)
    return import_steps(document, "signal", steps, groups, is_expected=_has_own_root)


def _add_signal_host(endpoint_rows: EndpointRows, host: str, measured_us: int) -> None:
    """Add a host, except uptime.signal.org, which is only resolved, and retired hosts."""
    is_own = host.endswith((".signal.org", ".whispersystems.org")) and host != "uptime.signal.org"
    retired_at = SIGNAL_RETIRED.get(host)
    if is_own and (retired_at is None or measured_us < retired_at.timestamp() * 1e6):
        endpoint_rows.add(ServiceEndpoint(host, host, f"https://{host}/"))


def _has_own_root(observation: Observation) -> bool:
    """Return whether the service's own root signed the certificate.

    Old probes did not know that root, so the failure occurs everywhere.
    """
    issuers = [c.issuer.lower() for c in observation.tls.chain] if observation.tls else []
    return any(name in issuer for issuer in issuers for name in SIGNAL_OWN)


def read_facebook_messenger(document: OoniDocument) -> ImportedMeasurement:
    keys = document.test_keys
    endpoint_rows = EndpointRows(keys)
    for name, host in FACEBOOK.items():
        port = "" if name == "stun" else ":443"
        endpoint_rows.add(ServiceEndpoint(name, name, f"tcp://{host}{port}"))
    steps = Steps()
    groups = {}
    for name, endpoint in endpoint_rows.endpoints.items():
        steps.label = name
        hop = endpoint_rows.select_rows(endpoint)
        add_hop_steps(steps, hop)
        if name not in CACHED_HOSTS and _is_elsewhere(hop.queries):
            _reject_answers(steps)
        if not steps.select_current():
            _add_facebook_summary(steps, name, keys.flags)
        if steps.select_current():
            groups[name] = name
    summary = {keys.flags.get(f"facebook_{layer}_blocking") for layer in ("dns", "tcp")}
    if not groups and summary == {False}:
        steps.label = "all"
        groups = {"all": "all"}
        add_outcome(steps, Operation.CONNECT)
    return import_steps(document, "facebook_messenger", steps, groups)


def _is_elsewhere(queries: list[QueryRow]) -> bool:
    """Return whether all recorded networks of the addresses are not Meta's."""
    networks = {answer.asn for query in queries for answer in query.answers} - {0}
    return bool(networks) and META not in networks


def _reject_answers(steps: Steps) -> None:
    """Reject answers from other networks, with the steps based on them, as OONI does."""
    lookups = [x for x in steps.select_current() if x.operation is Operation.RESOLVE]
    steps.observations = [x for x in steps.observations if x.endpoint != steps.label]
    for observation in lookups:
        failure_code = observation.failure or Failure.DNS_BOGON_ERROR
        steps.add(replace(observation, failure=failure_code))


def _add_facebook_summary(steps: Steps, name: str, flags: Mapping[str, bool]) -> None:
    is_reachable = flags.get(f"facebook_{name}_reachable")
    is_consistent = flags.get(f"facebook_{name}_dns_consistent")
    if is_reachable:
        add_outcome(steps, Operation.CONNECT)
    elif name == "stun" and is_consistent:
        add_outcome(steps, Operation.RESOLVE)
    elif False in (is_reachable, is_consistent):
        add_outcome(steps, Operation.CONNECT, Failure.UNKNOWN_FAILURE)
