"""The test helper's `control` as the sight of a control.

It fetches the URL to its end and tells of that end alone. Where the vantage was redirected, the
helper is taken to have gone the same way, as OONI takes it; at which addresses, it does not say.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from heliograph.failure import Failure, Operation
from heliograph.observation import Dns, DnsAnswer, Http, Link, Observation, Tcp, Tls
from heliograph_collector.model.records import ControlView
from heliograph_collector.sources.ooni import archival as s
from heliograph_collector.sources.ooni.archival import Steps, host_name
from heliograph_collector.sources.ooni.envelope import Imported, measurement
from heliograph_collector.sources.ooni.failures import failure
from heliograph_collector.sources.ooni.http_facts import header_names, urlsplit_scheme
from heliograph_collector.sources.ooni.steps_builder import Hop
from heliograph_collector.sources.ooni.values import Json, obj, text, texts, whole

WINDOW_US = 3 * 3600 * 1_000_000  # outages worth the name last longer than a run takes
ENOUGH = 2  # other countries that fail alike, before it counts as an outage
Key = tuple[str, str, int]  # service, endpoint, stretch of time


class World:
    """Countries by outcome. Feed it every measurement with `note`, then ask with `contrast`."""

    def __init__(self) -> None:
        self._passed: defaultdict[Key, set[str]] = defaultdict(set)
        self._failed: defaultdict[Key, set[str]] = defaultdict(set)

    def note(self, seen: Imported) -> None:
        if not seen.presumed:
            return
        for label, failed in _outcomes(seen).items():
            (self._failed if failed else self._passed)[_key(seen, label)].add(seen.probe_cc)

    def contrast(self, seen: Imported) -> Imported:
        """With a control that fails where other countries fail alike and none gets through."""
        if not seen.presumed or seen.control.measurement is None:
            return seen
        labels = {label for label, failed in _outcomes(seen).items() if failed}
        dead = {label for label in labels if self._dead(seen, label)}
        proven = labels and all(self._others(self._passed, seen, label) for label in labels)
        if not dead:
            return replace(seen, presumed=not proven)
        ours = seen.taken.measurement.observations
        theirs = seen.control.measurement.observations
        mixed = tuple(o if o.endpoint in dead else t for o, t in zip(ours, theirs, strict=True))
        measured = replace(seen.control.measurement, observations=mixed)
        return replace(seen, control=replace(seen.control, measurement=measured))

    def _dead(self, seen: Imported, label: str) -> bool:
        if self._others(self._passed, seen, label):
            return False
        return len(self._others(self._failed, seen, label)) >= ENOUGH

    def _others(self, found: defaultdict[Key, set[str]], seen: Imported, label: str) -> set[str]:
        return found.get(_key(seen, label), set()) - {seen.probe_cc, "ZZ"}


def _outcomes(seen: Imported) -> dict[str, bool]:
    """By endpoint, whether it failed: in its last step, and in no way that is the vantage's own."""
    last: dict[str, Observation] = {}
    for one in seen.taken.measurement.observations:
        last[one.endpoint] = one
    return {label: one.failure is not None for label, one in last.items()}


def _key(seen: Imported, label: str) -> Key:
    of = seen.taken.measurement
    return of.service, label, of.started_us // WINDOW_US


Hops = Sequence[tuple[str, Sequence[Observation]]]  # each page's URL, and what the vantage saw

ALIKE = 0.7  # shorter body over longer one
LONG_WORD = 5  # letters


def together(hops: Hops, request: Json) -> Hops:
    """The pages that both sides saw; the helper's own page stands at the last of them."""
    last = _redirects_page(hops[-1][1])
    if last is None or alike(last, request):
        return hops
    for depth, ((url, _), (following, _)) in enumerate(pairwise(hops)):
        if urlsplit_scheme(url) == "http" and not _related(Hop(url).host, Hop(following).host):
            return hops[: depth + 1]
    return hops


def alike(ours: Http, theirs: Json) -> bool:
    """Whether two pages can be one: the status, and then the title or the size."""
    if ours.status != whole(theirs.get("status_code")):
        return False
    title, other = ours.title, text(theirs.get("title"), 256)
    if title or other:
        return bool(_words(title) & _words(other))
    size, length = ours.body_bytes, max(0, whole(theirs.get("body_length")))
    if ours.truncated or not (size and length):
        return True
    return min(size, length) / max(size, length) > ALIKE


