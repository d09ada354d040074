"""Experiments of many endpoints that are more, or less, than k of n groups.

Their endpoints are judged one by one as ever; what follows corrects single endpoints and the whole.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from heliograph.failure import Failure, Operation
from heliograph.observation import Measurement
from heliograph_collector.judge.comparisons.table import BLOCKED, REACHABLE, UNKNOWN, Row, gate_of
from heliograph_collector.judge.confidence import confidence
from heliograph_collector.judge.service_verdict import GATES, group_of, whole
from heliograph_collector.model.records import ControlView, Role, State, Taken, Verdict

TOR_READY, BOOTSTRAP = "progress_100", "bootstrap"
PUBLIC = ("dir_port", "or_port")  # what every Tor client knows

BOOTSTRAPPED = Row(
    id="tor.bootstrapped",
    state=REACHABLE,
    says="Tor came up to its end, whatever single addresses did.",
    strength=0.95,
    alone=True,
)
RELAYS = Row(
    id="tor.relays",
    state=BLOCKED,
    says="No public relay answers, at least three were tried and nothing about them is in doubt.",
    strength=0.85,
    method="public_relays",
)
NO_BOOTSTRAP = Row(
    id="tor.no_bootstrap",
    state=BLOCKED,
    says="Tor does not come up, and does at the control, whatever single addresses answered.",
    strength=0.7,
    layer="protocol",
    method="bootstrap",
)
SOME_RELAYS = Row(
    id="tor.some_relays",
    state=REACHABLE,
    says="Public relays answer, not all of them: Tor finds its way.",
    strength=0.8,
)
SILENT_BY_NATURE = Row(
    id="vpn.silent_by_nature",
    state=UNKNOWN,
    says="WireGuard answers no stranger: silence counts only where the control got a reply.",
)
CLOSED = Row(
    id="outside_in.closed_to_abroad",
    state=State.DOWN,
    says="The control cannot reach it and vantages inside its country can, at the same time: "
    "closed to the outside, which blocks nobody inside.",
    strength=0.7,
    method="closed_to_abroad",
)
SERVICE_ROWS = (BOOTSTRAPPED, RELAYS, NO_BOOTSTRAP, SOME_RELAYS, SILENT_BY_NATURE, CLOSED)
FEWEST_RELAYS = 3

Verdicts = Sequence[Verdict]


def stun(_taken: Taken, _control: ControlView, found: Verdicts) -> tuple[Verdict, ...]:
    """Any one server does: they all stand in for each other."""
    return (*found, whole(found, dict.fromkeys((v.endpoint for v in found), "stun")))


def vpn(_taken: Taken, control: ControlView, found: Verdicts) -> tuple[Verdict, ...]:
    corrected = tuple(
        Verdict(state=UNKNOWN, rule=SILENT_BY_NATURE.id, endpoint=v.endpoint, evidence=v.evidence)
        if v.state is State.DOWN and _wireguard(control.measurement, v.endpoint)
        else v
        for v in found
    )
    return (*corrected, whole(corrected, control.groups))


def tor(taken: Taken, control: ControlView, found: Verdicts) -> tuple[Verdict, ...]:
    found = tuple(_proven(v, taken, control) for v in found)
    last = whole(found, control.groups)
    up = tuple(
        index
        for index, x in enumerate(taken.measurement.observations)
        if x.exchange and x.exchange.reply == TOR_READY and x.failure is None
    )
    if up:
        return (*found, _as(BOOTSTRAPPED, last, up, control))
    return (*found, _relays(found, last, control))


def _proven(verdict: Verdict, taken: Taken, control: ControlView) -> Verdict:
    """A relay's certificate is verified by nobody, so its handshake proves not who answered."""
    gate = gate_of(taken, control)
    relay = group_of(verdict.endpoint, control.groups) in PUBLIC
    if gate is None or not relay or verdict.state is not REACHABLE:
        return verdict
    return Verdict(state=gate.state, rule=gate.id, endpoint=verdict.endpoint)


def _relays(found: Verdicts, last: Verdict, control: ControlView) -> Verdict:
    public = [v for v in found if group_of(v.endpoint, control.groups) in PUBLIC]
    counted = [v for v in public if v.state is not State.DOWN]
    alive = [v for v in counted if v.state is REACHABLE]
    if len(counted) >= FEWEST_RELAYS and all(v.state is BLOCKED for v in counted):
        layers = sorted(v.layer for v in counted)
        relays = _as(RELAYS, last, _evidence(counted), control)
        return replace(relays, layer=max(layers, key=layers.count))
    start = [v for v in found if v.endpoint == BOOTSTRAP and v.state is BLOCKED]
    if start:
        return _as(NO_BOOTSTRAP, last, _evidence(start), control)
    if last.rule.startswith(GATES) or not counted:
        return last
    if 2 * len(alive) > len(counted) and last.state is not REACHABLE:
        return _as(SOME_RELAYS, last, _evidence(alive), control)
    doubt = replace(last, state=UNKNOWN, rule="service.doubt", layer="", method="", confidence=0.0)
    return doubt if last.state is BLOCKED else last


def _evidence(some: Verdicts) -> tuple[int, ...]:
    return tuple(sorted({index for v in some for index in v.evidence}))


def outside_in(taken: Taken, control: ControlView, found: Verdicts) -> tuple[Verdict, ...]:
    """Run by controls, so nothing of it is a vote; a volunteer's is a service like another."""
    corrected = tuple(_closed(v, control) for v in found) if taken.role is Role.CONTROL else found
    last = whole(corrected, control.groups)
    if last.state is State.DOWN and any(v.rule == CLOSED.id for v in corrected):
        last = replace(last, rule=CLOSED.id, method=CLOSED.method)
    return (*corrected, last)


def _closed(verdict: Verdict, control: ControlView) -> Verdict:
    seen = control.contrast.get(verdict.endpoint)
    if verdict.state is not State.DOWN or seen is None or not seen.reached_vantages:
        return verdict
    return replace(verdict, rule=CLOSED.id, method=CLOSED.method)


def _as(row: Row, last: Verdict, evidence: Sequence[int], control: ControlView) -> Verdict:
    return replace(
        last,
        state=row.state,
        rule=row.id,
        layer=row.layer,
        method=row.method,
        confidence=confidence(row.strength, control.age_us, alone=row.alone),
        evidence=tuple(sorted(set(evidence))),
    )


def _wireguard(measurement: Measurement | None, endpoint: str) -> bool:
    """Whether the control met nothing but silence there."""
    said = [
        x
        for x in (measurement.observations if measurement else ())
        if x.endpoint == endpoint and x.operation is Operation.EXCHANGE and x.exchange
    ]
    return bool(said) and all(
        x.exchange is not None
        and x.exchange.protocol == "wireguard"
        and x.failure is Failure.GENERIC_TIMEOUT_ERROR
        for x in said
    )


SERVICE_READINGS: Mapping[str, Callable[[Taken, ControlView, Verdicts], tuple[Verdict, ...]]] = {
    "stun": stun,
    "vpn": vpn,
    "tor": tor,
    "outside_in": outside_in,
}
