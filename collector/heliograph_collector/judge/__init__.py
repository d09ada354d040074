"""Says what a measurement means: reachable, blocked, down or unknown, by rules that are data.

`judge` is pure. The same measurement and the same control give the same verdicts, so that every
verdict can be made again from what is stored when a rule changes. README.md lists the rules.
"""

from heliograph.experiments import ANCHORS
from heliograph.failure import Failure
from heliograph.observation import Measurement
from heliograph.voice_code import Life
from heliograph_collector.judge.certificates import issuer_of
from heliograph_collector.judge.comparisons import READINGS, SERVICE_READINGS
from heliograph_collector.judge.confidence import confidence
from heliograph_collector.judge.features import Scene, case
from heliograph_collector.judge.global_context import weighed
from heliograph_collector.judge.pairing import endpoint_labels, endpoint_scene, page_scene
from heliograph_collector.judge.rules import RULES, RULES_VERSION, decide
from heliograph_collector.judge.service_verdict import WHOLE, whole
from heliograph_collector.model.records import ControlView, State, Taken, Verdict

__all__ = ["RULES", "RULES_VERSION", "WHOLE", "judge"]

REPORTS = frozenset({"code", "digest"})  # experiments that are an agent's own word
CONFIDENCE = 0.5  # proven to be the agent's, and a word without steps


def told(measurement: Measurement) -> tuple[Verdict, ...]:
    """One verdict per class that it spoke of, and none of the whole: a report votes on nothing.

    That something fails is doubt: nothing says how, and there is nothing to hold it against.
    """
    experiment = measurement.experiment
    said = [
        (index, x.endpoint, x.exchange.reply == Life.ANSWERS)
        for index, x in enumerate(measurement.observations)
        if x.endpoint and x.exchange is not None
    ]
    return tuple(
        Verdict(
            state=State.REACHABLE if answers else State.UNKNOWN,
            rule=f"{experiment}.answers" if answers else f"{experiment}.fails",
            confidence=CONFIDENCE if answers else 0.0,
            endpoint=name,
            evidence=(index,),
        )
        for index, name, answers in said
    ) or (Verdict(state=State.UNKNOWN, rule=f"{experiment}.told", endpoint=experiment),)


def finished(verdict: Verdict, measurement: Measurement) -> Verdict:
    """The verdict, unless it says blocked and something of its endpoint was interrupted.

    What the whole would rest on may lie in any endpoint, so for it any interruption counts.
    """
    if verdict.state is not State.BLOCKED:
        return verdict
    stopped = tuple(
        index
        for index, seen in enumerate(measurement.observations)
        if seen.failure is Failure.INTERRUPTED
        and (not verdict.endpoint or seen.endpoint == verdict.endpoint)
    )
    if not stopped:
        return verdict
    return Verdict(
        state=State.UNKNOWN,
        rule="none.interrupted",
        endpoint=verdict.endpoint,
        evidence=stopped,
        reachable_endpoints=verdict.reachable_endpoints,
        endpoints=verdict.endpoints,
    )


SUMMARY = "summary"  # the endpoint of the verdict on a measurement that stands for many runs
UPLINK = "uplink"  # what agents tell of their ways to the collector, which is nobody's service


def judge(taken: Taken, control: ControlView) -> tuple[Verdict, ...]:
    """One verdict per endpoint label and, last, the one with endpoint "" for the whole target.

    A reading (readings/) gives the whole's alone: its endpoints mean nothing one by one. Of an
    agent's uplink, of what it said by voice or in a digest, and of a sum of many runs there is no
    whole, and so no vote: what a sum tells of outcomes is no evidence of what they mean.
    """
    if taken.measurement.summary is not None:
        return (Verdict(state=State.UNKNOWN, rule="summary.told", endpoint=SUMMARY),)
    if taken.measurement.experiment == UPLINK:
        return (Verdict(state=State.UNKNOWN, rule="uplink.told", endpoint=UPLINK),)
    if taken.measurement.experiment in REPORTS:
        return told(taken.measurement)
    return tuple(finished(verdict, taken.measurement) for verdict in _verdicts(taken, control))


def _verdicts(taken: Taken, control: ControlView) -> tuple[Verdict, ...]:
    experiment = taken.measurement.experiment
    if experiment in READINGS:
        return (weighed(READINGS[experiment].verdict(taken, control), control),)
    seen = endpoint_labels(taken.measurement)
    labels = dict.fromkeys((*seen, *endpoint_labels(control.measurement)))
    if not labels or (taken.measurement.not_measured and not seen):
        return (weighed(_verdict(page_scene(taken, control)), control),)
    verdicts = tuple(
        weighed(_verdict(endpoint_scene(taken, control, label), label), control) for label in labels
    )
    if experiment == ANCHORS:
        return (*verdicts, _anchors(verdicts))
    if experiment in SERVICE_READINGS:
        return SERVICE_READINGS[experiment](taken, control, verdicts)
    return (*verdicts, whole(verdicts, control.groups))


def _verdict(scene: Scene, endpoint: str = "") -> Verdict:
    found = case(scene)
    rule = decide(found)
    evidence = set(found.reached)
    if rule.state in (State.BLOCKED, State.DOWN) and found.failing is not None:
        evidence = {s.index for s in found.failing.steps}
    if rule.backed is not None and rule.backed[0] in found.signs:
        evidence |= set(found.others)
    known = rule.state is not State.UNKNOWN
    return Verdict(
        state=rule.state,
        rule=rule.id,
        layer=rule.layer_of(found),
        method=rule.method_for(found),
        confidence=confidence(rule.strength_in(found), scene.age_us, alone=rule.alone)
        if known
        else 0.0,
        endpoint=endpoint,
        evidence=tuple(sorted(evidence)),
        issuer=issuer_of(found.failing) if rule.state is State.BLOCKED else "",
    )


def _anchors(verdicts: tuple[Verdict, ...]) -> Verdict:
    """Anchors tell of the vantage's link; that they fail is never blocking of anything."""
    reached = [v for v in verdicts if v.state is State.REACHABLE]
    return Verdict(
        state=State.REACHABLE if reached else State.UNKNOWN,
        rule="anchors.reached" if reached else "anchors.silent",
        confidence=max((v.confidence for v in reached), default=0.0),
        evidence=tuple(sorted({index for v in reached for index in v.evidence})),
        reachable_endpoints=len(reached),
        endpoints=len(verdicts),
    )