def _redirects_page(seen: Sequence[Observation]) -> Http | None:
    pages = [o.http for o in seen if o.operation is Operation.READ_BODY and o.failure is None]
    return next((http for http in pages if http is not None), None)


def _words(title: str) -> set[str]:
    words = {word for word in title.lower().split() if len(word) >= LONG_WORD}
    return words or {title.strip().lower()}


def _related(one: str, other: str) -> bool:
    one, other = one.removeprefix("www."), other.removeprefix("www.")
    return one == other or one.endswith("." + other) or other.endswith("." + one)


TLS_WORDS = frozenset(w for w in Failure if w.startswith("ssl_"))
DNS_WORDS = frozenset(w for w in Failure if w.startswith("dns_"))


def helper_answered(keys: Json) -> bool:
    told = ("http_request", "dns", "tcp_connect")
    control = obj(keys.get("control"))
    return not keys.get("control_failure") and any(control.get(key) for key in told)


def control_view(keys: Json, hops: Hops, document: Json) -> ControlView:
    """Nothing to compare with when the helper was not reached."""
    if not helper_answered(keys):
        return ControlView()
    control = obj(keys.get("control"))
    made = Steps()
    dns = obj(control.get("dns"))
    if dns.get("failure") is not None or dns.get("addrs") is not None:
        _name(made, dns, hops[0][0])
    _ends(made, control, hops[0][0])
    request = obj(control.get("http_request"))
    if request:
        hops = together(hops, request)
        _way(made, hops)
        _end(made, request, hops)
    of = measurement(document, made.made, experiment="web", target=hops[0][0])
    return ControlView(measurement=of, age_us=0, link=Link.ONLINE)


def _name(made: Steps, dns: Json, url: str) -> None:
    host = _host(url)
    if s.is_address(host):
        return
    addresses = [a for a in texts(dns.get("addrs")) if s.is_address(a)]
    word = failure(dns.get("failure")) if not addresses else None
    if word is None and not addresses:
        word = Failure.DNS_NO_ANSWER
    for record, colon in (("A", False), ("AAAA", True)):
        found = [a for a in addresses if (":" in a) == colon]
        if found or (record == "A" and not addresses):
            answers = tuple(DnsAnswer(type=record, data=a) for a in found)
            made.add(_lookup(host, record, word, answers))


def _lookup(
    host: str, record: str = "A", word: Failure | None = None, answers: tuple[DnsAnswer, ...] = ()
) -> Observation:
    """As the control's system resolver, which is what the vantage's is held against."""
    dns = Dns(engine="system", resolver="", name=host, query_type=record, answers=answers)
    return _step(Operation.RESOLVE, word, dns=dns)


def _step(operation: Operation, word: Failure | None = None, **facts: object) -> Observation:
    bare = Observation(operation=operation, started_us=0, duration_us=0, failure=word)
    return replace(bare, **facts)  # type: ignore[arg-type] # of the one field that it is for


def _ends(made: Steps, control: Json, url: str) -> None:
    """Connections to what the helper found itself and to what the vantage asked it to try."""
    connects = obj(control.get("tcp_connect"))
    handshakes = obj(control.get("tls_handshake"))
    for end in sorted({*connects, *handshakes})[:128]:
        address, port = s.split(end)
        if not address:
            continue
        word = _status(obj(connects.get(end))) if end in connects else None
        tcp = Tcp(address=address, port=port)
        index = made.add(_step(Operation.CONNECT, word, tcp=tcp), made.lookup_of(address))
        if word is None and end in handshakes:
            row = obj(handshakes.get(end))
            name = host_name(text(row.get("server_name"), 256)) or _host(url)
            tls = Tls(server_name=name, chain=s.certificates(row))
            made.add(_step(Operation.TLS_HANDSHAKE, _status(row), tls=tls), index)


def _status(row: Json) -> Failure | None:
    word = failure(row.get("failure"))
    if word is None and row.get("status") is False:
        return Failure.UNKNOWN_FAILURE
    return word


def _way(made: Steps, hops: Hops) -> None:
    """The pages before the last, on which both sides were sent on."""
    for depth, (url, ours) in enumerate(hops[:-1]):
        made.label = _label(depth)
        reply = next((x.http for x in ours if x.http and x.http.status), None)
        if depth:
            _resolved(made, url, ours)
        parent = _line(made, url, fresh=depth > 0)
        here = reply or Http(method="GET", url=url, status=302)
        made.add(_step(Operation.HTTP_ROUND_TRIP, http=replace(here, url=url)), parent)


