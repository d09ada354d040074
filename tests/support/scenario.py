"""Read the catalogue in tests/scenarios: condition → observations → verdict.

A step is `operation argument: outcome`. The outcome is `ok`, a word of the failure vocabulary, the
addresses of an answer, or the facts of a page or a lookup. What a step stands on follows from the
order:
a connection on the lookup that gave its address, anything else on the step before it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from heliograph.failure import Failure, Operation
from heliograph.observation import (
    Arrival,
    Certificate,
    Dns,
    DnsAnswer,
    DnsReply,
    Exchange,
    Hop,
    Http,
    Link,
    Measurement,
    Observation,
    Reference,
    Tcp,
    Tls,
    Udp,
)
from heliograph.plan import ServiceFunction
from heliograph_agent.net.tls.certificates import describe_certificate
from heliograph_collector.model.control_look import HelloSize, VantageProfile
from heliograph_collector.model.records import (
    AgentRole,
    ControlView,
    PeerComparison,
    ReceivedMeasurement,
    Vantage,
    VerdictState,
)

CATALOGUE = Path(__file__).parents[1] / "scenarios"
CHAINS = Path(__file__).parents[1] / "honest" / "chains"
HOST = "www.target.example"
NOON_US = 1_700_000_000_000_000
MINUTE_US = 60_000_000
_SAME_IN_HTTP = ("title", "server", "location", "truncated", "text")


@dataclass(frozen=True)
class Scenario:
    name: str
    taken: ReceivedMeasurement
    control: ControlView
    verdicts: Mapping[str, Mapping[str, Any]]  # by endpoint, what is expected of it

    @property
    def rules(self) -> frozenset[str]:
        return frozenset(
            str(expected["rule"]) for expected in self.verdicts.values() if "rule" in expected
        )


@cache
def catalogue() -> tuple[Scenario, ...]:
    """Return every scenario of every file, in order."""
    return tuple(
        scenario(entry) for path in sorted(CATALOGUE.glob("*.yml")) for entry in listed(path)
    )


def listed(path: Path) -> list[dict[str, Any]]:
    """Read a file's entries by the C loader, since each worker reads all of them."""
    entries: list[dict[str, Any]] = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)
    return entries


def scenario(entry: Mapping[str, Any]) -> Scenario:
    experiment = entry.get("experiment", "web")
    here = measurement(entry.get("here", []), experiment=experiment)
    here = replace(here, target=entry.get("target", here.target))
    here = replace(here, started_us=int(entry.get("at_s", here.started_us / 1e6) * 1e6))
    if "chain" in entry:
        here = with_chain(here, load_chain(entry["chain"]))
    here = replace(here, not_measured=entry.get("not_measured", ""), link=_link(entry, "link"))
    verdict = entry["verdict"]
    return Scenario(
        name=entry["name"],
        taken=taken(here, role=AgentRole(entry.get("role", "volunteer"))),
        control=_control(entry, experiment),
        verdicts={"": verdict} if {"rule", "state"} & set(verdict) else verdict,
    )


def load_chain(name: str) -> tuple[bytes, ...]:
    """Load a chain of real certificates, leaf first."""
    loaded = x509.load_pem_x509_certificates((CHAINS / name).read_bytes())
    return tuple(certificate.public_bytes(Encoding.DER) for certificate in loaded)


def with_chain(of: Measurement, chain: tuple[bytes, ...]) -> Measurement:
    """Return a measurement whose refused handshakes carry the certificate chain."""
    facts = tuple(map(describe_certificate, chain))
    steps = tuple(
        replace(step, tls=replace(step.tls, chain=facts)) if step.tls and step.failure else step
        for step in of.observations
    )
    return replace(of, observations=steps, certificates=chain)


def _control(entry: Mapping[str, Any], experiment: str) -> ControlView:
    groups = entry.get("groups", {})
    functions = {
        label: ServiceFunction(name)
        for name, labels in entry.get("functions", {}).items()
        for label in labels
    }
    first_way = frozenset(entry.get("first_way", ()))
    told: dict[str, Any] = {
        key: frozenset(value) if isinstance(value, list) else value
        for key, value in entry.get("profile", {}).items()
    }
    if "passed_hellos" in told:
        told["passed_hellos"] = frozenset(map(PASSED_HELLOS.__getitem__, told["passed_hellos"]))
    profile = VantageProfile(**told)
    if "control" not in entry:
        return ControlView(groups=groups, functions=functions, first_way=first_way, profile=profile)
    seen = entry["here"] if entry["control"] == "the same" else entry["control"]
    return ControlView(
        measurement=measurement(seen, experiment=experiment),
        age_us=int(entry.get("control_age_min", 1) * MINUTE_US), link=_link(entry, "control_link"),
        groups=groups, functions=functions, first_way=first_way,
        peer_comparisons=_contrast(entry.get("contrast", {})),
        is_substitute=entry.get("stand_in", False), profile=profile,
    )  # fmt: skip


