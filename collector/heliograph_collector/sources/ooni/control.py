"""Conversion of the test helper's `control` to a control view.

The helper fetches the URL to its end and reports only that end. Where both arrived and the vantage
was redirected, the helper is assumed to have followed the same redirects, as OONI assumes. Its
addresses there are not recorded.

A step that the helper did not report is no step here. Before October 2022 (ooni/probe-cli 3.17) it
reported lookups, connections and the fetch, and called most failures of the fetch `unknown_error`
(ooni/backend, oonib/testhelpers/http_helpers.py): such a fetch failed at an unknown step.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from heliograph.failure import Failure, Operation
from heliograph.observation import Http, Link, Observation, Tcp, Tls
from heliograph_collector.model.records import ControlView
from heliograph_collector.sources.ooni import archival
from heliograph_collector.sources.ooni.archival import (
    Steps,
    normalize_host,
    presume_lookup,
    presume_step,
)
from heliograph_collector.sources.ooni.document import (
    Control,
    HelperDns,
    HelperPage,
    HelperRow,
    OoniDocument,
    OoniKeys,
)
from heliograph_collector.sources.ooni.envelope import build_measurement
from heliograph_collector.sources.ooni.http_facts import (
    decode_headers,
    list_header_names,
    parse_scheme,
)
from heliograph_collector.sources.ooni.steps_builder import (
    NAME_FAILURES,
    TLS_FAILURES,
    HopRows,
)

Hops = Sequence[tuple[str, Sequence[Observation]]]  # URL and the vantage's observations by page

ALIKE = 0.7  # ratio of body sizes; OONI web_connectivity
LONG_WORD = 5  # letters; OONI web_connectivity
SHARED_LABELS = frozenset(("www", "com", "co", "org", "net", "gov", "edu", "ac", "m"))


def select_common_pages(hops: Hops, helper_page: HelperPage) -> Hops:
    """Select the pages that both sides saw; the last one is the helper's page."""
    last = _find_page(hops[-1][1])
    if last is not None and is_alike(last, helper_page):
        return hops
    for depth, ((url, _), (following, _)) in enumerate(pairwise(hops)):
        host = HopRows(url).host
        next_host = HopRows(following).host
        if last is None:
            is_common = not _is_regional(host, next_host)
        else:
            is_common = parse_scheme(url) != "http" or _is_related(host, next_host)
        if not is_common:
            return hops[: depth + 1]
    return hops


def _is_regional(host: str, other_host: str) -> bool:
    """Return whether a site redirected to its host for the reader's country."""
    is_same = host.removeprefix("www.") == other_host.removeprefix("www.")
    return not is_same and bool(_list_own_labels(host) & _list_own_labels(other_host))


def _list_own_labels(host: str) -> set[str]:
    return set(host.split(".")[:-1]) - SHARED_LABELS


def is_alike(vantage_page: Http, helper_page: HelperPage) -> bool:
    """Return whether two pages may be equal by status, and by title or else size."""
    if vantage_page.status != helper_page.status_code:
        return False
    if vantage_page.title or helper_page.title:
        return bool(_split_title(vantage_page.title) & _split_title(helper_page.title))
    size = vantage_page.body_bytes
    length = max(0, helper_page.body_length)
    if vantage_page.truncated or not (size and length):
        return True
    return min(size, length) / max(size, length) > ALIKE


def _find_page(observations: Sequence[Observation]) -> Http | None:
    pages = [
        o.http for o in observations if o.operation is Operation.READ_BODY and o.failure is None
    ]
    return next((http for http in pages if http is not None), None)


def _split_title(title: str) -> set[str]:
    tokens = {token for token in title.lower().split() if len(token) >= LONG_WORD}
    return tokens or {title.strip().lower()}


def _is_related(host: str, other_host: str) -> bool:
    host = host.removeprefix("www.")
    other_host = other_host.removeprefix("www.")
    return host == other_host or host.endswith("." + other_host) or other_host.endswith("." + host)


def has_helper_answer(keys: OoniKeys) -> bool:
    control = keys.control
    is_empty = control.http_request is None and control.dns is None and not control.tcp_connect
    return not keys.control_failure and not is_empty


