"""Services whose overall verdict needs more than the rule of k of n groups.

Their endpoints are judged one by one as usual. The functions here then correct single endpoints
and the verdict on the whole service.
"""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from msgspec.structs import replace

from heliograph.failure import Failure, Operation
from heliograph.observation import Measurement
from heliograph_collector.judge.comparisons.table import ComparisonRule, find_precondition
from heliograph_collector.judge.confidence import compute_confidence
from heliograph_collector.judge.rules.rule import BLOCKED, REACHABLE, UNKNOWN
from heliograph_collector.judge.service_verdict import (
    IPV6_ONLY_RULE,
    MEASUREMENT_REASONS,
    get_group,
    judge_service,
)
from heliograph_collector.model.records import (
    AgentRole,
    ControlView,
    ReceivedMeasurement,
    Verdict,
    VerdictState,
)

TOR_READY = "progress_100"
BOOTSTRAP = "bootstrap"
PUBLIC = ("dir_port", "or_port")  # groups of public relays, which every Tor client knows

BOOTSTRAPPED = ComparisonRule(
    "tor.bootstrapped",
    REACHABLE,
    "Tor bootstrapped completely, whatever single addresses did.",
    0.95,
    needs_no_control=True,
)
RELAYS = ComparisonRule(
    "tor.relays",
    BLOCKED,
    "No public relay answers, at least three were tried and nothing about them is in doubt.",
    0.85,
    method="public_relays",
)
NO_BOOTSTRAP = ComparisonRule(
    "tor.no_bootstrap",
    BLOCKED,
    "Tor does not bootstrap, and does at the control, whatever single addresses answered.",
    0.7,
    layer="protocol",
    method="bootstrap",
)
SOME_RELAYS = ComparisonRule(
    "tor.some_relays", REACHABLE, "Public relays answer, not all of them: Tor works.", 0.8
)
SILENT_BY_NATURE = ComparisonRule(
    "vpn.silent_by_nature",
    UNKNOWN,
    "WireGuard never answers unknown peers: silence counts only if the control got a reply.",
)
CLOSED = ComparisonRule(
    "outside_in.closed_to_abroad",
    VerdictState.DOWN,
    "The control cannot reach it and vantages inside its country can, at the same time: "
    "closed to the outside, which blocks nobody inside.",
    0.7,
    method="closed_to_abroad",
)
LONE_SILENCE = ComparisonRule(
    "stun.lone_silence",
    UNKNOWN,
    "Only one server was asked, and it was silent: a lost datagram looks the same.",
)
SERVICE_COMPARISON_RULES = (
    BOOTSTRAPPED,
    RELAYS,
    NO_BOOTSTRAP,
    SOME_RELAYS,
    SILENT_BY_NATURE,
    LONE_SILENCE,
    CLOSED,
)
MIN_RELAYS = 3  # assumed
MIN_SILENT_SERVERS = 2  # assumed
SILENT_METHOD = "timeout_after_message"

Verdicts = Sequence[Verdict]


def judge_stun(
    _record: ReceivedMeasurement, _control: ControlView, verdicts: Verdicts
) -> tuple[Verdict, ...]:
    """Judge STUN servers as one group, because any single server is enough.

    Datagrams are lost every day, so that one silent server is no sign.
    """
    groups = dict.fromkeys((v.endpoint for v in verdicts), "stun")
    overall = judge_service(verdicts, groups)
    blocked = [v for v in verdicts if v.state is BLOCKED]
    is_silence = all(v.method == SILENT_METHOD for v in blocked)
    if overall.state is BLOCKED and is_silence and len(blocked) < MIN_SILENT_SERVERS:
        overall = Verdict(state=UNKNOWN, rule=LONE_SILENCE.id, evidence=overall.evidence)
    return (*verdicts, overall)


def judge_vpn(
    _record: ReceivedMeasurement, control: ControlView, verdicts: Verdicts
) -> tuple[Verdict, ...]:
    corrected = tuple(
        Verdict(state=UNKNOWN, rule=SILENT_BY_NATURE.id, endpoint=v.endpoint, evidence=v.evidence)
        if v.state is VerdictState.DOWN and _is_silent_wireguard(control.measurement, v.endpoint)
        else v
        for v in verdicts
    )
    return (*corrected, judge_service(corrected, control.groups))


