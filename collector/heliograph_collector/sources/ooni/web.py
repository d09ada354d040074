"""Import of web_connectivity 0.4 and 0.5: a page, its redirects and its control.

Version 0.5 tags every row with its depth in the redirect chain and its connection. Version 0.4 has
no tags and lists requests last first. OONI's own conclusions (`blocking`, `accessible`, flags,
comparisons) are not read.
"""

from collections.abc import Mapping
from itertools import pairwise
from urllib.parse import urljoin

from heliograph.failure import Operation
from heliograph.observation import Observation
from heliograph_collector.sources.ooni import archival, blocking_only
from heliograph_collector.sources.ooni.archival import Steps, normalize_host
from heliograph_collector.sources.ooni.control import (
    build_control_view,
    has_helper_answer,
    make_label,
)
from heliograph_collector.sources.ooni.document import (
    OoniDocument,
    OoniKeys,
    QueryRow,
    RequestRow,
    Row,
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

MAX_HOPS = 16


def read_web_connectivity(document: OoniDocument) -> ImportedMeasurement:
    """Import a measurement. Raises UnreadableError for a URL that is not HTTP."""
    keys = document.test_keys
    urls = [row.request.url for row in reversed(keys.requests)]  # the first request is listed last
    url = next(filter(None, (document.input, keys.x_control_request.http_request, *urls)), "")
    if url and parse_scheme(url) not in ("http", "https"):
        raise UnreadableError("its input is no http or https URL")
    hops = build_chain(keys, url)
    steps = Steps(trusted=document.software_name != "heliograph")
    helper_comparison = blocking_only.read_helper_comparison(keys) if url else None
    if helper_comparison is not None:
        blocking_only.add_missing_steps(keys, hops[0], steps, helper_comparison)
    for depth, hop in enumerate(hops):
        steps.label = make_label(depth)
        add_hop_steps(steps, hop)
    if not steps.observations and keys.dns_experiment_failure is not None:
        steps.label = ""
        steps.add(archival.build_step(Operation.RESOLVE, Row(), keys.dns_experiment_failure))
    online = detect_link(
        document,
        steps.observations,
        helper=has_helper_answer(keys) or helper_comparison is not None,
    )
    web_measurement = build_measurement(
        document, steps.observations, experiment="web", target=url, online=online
    )
    if helper_comparison is not None:
        control = blocking_only.build_control_view(document, hops[0], steps, helper_comparison)
    else:
        page_observations = [(hop.url, _select_hop(steps, d)) for d, hop in enumerate(hops)]
        control = build_control_view(page_observations, document)
    probe_vantage = parse_vantage(document)
    return ImportedMeasurement(
        input=url,
        test_name="web_connectivity",
        probe_cc=probe_vantage.country,
        probe_asn=f"AS{probe_vantage.asn}",
        record=build_record(document, web_measurement),
        control=control,
    )


def _select_hop(steps: Steps, depth: int) -> list[Observation]:
    return [x for x in steps.observations if x.endpoint == make_label(depth)]


def build_chain(keys: OoniKeys, url: str) -> list[HopRows]:
    """Build the pages in order; rows without depth go to the page with their host."""
    hops = [HopRows(url)]
    for number, request in enumerate(_sort_requests(keys.requests, url)):
        depth = number if request.depth is None else request.depth
        if depth >= MAX_HOPS:
            break
        _extend_hops(hops, depth)
        hops[depth].requests.append(request)
        hops[depth].url = request.request.url or hops[depth].url
    for query in keys.queries:
        _find_hop(hops, query, {}).queries.append(query)
    for reply in keys.x_dns_duplicate_responses:
        _find_hop(hops, reply, {}).duplicates.append(reply)
    hop_by_address = _map_addresses(hops)
    for connect in keys.tcp_connect:
        _find_hop(hops, connect, hop_by_address).connects.append(connect)
    for handshake in keys.tls_handshakes:
        _find_hop(hops, handshake, hop_by_address).handshakes.append(handshake)
    _fill_urls(hops)
    return hops


def _sort_requests(requests: list[RequestRow], url: str) -> list[RequestRow]:
    """Sort requests first to last; requests without tags are listed last first."""
    if any(row.depth is not None for row in requests):
        return requests
    urls = [row.request.url for row in requests]
    first_first = len(urls) > 1 and urls[0] == url != urls[-1]
    return requests if first_first else requests[::-1]


def _find_hop(hops: list[HopRows], row: Row, hop_by_address: Mapping[str, HopRows]) -> HopRows:
    """Find the page of a row; one that belongs to none gets a page that nobody reads."""
    depth = row.depth
    if depth is not None:
        if depth >= MAX_HOPS:
            return HopRows("")
        _extend_hops(hops, depth)
        return hops[depth]
    host = normalize_host(row.hostname or row.server_name)
    if host:
        return next((hop for hop in hops if hop.host == host), HopRows(""))
    return hop_by_address.get(row.ip, hops[0])


def _map_addresses(hops: list[HopRows]) -> dict[str, HopRows]:
    hop_by_address: dict[str, HopRows] = {}
    for hop in hops:
        for address in _list_answers(hop.queries):
            hop_by_address.setdefault(address, hop)
    return hop_by_address


def _list_answers(queries: list[QueryRow]) -> list[str]:
    lookups = [x.dns for query in queries for x in archival.parse_queries(query) if x.dns]
    return [answer.data for dns in lookups for answer in dns.answers]


def _extend_hops(hops: list[HopRows], depth: int) -> None:
    while len(hops) <= depth:
        hops.append(HopRows(""))


def _fill_urls(hops: list[HopRows]) -> None:
    """Fill the URL of a page without request from the redirect before it."""
    for previous, hop in pairwise(hops):
        if hop.url:
            continue
        replies = [archival.parse_page(r, previous.url)[-1].http for r in previous.requests]
        location = next((http.location for http in replies if http and http.location), "")
        name = next((query.hostname for query in hop.queries), "")
        secure = bool(hop.handshakes) or not any(c.port == 80 for c in hop.connects)
        guessed_url = f"{'https' if secure else 'http'}://{name}/" if name else ""
        try:
            hop.url = urljoin(previous.url, location) if location else guessed_url
        except ValueError:
            hop.url = guessed_url