def _end(made: Steps, request: Json, hops: Hops) -> None:
    depth, (url, ours) = len(hops) - 1, hops[-1]
    made.label = _label(depth)
    word = failure(request.get("failure"))
    status = max(0, whole(request.get("status_code")))
    if word is None and status:
        if depth:
            _resolved(made, url, ours)
        _page(made, request, url, status, fresh=depth > 0)
    elif word is not None and not (depth == 0 and _told(made)):
        _stopped(made, url, ours, word, fresh=depth > 0)


def _told(made: Steps) -> bool:
    """Whether the helper's own rows tell already where it stopped."""
    lines = [x for x in made.made if x.operation is Operation.CONNECT]
    handshakes = [x for x in made.made if x.operation is Operation.TLS_HANDSHAKE]
    lookups = [x for x in made.made if x.dns]
    return any(
        found and all(x.failure is not None for x in found)
        for found in (lookups, lines, handshakes)
    )


def _stopped(
    made: Steps, url: str, ours: Sequence[Observation], word: Failure, *, fresh: bool
) -> None:
    if word in DNS_WORDS:
        made.add(_lookup(_host(url), word=word))
        return
    if fresh:
        _resolved(made, url, ours)
    if word in (Failure.CONNECTION_REFUSED, Failure.HOST_UNREACHABLE):
        made.add(_step(Operation.CONNECT, word))
        return
    if word in TLS_WORDS:
        line = made.add(_step(Operation.CONNECT))
        made.add(_step(Operation.TLS_HANDSHAKE, word, tls=Tls(server_name=_host(url))), line)
        return
    # "unknown_error" is the helper's word for whatever else kept it from a page
    word = Failure.HTTP_REQUEST_FAILED if word is Failure.UNKNOWN_FAILURE else word
    http = Http(method="GET", url=url)
    made.add(_step(Operation.HTTP_ROUND_TRIP, word, http=http), _line(made, url, fresh=fresh))


def _page(made: Steps, request: Json, url: str, status: int, *, fresh: bool) -> None:
    headers = obj(request.get("headers"))
    values = {str(name).lower(): text(value) for name, value in headers.items()}
    http = Http(
        method="GET",
        url=url,
        status=status,
        title=" ".join(text(request.get("title"), 256).split()),
        server=values.get("server", "")[:256],
        location=values.get("location", ""),
        body_bytes=max(0, whole(request.get("body_length"))),
        header_names=header_names(headers),
    )
    parent = made.add(_step(Operation.HTTP_ROUND_TRIP, http=http), _line(made, url, fresh=fresh))
    made.add(_step(Operation.READ_BODY, http=http), parent)


def _line(made: Steps, url: str, *, fresh: bool) -> int:
    """What a reply to the request stands on. `fresh`: at addresses that are not named."""
    secure = urlsplit_scheme(url) == "https"
    lines = [] if fresh else _standing(made, Hop(url).port)
    handshakes = [i for i, x in enumerate(made.made) if x.parent in lines and x.failure is None]
    if secure and handshakes:
        return handshakes[0]
    index = lines[0] if lines else made.add(_step(Operation.CONNECT))
    if secure:
        index = made.add(_step(Operation.TLS_HANDSHAKE, tls=Tls(server_name=_host(url))), index)
    return index


def _standing(made: Steps, port: int) -> list[int]:
    """The helper's connections at this port, to addresses that it found itself."""
    return [
        index
        for index, seen in enumerate(made.made)
        if seen.failure is None and seen.tcp and seen.tcp.port == port and _own(made, seen.tcp)
    ]


def _own(made: Steps, tcp: Tcp) -> bool:
    """Whether the helper's own lookup gave it, or no lookup was needed."""
    named = any(x.dns for x in made.made)
    return not named or made.lookup_of(tcp.address) is not None


def _resolved(made: Steps, url: str, ours: Sequence[Observation]) -> None:
    """A name that had to be resolved on the way, where the vantage did so as well."""
    if any(x.dns for x in ours):
        made.add(_lookup(_host(url)))


def _host(url: str) -> str:
    return Hop(url).host


def _label(depth: int) -> str:
    return f"redirect-{depth}" if depth else ""
