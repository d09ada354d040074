"""dnscheck, stunreachability, tor, and the two that look for boxes in between."""

from heliograph.failure import Failure, Operation
from heliograph.observation import Exchange, Observation, Udp
from heliograph_collector.sources.ooni import archival as s
from heliograph_collector.sources.ooni.archival import Steps
from heliograph_collector.sources.ooni.endpoints import imported, reached
from heliograph_collector.sources.ooni.envelope import Imported
from heliograph_collector.sources.ooni.failures import failure
from heliograph_collector.sources.ooni.steps_builder import Hop, walk
from heliograph_collector.sources.ooni.values import Json, binary, obj, rows, text, texts

MOST = 128  # targets of one measurement
TOR_KINDS = ("dir_port", "or_port", "or_port_dirauth", "obfs4")
TAMPERED = (
    "header_field_name",
    "header_field_number",
    "header_field_value",
    "header_name_capitalization",
    "request_line_capitalization",
)


def dnscheck(document: Json) -> Imported:
    """The resolver's own name, then a question to each of its addresses."""
    keys = obj(document.get("test_keys"))
    made = Steps()
    groups = {}
    bootstrap = obj(keys.get("bootstrap"))
    for row in rows(bootstrap.get("queries")):
        made.label = "bootstrap"
        for seen in s.queries(row):
            made.add(seen)
    if failure(keys.get("bootstrap_failure")) and not made.made:
        made.label = "bootstrap"
        reached(made, Operation.RESOLVE, failure(keys.get("bootstrap_failure")))
    if made.made:
        groups["bootstrap"] = "bootstrap"
    for url, found in list(obj(keys.get("lookups")).items())[:MOST]:
        made.label = label = f"lookup-{url}"[:200]
        _resolver(made, url, obj(found))
        if made.here():
            groups[label] = "lookup"
    return imported(document, "dnscheck", made, groups)


def _resolver(made: Steps, url: str, found: Json) -> None:
    """Reached or not by the step that failed; that it answers is an exchange in its protocol."""
    hop = Hop(url)
    hop.connects, hop.handshakes = rows(found.get("tcp_connect")), rows(found.get("tls_handshakes"))
    walk(made, hop)
    word = failure(found.get("failure"))
    if any(x.failure is not None for x in made.here()):
        return
    parent = len(made.made) - 1 if made.here() else None
    exchange = Exchange(protocol="dns", reply="" if word else "answer")
    made.add(_exchange(exchange, word), parent)


def _exchange(exchange: Exchange, word: Failure | None, udp: Udp | None = None) -> Observation:
    return Observation(
        operation=Operation.EXCHANGE,
        started_us=0,
        duration_us=0,
        failure=_spoken(word),
        udp=udp,
        exchange=exchange,
    )


def _spoken(word: Failure | None) -> Failure | None:
    """A DNS failure over a sealed connection is a reply that does not fit."""
    return Failure.UNEXPECTED_REPLY if word and word.startswith("dns_") else word


def stunreachability(document: Json) -> Imported:
    keys = obj(document.get("test_keys"))
    made = Steps(label="stun")
    for row in rows(keys.get("queries")):
        for seen in s.queries(row):
            made.add(seen)
    word = failure(keys.get("failure"))
    told = any(x.failure is not None and x.failure is word for x in made.made)
    if not told and ("failure" in keys or keys.get("endpoint")):
        address, port = _udp_end(keys, made)
        exchange = Exchange(protocol="stun", reply="" if word else "binding_success")
        udp = Udp(address=address, port=port) if address else None
        made.add(_exchange(exchange, word, udp), made.lookup_of(address) if address else None)
    return imported(document, "stunreachability", made, {"stun": "stun"} if made.made else {})


def _udp_end(keys: Json, made: Steps) -> tuple[str, int]:
    end = s.split(keys.get("endpoint"))
    if end[0]:
        return end
    own = (a for x in made.made if x.dns for a in x.dns.addresses)
    return next(own, ""), 3478


def tor(document: Json) -> Imported:
    """One target is one endpoint; those of a kind stand in for each other."""
    keys = obj(document.get("test_keys"))
    made = Steps()
    groups = {}
    for name, found in list(obj(keys.get("targets")).items())[:MOST]:
        target = obj(found)
        kind = text(target.get("target_protocol"), 32)
        if kind not in TOR_KINDS:
            continue
        made.label = label = f"{kind}-{name}"[:200]
        _tor_target(made, target)
        if made.here():
            groups[label] = kind
    return imported(document, "tor_targets", made, groups)


def _tor_target(made: Steps, target: Json) -> None:
    address, port = s.split(target.get("target_address"))
    hop = Hop(f"tcp://{address or 'x'}:{port}")
    hop.connects = rows(target.get("tcp_connect"))
    walk(made, hop)
    word = failure(target.get("failure"))
    if any(x.failure is not None for x in made.here()):
        return
    if not made.here() and word is not None:
        reached(made, Operation.CONNECT, word)
        return
    parent = len(made.made) - 1 if made.here() else None
    exchange = Exchange(protocol="tor", reply="" if word else "handshake")
    made.add(_exchange(exchange, word), parent)


def header_fields(document: Json) -> Imported:
    """http_header_field_manipulation: what came back of the headers that went out."""
    keys = obj(document.get("test_keys"))
    made = Steps(label="echo")
    requests = rows(keys.get("requests"))
    word = failure(requests[0].get("failure")) if requests else None
    word = word or failure(keys.get("failure"))
    tampering = obj(keys.get("tampering"))
    differences = tuple(name for name in TAMPERED if tampering.get(name) is True)
    if texts(tampering.get("header_name_diff")):
        differences = (*differences, "header_name_diff")
    if tampering.get("total") is True:
        differences = (*differences, "no_echo")
    if requests or tampering or word:
        # "total" is also what OONI says of an echo service that was not reached
        _echo(made, "http_echo", word, () if word else differences)
    return imported(document, "middlebox", made, {"echo": "echo"} if made.made else {})


def request_lines(document: Json) -> Imported:
    """http_invalid_request_line: five lines no server understands, each echoed as it was sent."""
    keys = obj(document.get("test_keys"))
    made = Steps()
    sent, received = _list(keys.get("sent")), _list(keys.get("received"))
    failures = _list(keys.get("failure_list"))
    for index in range(min(max(len(sent), len(received), len(failures)), 16)):
        made.label = f"line-{index + 1}"
        word = failure(failures[index]) if index < len(failures) else None
        same = (
            index < len(sent)
            and index < len(received)
            and binary(sent[index]) == binary(received[index])
        )
        _echo(made, "tcp_echo", word, () if same or word else ("echo_differs",))
    return imported(document, "middlebox", made, {x.endpoint: "line" for x in made.made})


def _echo(made: Steps, protocol: str, word: Failure | None, differences: tuple[str, ...]) -> None:
    reply = "" if word else "echo"
    exchange = Exchange(protocol=protocol, reply=reply, differences=differences)
    made.add(_exchange(exchange, word))


def _list(value: object) -> list[object]:
    return value[:16] if isinstance(value, list) else []