def judge_tor(
    record: ReceivedMeasurement, control: ControlView, verdicts: Verdicts
) -> tuple[Verdict, ...]:
    verdicts = tuple(_discount_relay(v, record, control) for v in verdicts)
    overall = judge_service(verdicts, control.groups)
    ready_indices = {
        index
        for index, x in enumerate(record.measurement.observations)
        if x.exchange and x.exchange.reply == TOR_READY and x.failure is None
    }
    if ready_indices:
        return (*verdicts, _apply_rule(BOOTSTRAPPED, overall, ready_indices, control))
    return (*verdicts, _judge_relays(verdicts, overall, control))


def _discount_relay(verdict: Verdict, record: ReceivedMeasurement, control: ControlView) -> Verdict:
    """Withdraw a reachable verdict on a relay where no control can confirm it.

    Nobody verifies a relay's certificate, so its handshake does not prove who answered.
    """
    precondition = find_precondition(record, control)
    is_relay = get_group(verdict.endpoint, control.groups) in PUBLIC
    if precondition is None or not is_relay or verdict.state is not REACHABLE:
        return verdict
    return Verdict(state=precondition.state, rule=precondition.id, endpoint=verdict.endpoint)


def _judge_relays(verdicts: Verdicts, overall: Verdict, control: ControlView) -> Verdict:
    counted = [
        v
        for v in verdicts
        if get_group(v.endpoint, control.groups) in PUBLIC
        and v.rule != IPV6_ONLY_RULE  # most vantages have no IPv6
        and v.state is not VerdictState.DOWN
    ]
    alive = [v for v in counted if v.state is REACHABLE]
    if len(counted) >= MIN_RELAYS and all(v.state is BLOCKED for v in counted):
        layers = sorted(v.layer for v in counted)
        relays = _apply_rule(RELAYS, overall, _collect_evidence(counted), control)
        return replace(relays, layer=max(layers, key=layers.count))
    start = [v for v in verdicts if v.endpoint == BOOTSTRAP and v.state is BLOCKED]
    if start:
        return _apply_rule(NO_BOOTSTRAP, overall, _collect_evidence(start), control)
    if overall.rule.startswith(MEASUREMENT_REASONS) or not counted:
        return overall
    if 2 * len(alive) > len(counted) and overall.state is not REACHABLE:
        return _apply_rule(SOME_RELAYS, overall, _collect_evidence(alive), control)
    doubt = replace(
        overall, state=UNKNOWN, rule="service.doubt", layer="", method="", confidence=0.0
    )
    return doubt if overall.state is BLOCKED else overall


def _collect_evidence(verdicts: Verdicts) -> set[int]:
    return {index for v in verdicts for index in v.evidence}


def judge_outside_in(
    record: ReceivedMeasurement, control: ControlView, verdicts: Verdicts
) -> tuple[Verdict, ...]:
    """Judge a domestic service that is measured from abroad.

    Controls run this experiment, so their results are no votes. A volunteer's measurement is judged
    as any other service.
    """
    corrected = (
        tuple(_mark_closed(v, control) for v in verdicts)
        if record.role is AgentRole.CONTROL
        else verdicts
    )
    overall = judge_service(corrected, control.groups)
    if overall.state is VerdictState.DOWN and any(v.rule == CLOSED.id for v in corrected):
        overall = replace(overall, rule=CLOSED.id, method=CLOSED.method)
    return (*corrected, overall)


def _mark_closed(verdict: Verdict, control: ControlView) -> Verdict:
    comparison = control.peer_comparisons.get(verdict.endpoint)
    is_reached_inside = comparison is not None and comparison.reached_vantages > 0
    if verdict.state is not VerdictState.DOWN or not is_reached_inside:
        return verdict
    return replace(verdict, rule=CLOSED.id, method=CLOSED.method)


def _apply_rule(
    row: ComparisonRule, overall: Verdict, evidence: AbstractSet[int], control: ControlView
) -> Verdict:
    return replace(
        overall,
        state=row.state,
        rule=row.id,
        layer=row.layer,
        method=row.method,
        confidence=compute_confidence(row.strength, control.age_us, alone=row.needs_no_control),
        evidence=tuple(sorted(evidence)),
    )


def _is_silent_wireguard(measurement: Measurement | None, endpoint: str) -> bool:
    exchanges = [
        (x.exchange.protocol, x.failure)
        for x in (measurement.observations if measurement else ())
        if x.endpoint == endpoint and x.operation is Operation.EXCHANGE and x.exchange
    ]
    return {*exchanges} == {("wireguard", Failure.GENERIC_TIMEOUT_ERROR)}


SERVICE_COMPARISONS: Mapping[
    str, Callable[[ReceivedMeasurement, ControlView, Verdicts], tuple[Verdict, ...]]
] = {
    "stun": judge_stun,
    "vpn": judge_vpn,
    "tor": judge_tor,
    "outside_in": judge_outside_in,
}
