"""The test helper's `control` as the sight of a control.

It fetches the URL to its end and tells of that end alone. Where the vantage was redirected, the
helper is taken to have gone the same way, as OONI takes it; at which addresses, it does not say.
"""

from collections.abc import Sequence
from dataclasses import replace

from heliograph.failure import Failure, Operation
from heliograph.observation import Dns, DnsAnswer, Http, Link, Observation, Tcp, Tls
from heliograph_collector.ooni import steps as s
from heliograph_collector.ooni.frame import measurement
from heliograph_collector.ooni.page import header_names, urlsplit_scheme
from heliograph_collector.ooni.steps import Steps, host_name
from heliograph_collector.ooni.values import Json, obj, text, texts, whole
from heliograph_collector.ooni.walk import Hop
from heliograph_collector.ooni.way import Hops, together
from heliograph_collector.ooni.words import failure
from heliograph_collector.store.rows import ControlView

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