def build_control_view(hops: Hops, document: OoniDocument) -> ControlView:
    """Build the control view, empty when the helper was not reached."""
    if not has_helper_answer(document.test_keys):
        return ControlView()
    control = document.test_keys.control
    steps = Steps()
    if control.dns is not None:
        _add_lookups(steps, control.dns, hops[0][0])
    _add_connections(steps, control, hops[0][0])
    if control.http_request is not None:
        _add_fetch(steps, control.http_request, hops)
    helper_measurement = build_measurement(
        document, steps.observations, experiment="web", target=hops[0][0]
    )
    return ControlView(measurement=helper_measurement, age_us=0, link=Link.ONLINE)


def _add_lookups(steps: Steps, dns: HelperDns, url: str) -> None:
    host = _get_host(url)
    is_unrecorded = dns.failure is None and dns.addrs is None
    if is_unrecorded or archival.is_address(host):
        return
    addresses = [a for a in dns.addrs or () if archival.is_address(a)]
    failure_code = dns.failure if not addresses else None
    if failure_code is None and not addresses:
        failure_code = Failure.DNS_NO_ANSWER
    for record, colon in (("A", False), ("AAAA", True)):
        record_addresses = [a for a in addresses if (":" in a) == colon]
        if record_addresses or (record == "A" and not addresses):
            steps.add(presume_lookup(host, failure_code, record_addresses, record))


def _add_connections(steps: Steps, control: Control, url: str) -> None:
    """Add connections to the helper's own addresses and to those of the vantage."""
    connects = control.tcp_connect
    handshakes = control.tls_handshake
    for end in sorted({*connects, *handshakes}):
        address, port = archival.split_endpoint(end)
        if not address:
            continue
        failure_code = _parse_status(connects[end]) if end in connects else None
        tcp = Tcp(address=address, port=port)
        index = steps.add(
            presume_step(Operation.CONNECT, failure_code, tcp=tcp),
            steps.find_lookup(address),
        )
        if failure_code is None and end in handshakes:
            row = handshakes[end]
            name = normalize_host(row.server_name) or _get_host(url)
            tls = Tls(server_name=name, chain=archival.parse_certificates(row))
            steps.add(presume_step(Operation.TLS_HANDSHAKE, _parse_status(row), tls=tls), index)


def _parse_status(row: HelperRow) -> Failure | None:
    return Failure.UNKNOWN_FAILURE if not row.failure and row.status is False else row.failure


def _add_redirects(steps: Steps, hops: Hops) -> None:
    """Add the pages before the last, which redirected both sides."""
    for depth, (url, page_observations) in enumerate(hops[:-1]):
        steps.label = make_label(depth)
        reply = next((x.http for x in page_observations if x.http and x.http.status), None)
        if depth:
            _add_resolution(steps, url, page_observations)
        parent = _add_path(steps, url, page_observations, fresh=depth > 0)
        redirect_page = reply or Http(method="GET", url=url, status=302)
        steps.add(
            presume_step(Operation.HTTP_ROUND_TRIP, http=replace(redirect_page, url=url)),
            parent,
        )


def _add_fetch(steps: Steps, helper_page: HelperPage, hops: Hops) -> None:
    """Add the fetch: its whole path if it arrived, or only its failure."""
    if helper_page.failure:
        if len(hops) > 1 or not _has_failed_rows(steps):
            steps.label = make_label(len(hops) - 1)
            _add_failure(steps, hops[-1][0], helper_page.failure)
    elif helper_page.status_code > 0:
        hops = select_common_pages(hops, helper_page)
        _add_redirects(steps, hops)
        depth = len(hops) - 1
        (url, page_observations) = hops[-1]
        steps.label = make_label(depth)
        if depth:
            _add_resolution(steps, url, page_observations)
        path = _add_path(steps, url, page_observations, fresh=depth > 0)
        _add_page(steps, helper_page, url, path)


def _has_failed_rows(steps: Steps) -> bool:
    """Return whether the helper's own rows already contain its failure."""
    connections = [x for x in steps.observations if x.operation is Operation.CONNECT]
    handshakes = [x for x in steps.observations if x.operation is Operation.TLS_HANDSHAKE]
    lookups = [x for x in steps.observations if x.dns]
    return any(
        group and all(x.failure is not None for x in group)
        for group in (lookups, connections, handshakes)
    )


