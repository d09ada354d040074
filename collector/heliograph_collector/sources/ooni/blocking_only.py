"""web_connectivity without the helper's answer, but with what the probe found when it compared.

Old and cut-down measurements hold `dns_consistency` or `status_code_match` and neither the lookups
nor the helper's page. Those are comparisons of two observations and no verdicts, and the probe
made them only when the helper had answered. An address that is not told is a symbol here: the
same on both sides where the answers agreed.
"""

from dataclasses import dataclass

from heliograph.failure import Failure, Operation
from heliograph.observation import Dns, DnsAnswer, Http, Link, Observation, Tcp, Tls
from heliograph_collector.model.records import ControlView
from heliograph_collector.sources.ooni import archival as s
from heliograph_collector.sources.ooni.archival import Steps
from heliograph_collector.sources.ooni.envelope import measurement
from heliograph_collector.sources.ooni.failures import failure
from heliograph_collector.sources.ooni.steps_builder import NAME_WORDS, Hop
from heliograph_collector.sources.ooni.values import Json, obj, whole

HERE, THERE = "untold", "untold-elsewhere"  # addresses that no row names
MATCHES = ("body_length_match", "headers_match", "title_match")


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of the helper. `consistent` None: nothing was compared."""

    consistent: bool | None
    page: bool  # it got a page
    same: bool  # and the vantage got the same


def told(keys: Json) -> Told | None:
    """None when the helper's answer is in the file, when it did not answer, or nobody says."""
    control = obj(keys.get("control"))
    request, dns = obj(control.get("http_request")), obj(control.get("dns"))
    whole_answer = whole(request.get("status_code")) > 0 or dns.get("addrs") or dns.get("failure")
    if keys.get("control_failure") or request.get("failure") or whole_answer:
        return None
    consistent = {"consistent": True, "inconsistent": False}.get(str(keys.get("dns_consistency")))
    matches = [keys.get(key) for key in MATCHES]
    status = keys.get("status_code_match")
    page = isinstance(status, bool) or True in matches or "failure" in request
    if consistent is None and not page:
        return None
    return Told(consistent, page, same=status is True and True in matches)


def complete(keys: Json, hop: Hop, made: Steps, known: Told) -> None:
    """The vantage's own lookup, and its page where it was the helper's, before the rows."""
    if hop.queries or s.is_address(hop.host):
        return
    word = failure(keys.get("dns_experiment_failure"))
    failures = [failure(r.get("failure")) for r in hop.requests]
    if any(w and w.startswith("ssl_") for w in failures):
        hop.url = "https" + hop.url[hop.url.index(":") :]  # where a redirect had led
    word = word or next((w for w in failures if w in NAME_WORDS), None)
    ends = [s.connect(row).tcp for row in hop.connects]
    own = [end.address for end in ends if end] or [HERE]
    made.add(_lookup(hop.host, word, () if word else tuple(own)))
    if known.same and not any(failures) and not hop.connects:
        _page(made, hop)
        hop.requests = []


def control_view(document: Json, hop: Hop, made: Steps, known: Told) -> ControlView:
    """A helper that resolved where the answers agreed, or elsewhere, and perhaps got the page."""
    theirs = Steps()
    ours = [x for x in made.made if x.dns and not x.endpoint]
    addresses = tuple(a for x in ours if x.dns for a in x.dns.addresses) or (HERE,)
    if known.consistent is False:
        addresses = (THERE,)
    lost = next((x.failure for x in ours if x.failure), None) if known.consistent else None
    theirs.add(_lookup(hop.host, lost, () if lost else addresses))
    if known.page and not lost:
        _page(theirs, hop, addresses[0])
    of = measurement(document, theirs.made, experiment="web", target=hop.url)
    return ControlView(measurement=of, age_us=0, link=Link.ONLINE)


def _lookup(host: str, word: Failure | None, addresses: tuple[str, ...]) -> Observation:
    answers = tuple(DnsAnswer(type="AAAA" if ":" in a else "A", data=a) for a in addresses)
    dns = Dns(engine="system", resolver="", name=host, query_type="A", answers=answers)
    return Observation(
        operation=Operation.RESOLVE, started_us=0, duration_us=0, failure=word, dns=dns
    )


def _page(made: Steps, hop: Hop, address: str = HERE) -> None:
    """Its status is told by neither side, only that it is the same."""
    http = Http(method="GET", url=hop.url, status=200, title="untold", body_sha256="untold")
    tcp = Tcp(address=address, port=hop.port)
    parent = made.add(_step(Operation.CONNECT, tcp=tcp), 0)
    if hop.secure:
        tls = Tls(server_name=hop.host)
        parent = made.add(_step(Operation.TLS_HANDSHAKE, tls=tls), parent)
    parent = made.add(_step(Operation.HTTP_ROUND_TRIP, http=http), parent)
    made.add(_step(Operation.READ_BODY, http=http), parent)


def _step(
    operation: Operation,
    *,
    tcp: Tcp | None = None,
    tls: Tls | None = None,
    http: Http | None = None,
) -> Observation:
    return Observation(
        operation=operation, started_us=0, duration_us=0, failure=None, tcp=tcp, tls=tls, http=http
    )
