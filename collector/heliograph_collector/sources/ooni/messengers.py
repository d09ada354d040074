"""Import of telegram, whatsapp, signal and facebook_messenger."""

from dataclasses import replace
from datetime import UTC, datetime

from heliograph.failure import Failure, Operation
from heliograph.observation import Observation
from heliograph_collector.sources.ooni import archival
from heliograph_collector.sources.ooni.archival import Steps
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
from heliograph_collector.sources.ooni.values import Json, as_integer, as_object, as_rows, as_text

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
CACHED_HOSTS = (
    "external_cdn",
    "scontent_cdn",
)  # providers host caches of these


def read_telegram(document: Json) -> ImportedMeasurement:
    keys = as_object(document.get("test_keys"))
    endpoint_rows = EndpointRows(keys)
    for address, port in _find_data_centers(keys):
        url = f"http://{address}:{port}/"
        endpoint_rows.add(ServiceEndpoint(f"dc-{address}-{port}", "dc", url))
    endpoint_rows.add(ServiceEndpoint("web", "web", "https://web.telegram.org/"))
    if len(endpoint_rows.endpoints) == 1:
        endpoint_rows.add(
            ServiceEndpoint("dc", "dc", "http:///")
        )  # all of them; no single one is recorded
    return import_service(
        document, "telegram", endpoint_rows, lambda steps, e: _add_telegram_summary(steps, e, keys)
    )


def _add_telegram_summary(steps: Steps, endpoint: ServiceEndpoint, keys: Json) -> None:
    has_summary, failure_code = read_summary(keys, "telegram_web_failure", "telegram_web_status")
    if endpoint.label == "web" and has_summary:
        add_fetch(steps, endpoint.url, failure_code, as_text(keys.get("failed_operation"), 32))
    elif endpoint.label == "dc":
        tcp = keys.get("telegram_tcp_blocking")
        http = keys.get("telegram_http_blocking")
        is_finished = keys.get("telegram_web_status") == "ok" and failure_code is None
        _add_data_centers(steps, tcp, http, is_finished=is_finished)


def _add_data_centers(steps: Steps, tcp: object, http: object, *, is_finished: bool) -> None:
    """Add the summary of data centers.

    An interrupted run records True too, so True counts only if the web front end was fetched.
    """
    if http is False and tcp is not True:
        add_outcome(steps, Operation.CONNECT)
    elif http is True:
        step = Operation.CONNECT if tcp is True else Operation.HTTP_ROUND_TRIP
        add_outcome(steps, step, UNNAMED_FAILURE if is_finished else Failure.UNKNOWN_FAILURE)
    elif tcp is True:
        add_outcome(steps, Operation.CONNECT, Failure.UNKNOWN_FAILURE)


def _find_data_centers(keys: Json) -> list[tuple[str, int]]:
    """Find the data centers that were tried, by address, without web.telegram.org."""
    ends = []
    for row in as_rows(keys.get("requests")):
        hop = HopRows(as_text(as_object(row.get("request")).get("url")))
        if archival.is_address(hop.host):
            ends.append((hop.host, hop.port))
    named = {
        a
        for q in as_rows(keys.get("queries"))
        for x in archival.parse_queries(q)
        if x.dns
        for a in x.dns.addresses
    }
    for row in as_rows(keys.get("tcp_connect")):
        tcp = archival.parse_connect(row).tcp
        if tcp and tcp.port and tcp.address not in named:
            ends.append((tcp.address, tcp.port))
    return list(dict.fromkeys(ends))


def read_whatsapp(document: Json) -> ImportedMeasurement:
    keys = as_object(document.get("test_keys"))
    endpoint_rows = EndpointRows(keys)
    hosts = {as_text(q.get("hostname"), 256) for q in as_rows(keys.get("queries"))}
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
    return import_service(
        document, "whatsapp", endpoint_rows, lambda steps, e: _add_whatsapp_summary(steps, e, keys)
    )


def _add_whatsapp_summary(steps: Steps, endpoint: ServiceEndpoint, keys: Json) -> None:
    registration = read_summary(keys, "registration_server_failure", "registration_server_status")
    web = read_summary(keys, "whatsapp_web_failure", "whatsapp_web_status")
    has_summary, failure_code = {"registration": registration, "web": web}.get(
        endpoint.label, (False, None)
    )
    if has_summary:
        add_fetch(steps, endpoint.url, failure_code, as_text(keys.get("failed_operation"), 32))
    elif endpoint.label == "endpoint" and keys.get("whatsapp_endpoints_status") == "ok":
        add_outcome(steps, Operation.CONNECT)
    elif endpoint.label == "endpoint" and keys.get("whatsapp_endpoints_status") == "blocked":
        is_finished = registration == web == (True, None)
        add_outcome(
            steps, Operation.CONNECT, UNNAMED_FAILURE if is_finished else Failure.UNKNOWN_FAILURE
        )


def read_signal(document: Json) -> ImportedMeasurement:
    keys = as_object(document.get("test_keys"))
    endpoint_rows = EndpointRows(keys)
    hosts = [
        HopRows(as_text(as_object(r.get("request")).get("url"))).host
        for r in as_rows(keys.get("requests"))
    ]
    hosts += [as_text(row.get("hostname"), 256) for row in as_rows(keys.get("queries"))]
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
        keys, "signal_backend_failure", "signal_backend_status"
    )
    if not endpoint_rows.endpoints and has_summary:
        steps.label = "backend"
        groups = {"backend": "backend"}
        operation = as_text(keys.get("failed_operation"), 32)
        add_fetch(steps, "https://chat.signal.org/", failure_code, operation)
    return import_steps(document, "signal", steps, groups, mirror=_has_own_root)


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


def read_facebook_messenger(document: Json) -> ImportedMeasurement:
    keys = as_object(document.get("test_keys"))
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
            _add_facebook_summary(steps, name, keys)
        if steps.select_current():
            groups[name] = name
    if (
        not groups
        and keys.get("facebook_dns_blocking") is keys.get("facebook_tcp_blocking") is False
    ):
        steps.label = "all"
        groups = {"all": "all"}
        add_outcome(steps, Operation.CONNECT)
    return import_steps(document, "facebook_messenger", steps, groups)


def _is_elsewhere(queries: list[Json]) -> bool:
    """Return whether all recorded networks of the addresses are not Meta's."""
    networks = [
        as_integer(a.get("asn")) for q in queries for a in as_rows(q.get("answers")) if a.get("asn")
    ]
    return bool(networks) and META not in networks


def _reject_answers(steps: Steps) -> None:
    """Reject answers from other networks, with the steps based on them, as OONI does."""
    other_observations = [x for x in steps.observations if x.endpoint != steps.label]
    lookups = [x for x in steps.select_current() if x.operation is Operation.RESOLVE]
    steps.observations = other_observations
    for observation in lookups:
        failure_code = observation.failure or Failure.DNS_BOGON_ERROR
        steps.add(
            replace(
                observation,
                failure=failure_code,
                dns=replace(observation.dns, answers=()) if observation.dns else None,
            )
        )


def _add_facebook_summary(steps: Steps, name: str, keys: Json) -> None:
    if keys.get(f"facebook_{name}_reachable") is True:
        add_outcome(steps, Operation.CONNECT)
    elif name == "stun" and keys.get("facebook_stun_dns_consistent") is True:
        add_outcome(steps, Operation.RESOLVE)
    elif False in (
        keys.get(f"facebook_{name}_reachable"),
        keys.get(f"facebook_{name}_dns_consistent"),
    ):
        add_outcome(steps, Operation.CONNECT, Failure.UNKNOWN_FAILURE)
