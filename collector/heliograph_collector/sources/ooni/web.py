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
from heliograph_collector.sources.ooni.control import build_control_view, has_helper_answer
from heliograph_collector.sources.ooni.envelope import (
    ImportedMeasurement,
    UnreadableError,
    build_measurement,
    build_record,
    detect_link,
    parse_vantage,
)
from heliograph_collector.sources.ooni.failures import parse_failure
from heliograph_collector.sources.ooni.http_facts import parse_scheme
from heliograph_collector.sources.ooni.steps_builder import HopRows, add_hop_steps
from heliograph_collector.sources.ooni.values import Json, as_object, as_rows, as_text, as_texts

MAX_HOPS = 16


def read_web_connectivity(document: Json) -> ImportedMeasurement:
    """Import a measurement. Raises UnreadableError for a URL that is not HTTP."""
    keys = as_object(document.get("test_keys"))
    url = as_text(document.get("input")) or as_text(
        as_object(keys.get("x_control_request")).get("http_request")
    )
    for request in as_rows(keys.get("requests"))[::-1] if not url else ():
        url = url or as_text(
            as_object(request.get("request")).get("url")
        )  # the first request is listed last
    if url and parse_scheme(url) not in ("http", "https"):
        raise UnreadableError("its input is no http or https URL")
    hops = build_chain(keys, url)
    steps = Steps(trusted=document.get("software_name") != "heliograph")
    helper_comparison = blocking_only.read_helper_comparison(keys) if url else None
    if helper_comparison is not None:
        blocking_only.add_missing_steps(keys, hops[0], steps, helper_comparison)
    for depth, hop in enumerate(hops):
        steps.label = make_label(depth)
        add_hop_steps(steps, hop)
    if not steps.observations:
        _add_lone_failure(steps, keys)
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
        control = build_control_view(keys, page_observations, document)
    probe_vantage = parse_vantage(document)
    return ImportedMeasurement(
        input=url,
        test_name="web_connectivity",
        probe_cc=probe_vantage.country,
        probe_asn=f"AS{probe_vantage.asn}",
        record=build_record(document, web_measurement),
        control=control,
    )


def make_label(depth: int) -> str:
    return f"redirect-{depth}" if depth else ""


def _select_hop(steps: Steps, depth: int) -> list[Observation]:
    return [x for x in steps.observations if x.endpoint == make_label(depth)]


def _add_lone_failure(steps: Steps, keys: Json) -> None:
    """Add the failure of a run that recorded no other steps."""
    steps.label = ""
    failure_code = parse_failure(keys.get("dns_experiment_failure"))
    if failure_code is not None:
        steps.add(archival.build_step(Operation.RESOLVE, {}, failure_code))


def build_chain(keys: Json, url: str) -> list[HopRows]:
    """Build the pages in order; rows without depth go to the page with their host."""
    requests = _sort_requests(as_rows(keys.get("requests")), url)
    hops = [HopRows(url)]
    for number, request in enumerate(requests):
        depth = _read_depth(request)
        depth = number if depth is None else depth
        if depth >= MAX_HOPS:
            break
        _extend_hops(hops, depth)
        hops[depth].requests.append(request)
        hops[depth].url = as_text(as_object(request.get("request")).get("url")) or hops[depth].url
    lists = (
        ("queries", "queries"),
        ("x_dns_duplicate_responses", "duplicates"),
        ("tcp_connect", "connects"),
        ("tls_handshakes", "handshakes"),
    )
    hop_by_address: dict[str, HopRows] = {}
    for key, name in lists:
        if name == "connects":
            hop_by_address = _map_addresses(hops)
        for row in as_rows(keys.get(key)):
            hop = _find_hop(hops, row, hop_by_address)
            if hop is not None:
                getattr(hop, name).append(row)
    _fill_urls(hops)
    return hops


def _sort_requests(requests: list[Json], url: str) -> list[Json]:
    """Sort requests first to last; requests without tags are listed last first."""
    if any(_read_depth(r) is not None for r in requests):
        return requests
    urls = [as_text(as_object(r.get("request")).get("url")) for r in requests]
    first_first = len(urls) > 1 and urls[0] == url != urls[-1]
    return requests if first_first else requests[::-1]


def _read_depth(row: Json) -> int | None:
    for tag in as_texts(row.get("tags")):
        name, _, number = tag.partition("=")
        if name == "depth" and number.isdecimal() and len(number) < 4:
            return int(number)
    return None


def _find_hop(
    hops: list[HopRows], row: Json, hop_by_address: Mapping[str, HopRows]
) -> HopRows | None:
    depth = _read_depth(row)
    if depth is not None:
        if depth >= MAX_HOPS:
            return None
        _extend_hops(hops, depth)
        return hops[depth]
    host = normalize_host(as_text(row.get("hostname")) or as_text(row.get("server_name")))
    if host:
        return next((hop for hop in hops if hop.host == host), None)
    address = as_text(row.get("ip"), 64)
    return hop_by_address.get(address, hops[0])


def _map_addresses(hops: list[HopRows]) -> dict[str, HopRows]:
    """Map each address to the first page whose lookups gave it."""
    hop_by_address: dict[str, HopRows] = {}
    for hop in hops:
        for address in (a for query in hop.queries for a in _select_addresses(query)):
            hop_by_address.setdefault(address, hop)
    return hop_by_address


def _select_addresses(query: Json) -> set[str]:
    return {a.data for x in archival.parse_queries(query) if x.dns for a in x.dns.answers}


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
        name = next((as_text(q.get("hostname"), 256) for q in hop.queries), "")
        secure = any(hop.handshakes) or not any(c.get("port") == 80 for c in hop.connects)
        guessed_url = f"{'https' if secure else 'http'}://{name}/" if name else ""
        try:
            hop.url = urljoin(previous.url, location) if location else guessed_url
        except ValueError:
            hop.url = guessed_url