def _add_failure(steps: Steps, url: str, failure_code: Failure) -> None:
    """Add a failure at the step of its name, or else as a fetch without a path."""
    host = _get_host(url)
    if failure_code in NAME_FAILURES:
        steps.add(presume_lookup(host, failure_code))
    elif failure_code in (Failure.CONNECTION_REFUSED, Failure.HOST_UNREACHABLE):
        steps.add(presume_step(Operation.CONNECT, failure_code))
    elif failure_code in TLS_FAILURES:
        connection = steps.add(presume_step(Operation.CONNECT))
        tls = Tls(server_name=host)
        steps.add(presume_step(Operation.TLS_HANDSHAKE, failure_code, tls=tls), connection)
    else:
        # the helper's "unknown_error" is any failure that has no name
        is_unnamed = failure_code is Failure.UNKNOWN_FAILURE
        fetch_failure = Failure.HTTP_REQUEST_FAILED if is_unnamed else failure_code
        http = Http(method="GET", url=url)
        steps.add(presume_step(Operation.HTTP_ROUND_TRIP, fetch_failure, http=http))


def _add_page(steps: Steps, helper_page: HelperPage, url: str, path: int) -> None:
    headers = decode_headers(helper_page.headers)
    http = Http(
        method="GET",
        url=url,
        status=helper_page.status_code,
        title=" ".join(helper_page.title.split()),
        server=headers.get("server", "")[:256],
        location=headers.get("location", ""),
        body_bytes=max(0, helper_page.body_length),
        header_names=list_header_names(headers),
    )
    parent = steps.add(presume_step(Operation.HTTP_ROUND_TRIP, http=http), path)
    steps.add(presume_step(Operation.READ_BODY, http=http), parent)


def _add_path(
    steps: Steps, url: str, page_observations: Sequence[Observation], *, fresh: bool
) -> int:
    """Add the steps below an answered request; `fresh` means at unrecorded addresses.

    The helper does not report by which of its connections it got the page. A recorded handshake
    that passed is likely. Without one, an answer over HTTPS still shows that one took place at one
    of its connections: at one that the vantage did not try, if there is one, because the vantage's
    endpoints are blamed only for what surely works there.
    """
    secure = parse_scheme(url) == "https"
    connections = [] if fresh else _find_open_connections(steps, HopRows(url).port)
    if not secure:
        return connections[0] if connections else steps.add(presume_step(Operation.CONNECT))
    rows = [(i, x) for i, x in enumerate(steps.observations) if x.parent in connections]
    passed = [i for i, x in rows if x.failure is None]
    if passed:
        return passed[0]
    failed = {x.parent for _, x in rows}
    untested = [i for i in connections if i not in failed]
    tried = {x.tcp.address for x in page_observations if x.tcp}
    elsewhere = [i for i in untested if _get_address(steps, i) not in tried]
    chosen = (elsewhere or untested)[:1] or [steps.add(presume_step(Operation.CONNECT))]
    tls = Tls(server_name=_get_host(url))
    return steps.add(presume_step(Operation.TLS_HANDSHAKE, tls=tls), chosen[0])


def _get_address(steps: Steps, index: int) -> str:
    tcp = steps.observations[index].tcp
    return tcp.address if tcp else ""


def _find_open_connections(steps: Steps, port: int) -> list[int]:
    """Find the helper's connections at this port to addresses that it resolved."""
    return [
        index
        for index, observation in enumerate(steps.observations)
        if observation.failure is None
        and observation.tcp
        and observation.tcp.port == port
        and _is_own_address(steps, observation.tcp)
    ]


def _is_own_address(steps: Steps, tcp: Tcp) -> bool:
    """Return whether the helper resolved this address, or needed no lookup."""
    has_lookup = any(x.dns for x in steps.observations)
    return not has_lookup or steps.find_lookup(tcp.address) is not None


def _add_resolution(steps: Steps, url: str, page_observations: Sequence[Observation]) -> None:
    """Add the lookup of a redirect's host where the vantage has one too."""
    if any(x.dns for x in page_observations):
        steps.add(presume_lookup(_get_host(url)))


def _get_host(url: str) -> str:
    return HopRows(url).host


def make_label(depth: int) -> str:
    return f"redirect-{depth}" if depth else ""