def _contrast(facts: Mapping[str, Any]) -> dict[str, PeerComparison]:
    """Return comparisons by endpoint; facts without one are those of the page."""
    by_endpoint = all(isinstance(value, Mapping) for value in facts.values())
    return {
        label: PeerComparison(**one)
        for label, one in (facts if by_endpoint else {"": facts}).items()
    }


def _link(entry: Mapping[str, Any], key: str) -> Link:
    return Link(entry.get(key, "online"))


def taken(
    of: Measurement, *, role: AgentRole = AgentRole.VOLUNTEER, nym: str = "n1"
) -> ReceivedMeasurement:
    """Return a measurement as intake would pass it on."""
    return ReceivedMeasurement(
        id="0" * 32, position=1, received_us=of.started_us, pseudonym=nym, prefix="p1", role=role,
        vantage=Vantage(country="KZ", asn=9198, access="mobile"), measurement=of,
    )  # fmt: skip


def measurement(
    steps: Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    experiment: str = "web",
    started_us: int = NOON_US,
) -> Measurement:
    """Build a measurement from steps under one label "", or by labels."""
    seen: list[Observation] = []
    for label, some in steps.items() if isinstance(steps, Mapping) else (("", steps),):
        seen += _observations(some, label, len(seen))
    return Measurement(
        experiment=experiment, experiment_version=1, target=f"https://{HOST}/",
        service="" if experiment == "web" else experiment, started_us=started_us, monotonic_us=0,
        boot="boot", runtime_us=1, epoch="e1", link=Link.ONLINE, observations=tuple(seen),
    )  # fmt: skip


def keep_observations(m: Measurement, kept: Sequence[int]) -> Measurement:
    """Return the measurement with only these steps; orphans have no parent."""
    place = {old: new for new, old in enumerate(kept)}
    seen = (m.observations[old] for old in kept)
    again = (replace(x, parent=None if x.parent is None else place.get(x.parent)) for x in seen)
    return replace(m, observations=tuple(again))


def _observations(steps: Sequence[Mapping[str, Any]], label: str, offset: int) -> list[Observation]:
    made: list[Observation] = []
    for step in steps:
        ((text, outcome),) = step.items()
        word, _, argument = text.partition(" ")
        seen = _MAKERS.get(word, _lookup)(word, argument, outcome)
        parent = _parent(made, seen)
        parent = None if parent is None else parent + offset
        made.append(replace(seen, endpoint=label, parent=parent))
    return made


def _parent(made: Sequence[Observation], seen: Observation) -> int | None:
    if seen.operation is Operation.RESOLVE or not made:
        return None
    end = seen.tcp or seen.udp
    if end is None:
        return len(made) - 1
    gave = (i for i, x in enumerate(made) if x.dns and end.address in x.dns.addresses)
    return next(gave, None)


def _step(operation: Operation, outcome: object, **facts: Any) -> Observation:
    word = str(outcome).split(" ", 1)[0]
    failure = Failure(word) if word in set(Failure) else None
    facts = {"duration_us": 1, **facts}
    return Observation(operation=operation, started_us=0, failure=failure, **facts)


def _lookup(engine: str, argument: str, outcome: object) -> Observation:
    """Build a lookup; its outcome may be `{answers: …, later: …}` for a second reply.

    `resolver: public` gives the system's resolver a public address.
    """
    facts = outcome if isinstance(outcome, Mapping) else {"answers": outcome}
    outcome = facts["answers"]
    query_type, _, name = argument.partition(" ")
    addresses = _addresses(outcome)
    resolver = str(facts.get("resolver", "" if engine == "system" else "9.9.9.9:53"))
    dns = Dns(
        engine=engine, resolver=resolver, name=name or HOST,
        query_type=query_type or "A", answers=_answers(query_type, addresses),
        later=_later(query_type, facts.get("later")),
    )  # fmt: skip
    return _step(Operation.RESOLVE, outcome, dns=dns)


def _addresses(outcome: object) -> tuple[str, ...]:
    return () if str(outcome) in set(Failure) else tuple(str(outcome).split())


def _answers(query_type: str, addresses: Sequence[str]) -> tuple[DnsAnswer, ...]:
    return tuple(DnsAnswer(type=query_type, data=a) for a in addresses if a != "ok")


def _later(query_type: str, outcome: object) -> tuple[DnsReply, ...]:
    if outcome is None:
        return ()
    rcode = 3 if outcome == Failure.DNS_NXDOMAIN_ERROR else 0
    answers = _answers(query_type, _addresses(outcome))
    return (DnsReply(after_us=9_000, rcode=rcode, answers=answers),)


