"""Import of urlgetter, browser_web and http_requests: single fetches of a URL."""

from dataclasses import replace

from msgspec import structs

from heliograph.failure import Failure, Operation
from heliograph.observation import Link, Tls
from heliograph_collector.model.records import ControlView
from heliograph_collector.sources.ooni import archival
from heliograph_collector.sources.ooni.archival import Steps
from heliograph_collector.sources.ooni.document import OoniDocument, OoniKeys, RequestRow
from heliograph_collector.sources.ooni.endpoints import (
    EndpointRows,
    ServiceEndpoint,
    import_steps,
)
from heliograph_collector.sources.ooni.envelope import (
    ImportedMeasurement,
    UnreadableError,
    build_measurement,
    build_record,
    detect_link,
    parse_vantage,
)
from heliograph_collector.sources.ooni.http_facts import parse_scheme
from heliograph_collector.sources.ooni.steps_builder import HopRows, add_hop_steps

# The last step of urlgetter by the scheme of its input (ts-027)
URLS = {"dnslookup": "tcp", "tcpconnect": "tcp", "tlshandshake": "https"}


def read_urlgetter(document: OoniDocument) -> ImportedMeasurement:
    """Import a fetch that may end at any step; through a tunnel it shows nothing here."""
    keys = document.test_keys
    scheme = parse_scheme(document.input)
    steps = Steps(label=f"fetch-{document.input}"[:200])
    if keys.tunnel or scheme not in ("http", "https", *URLS):
        steps.add(archival.presume_step(Operation.HTTP_ROUND_TRIP, Failure.UNKNOWN_FAILURE))
        return import_steps(document, "urlgetter", steps, {}, needs_peers=True)
    url = URLS.get(scheme, scheme) + document.input[len(scheme) :]
    endpoint = ServiceEndpoint(steps.label, "fetch", url)
    add_hop_steps(steps, EndpointRows(_name_handshakes(keys, url)).select_rows(endpoint))
    if not steps.observations:
        steps.add(archival.presume_step(Operation.HTTP_ROUND_TRIP, Failure.UNKNOWN_FAILURE))
    return import_steps(document, "urlgetter", steps, {steps.label: "fetch"}, needs_peers=True)


def _name_handshakes(keys: OoniKeys, url: str) -> OoniKeys:
    """Add the host's name to handshakes of before 2020-11, which have none."""
    host = HopRows(url).host
    rows = [structs.replace(h, server_name=h.server_name or host) for h in keys.tls_handshakes]
    return structs.replace(keys, tls_handshakes=rows)


def read_browser_web(document: OoniDocument) -> ImportedMeasurement:
    """Import a browser's `fetch`: an HTTPS page, or a failure without cause (ts-036).

    A page in clear may be anybody's, and an error may be the browser's own.
    """
    steps = Steps()
    host = HopRows(document.input).host
    if document.test_keys.result == "ok" and parse_scheme(document.input) == "https":
        parent = steps.add(archival.presume_step(Operation.CONNECT))
        tls = Tls(server_name=host)
        steps.add(archival.presume_step(Operation.TLS_HANDSHAKE, tls=tls), parent)
    elif document.test_keys.result:
        steps.add(archival.presume_step(Operation.HTTP_ROUND_TRIP, Failure.UNKNOWN_FAILURE))
    return _import_page(document, document.input, steps, ControlView())


def read_http_requests(document: OoniDocument) -> ImportedMeasurement:
    """Import a page fetched directly and, as the control, through Tor (ts-003).

    Sites and exits fail for Tor alone, so that only an answer through it counts.
    """
    rows = document.test_keys.requests
    url = document.input or next((row.request.url for row in rows), "")
    if parse_scheme(url) not in ("http", "https"):
        raise UnreadableError("its input is no http or https URL")
    steps = _build_page_steps(url, [row for row in rows if row.request.tor.is_tor is not True])
    tor_rows = [row for row in rows if row.request.tor.is_tor and row.response.code]
    control = ControlView()
    if tor_rows:
        page = _build_page_steps(url, tor_rows[:1])
        measured = build_measurement(document, page.observations, experiment="web", target=url)
        control = replace(control, measurement=measured, age_us=0, link=Link.ONLINE)
    return _import_page(document, url, steps, control)


def _build_page_steps(url: str, rows: list[RequestRow]) -> Steps:
    steps = Steps()
    add_hop_steps(steps, HopRows(url, requests=rows))
    return steps


def _import_page(
    document: OoniDocument, url: str, steps: Steps, control: ControlView
) -> ImportedMeasurement:
    is_control_up = control.measurement is not None
    link = detect_link(document, steps.observations, helper=is_control_up)
    measured = build_measurement(
        document, steps.observations, experiment="web", target=url, online=link
    )
    probe_vantage = parse_vantage(document)
    return ImportedMeasurement(
        input=url,
        test_name=document.test_name,
        probe_cc=probe_vantage.country,
        probe_asn=f"AS{probe_vantage.asn}",
        record=build_record(document, measured),
        control=control,
    )
