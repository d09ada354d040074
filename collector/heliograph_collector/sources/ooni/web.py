"""web_connectivity 0.4 and 0.5: a page, its redirects, and what the test helper saw of it.

0.5 tags every row with its place in the chain of redirects and with its connection; 0.4 does not,
and lists its requests last first. Of what OONI concluded itself (`blocking`, `accessible`, flags,
comparisons) nothing is read.
"""

from collections.abc import Mapping
from itertools import pairwise
from urllib.parse import urljoin

from heliograph.failure import Operation
from heliograph.observation import Observation
from heliograph_collector.sources.ooni import archival as s
from heliograph_collector.sources.ooni import blocking_only
from heliograph_collector.sources.ooni.archival import Steps, host_name
from heliograph_collector.sources.ooni.control import control_view, helper_answered
from heliograph_collector.sources.ooni.envelope import (
    Imported,
    UnreadableError,
    link,
    measurement,
    taken,
    vantage,
)
from heliograph_collector.sources.ooni.failures import failure
from heliograph_collector.sources.ooni.http_facts import urlsplit_scheme
from heliograph_collector.sources.ooni.steps_builder import Hop, walk
from heliograph_collector.sources.ooni.values import Json, obj, rows, text, texts

MOST_HOPS = 16


def read(document: Json) -> Imported:
    """Raises UnreadableError when there is no URL to speak of."""
    keys = obj(document.get("test_keys"))
    url = text(document.get("input")) or text(
        obj(keys.get("x_control_request")).get("http_request")
    )
    for request in rows(keys.get("requests"))[::-1] if not url else ():
        url = url or text(obj(request.get("request")).get("url"))  # the first is listed last
    if url and urlsplit_scheme(url) not in ("http", "https"):
        raise UnreadableError("its input is no http or https URL")
    hops = chain(keys, url)
    made = Steps(trusted=document.get("software_name") != "heliograph")
    known = blocking_only.told(keys) if url else None
    if known is not None:
        blocking_only.complete(keys, hops[0], made, known)
    for depth, hop in enumerate(hops):
        made.label = label(depth)
        walk(made, hop)
    if not made.made:
        _lone_failure(made, keys)
    online = link(document, made.made, helper=helper_answered(keys) or known is not None)
    of = measurement(document, made.made, experiment="web", target=url, online=online)
    if known is not None:
        control = blocking_only.control_view(document, hops[0], made, known)
    else:
        seen = [(hop.url, _seen(made, d)) for d, hop in enumerate(hops)]
        control = control_view(keys, seen, document)
    place = vantage(document)
    return Imported(
        input=url,
        test_name="web_connectivity",
        probe_cc=place.country,
        probe_asn=f"AS{place.asn}",
        taken=taken(document, of),
        control=control,
    )


def label(depth: int) -> str:
    return f"redirect-{depth}" if depth else ""


def _seen(made: Steps, depth: int) -> list[Observation]:
    return [x for x in made.made if x.endpoint == label(depth)]


def _lone_failure(made: Steps, keys: Json) -> None:
    """A run so old or so short that only the words of its failures are left."""
    made.label = ""
    word = failure(keys.get("dns_experiment_failure"))
    if word is not None:
        made.add(s.step(Operation.RESOLVE, {}, word))


def chain(keys: Json, url: str) -> list[Hop]:
    """The pages in order. A row without a place of its own goes to the host it names."""
    requests = _in_order(rows(keys.get("requests")), url)
    hops = [Hop(url)]
    for number, request in enumerate(requests):
        depth = _depth(request)
        depth = number if depth is None else depth
        if depth >= MOST_HOPS:
            break
        _reach(hops, depth)
        hops[depth].requests.append(request)
        hops[depth].url = text(obj(request.get("request")).get("url")) or hops[depth].url
    lists = (
        ("queries", "queries"),
        ("x_dns_duplicate_responses", "duplicates"),
        ("tcp_connect", "connects"),
        ("tls_handshakes", "handshakes"),
    )
    given: dict[str, Hop] = {}
    for key, name in lists:
        if name == "connects":
            given = _given(hops)
        for row in rows(keys.get(key)):
            hop = _hop_of(hops, row, given)
            if hop is not None:
                getattr(hop, name).append(row)
    _name_hops(hops)
    return hops


def _in_order(requests: list[Json], url: str) -> list[Json]:
    """First to last. Tagged ones know their place; the others are listed last first."""
    if any(_depth(r) is not None for r in requests):
        return requests
    urls = [text(obj(r.get("request")).get("url")) for r in requests]
    first_first = len(urls) > 1 and urls[0] == url != urls[-1]
    return requests if first_first else requests[::-1]


def _depth(row: Json) -> int | None:
    for tag in texts(row.get("tags")):
        name, _, number = tag.partition("=")
        if name == "depth" and number.isdecimal() and len(number) < 4:
            return int(number)
    return None


def _hop_of(hops: list[Hop], row: Json, given: Mapping[str, Hop]) -> Hop | None:
    depth = _depth(row)
    if depth is not None:
        if depth >= MOST_HOPS:
            return None
        _reach(hops, depth)
        return hops[depth]
    named = host_name(text(row.get("hostname")) or text(row.get("server_name")))
    if named:
        return next((hop for hop in hops if hop.host == named), None)
    address = text(row.get("ip"), 64)
    return given.get(address, hops[0])


def _given(hops: list[Hop]) -> dict[str, Hop]:
    """By address, the first page whose lookups gave it."""
    found: dict[str, Hop] = {}
    for hop in hops:
        for address in (a for query in hop.queries for a in _addresses(query)):
            found.setdefault(address, hop)
    return found


def _addresses(query: Json) -> set[str]:
    return {a.data for x in s.queries(query) if x.dns for a in x.dns.answers}


def _reach(hops: list[Hop], depth: int) -> None:
    while len(hops) <= depth:
        hops.append(Hop(""))


def _name_hops(hops: list[Hop]) -> None:
    """A page that was never asked for has the address that the one before sent to."""
    for before, hop in pairwise(hops):
        if hop.url:
            continue
        replies = [s.page(r, before.url)[-1].http for r in before.requests]
        location = next((http.location for http in replies if http and http.location), "")
        name = next((text(q.get("hostname"), 256) for q in hop.queries), "")
        secure = any(hop.handshakes) or not any(c.get("port") == 80 for c in hop.connects)
        guess = f"{'https' if secure else 'http'}://{name}/" if name else ""
        try:
            hop.url = urljoin(before.url, location) if location else guess
        except ValueError:
            hop.url = guess