def _connect(_: str, argument: str, outcome: object) -> Observation:
    address, _, port = argument.partition(" ")
    return _step(Operation.CONNECT, outcome, tcp=Tcp(address=address, port=int(port or 443)))


HELLO_BYTES = {"large": 1_546, "small": 517}  # of OpenSSL 3.5 and 3.0
PASSED_HELLOS = {"large": HelloSize(False, True), "small": HelloSize(False, False)}


def _tls(_: str, argument: str, outcome: object) -> Observation:
    """Build a handshake; the outcome may end in the leaf's key and name.

    For example `ssl_unknown_authority key-of-censor CN=Censor`. It is issued to the host, or to
    what follows: `… CN=Censor for page.example`. An outcome that ends in `large` or `small` is of a
    hello of OpenSSL 3.5 or 3.0. `ssl_failed_handshake alert 40` has the alert's number.
    """
    outcome, _, size = str(outcome).partition(" ")
    hello_bytes = HELLO_BYTES.get(size, 0)
    outcome = f"{outcome} {size}" if size and not hello_bytes else outcome
    outcome, _, number = str(outcome).partition(" alert ")
    _word, _, leaf = str(outcome).partition(" ")
    key, _, rest = leaf.partition(" ")
    issuer, _, owner = rest.partition(" for ")
    chain = [_certificate(key, issuer, owner or argument or HOST)] if key else []
    if outcome == "ok":
        chain = [_certificate("key-of-target", "CN=Public CA", argument or HOST)]
    return _step(
        Operation.TLS_HANDSHAKE, outcome,
        tls=Tls(
            server_name=argument or HOST, chain=tuple(chain), hello_bytes=hello_bytes,
            alert=int(number) if number else None,
        ),
    )  # fmt: skip


def _quic(_: str, argument: str, outcome: object) -> Observation:
    address, _, name = argument.partition(" ")
    handshake = _tls("tls", name, outcome)
    return replace(
        handshake, operation=Operation.QUIC_HANDSHAKE, udp=Udp(address=address, port=443)
    )


def _exchange(_: str, argument: str, outcome: object) -> Observation:
    facts = outcome if isinstance(outcome, Mapping) else {}
    said = Exchange(
        protocol=argument,
        reply=facts.get("reply", ""),
        differences=tuple(facts.get("differences", ())),
    )
    return _step(Operation.EXCHANGE, facts.get("failure", outcome), exchange=said)


def _hop(_: str, argument: str, outcome: object) -> Observation:
    """Build a hop: `hop client_hello 3: rst 61`, with the reply's TTL last."""
    sent, _, ttl = argument.partition(" ")
    word, _, reply_ttl = str(outcome).partition(" ")
    reply = "" if word in set(Failure) else word
    hop = Hop(ttl=int(ttl), sent=sent, reply=reply, reply_ttl=int(reply_ttl or 0))
    return _step(Operation.HOP, outcome, hop=hop)


def _certificate(key: str, issuer: str, owner: str) -> Certificate:
    return Certificate(
        sha256=key, spki_sha256=key, subject=f"CN={owner}", issuer=issuer, not_before_s=0,
        not_after_s=2_000_000_000,
    )  # fmt: skip


def _http(word: str, argument: str, outcome: object) -> Observation:
    facts = outcome if isinstance(outcome, Mapping) else {}
    status = outcome if isinstance(outcome, int) else facts.get("status", 0)
    arrivals = (Arrival(at_us=int(s * 1e6), bytes=n) for s, n in facts.get("arrivals", ()))
    same = {name: facts[name] for name in _SAME_IN_HTTP if name in facts}
    references = (Reference(element=e, address=a) for e, a in facts.get("references", ()))
    page = Http(
        method="GET", url=argument or f"https://{HOST}/", status=status,
        body_bytes=facts.get("bytes", 0), body_sha256=facts.get("sha256", ""),
        header_names=tuple(facts.get("headers", ())), arrivals=tuple(arrivals),
        references=tuple(references), **same,
    )  # fmt: skip
    operation = Operation.HTTP_ROUND_TRIP if word == "http" else Operation.READ_BODY
    duration_us = int(facts.get("seconds", 0) * 1e6) or 1
    outcome = facts.get("failure", outcome)
    return _step(operation, outcome, http=page, duration_us=duration_us)


_MAKERS = {
    "connect": _connect, "tls": _tls, "quic": _quic, "exchange": _exchange, "hop": _hop,
    "http": _http, "body": _http,
}  # fmt: skip

__all__ = [
    "CATALOGUE", "HOST", "Scenario", "VerdictState", "catalogue", "keep_observations",
    "measurement", "scenario", "taken",
]  # fmt: skip
