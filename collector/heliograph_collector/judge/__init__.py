"""Judge measurements as reachable, blocked, down or unknown.

The rules are data. `judge` is pure: the same measurement and the same control give the same
verdicts. So every verdict can be computed again from the store when a rule changes. README.md lists
the rules.

Example:
    verdicts = judge(record, ControlView())
    overall = verdicts[-1]
    print(overall.state, overall.rule, overall.confidence)
"""

from collections.abc import Collection
from dataclasses import dataclass

from msgspec.structs import replace

from heliograph.experiments import ANCHORS
from heliograph.observation import Measurement
from heliograph.voice_code import ServiceState
from heliograph_collector.judge.app_path import apply_app_path, find_app_path
from heliograph_collector.judge.certificates import get_issuer
from heliograph_collector.judge.comparisons import COMPARISONS, SERVICE_COMPARISONS
from heliograph_collector.judge.comparisons.table import ComparisonRule, find_interrupted
from heliograph_collector.judge.confidence import compute_confidence
from heliograph_collector.judge.feature_names import Feature
from heliograph_collector.judge.features import (
    ComparisonInput,
    Features,
    extract_features,
)
from heliograph_collector.judge.fingerprint_evidence import ANSWER_RULES, name_fingerprints
from heliograph_collector.judge.isolation import ISOLATED, is_isolated
from heliograph_collector.judge.pairing import list_endpoint_labels, pair_steps
from heliograph_collector.judge.quick_features import extract_success, extract_vain_ipv6
from heliograph_collector.judge.rules import RULES, RULES_VERSION, Rule, decide
from heliograph_collector.judge.service_rules import SERVICE_RULES
from heliograph_collector.judge.service_verdict import discount_flaky, judge_service
from heliograph_collector.model.records import (
    LIGHT_CHECK,
    ControlView,
    PeerComparison,
    ReceivedMeasurement,
    Verdict,
    VerdictState,
)

__all__ = ["RULES", "RULES_VERSION", "SERVICE_RULES", "judge"]

WEAK_STRENGTH = 0.5  # assumed; of a verdict whose control does not report the address it saw

# Share of a verdict's strength that remains where volunteers replace the control; assumed.
SUBSTITUTE_FACTOR = 0.75


@dataclass(frozen=True, slots=True, kw_only=True)
class OutageThresholds:
    """Thresholds that distinguish a worldwide outage from many censors; all assumed."""

    vantages: int = 3  # vantages that reached the target within a day and no longer do
    countries: int = 3  # countries of those vantages, the judged vantage's own country not counted
    majority: int = 2  # failing countries for each country that still reaches the target


OUTAGE_THRESHOLDS = OutageThresholds()

WORLDWIDE = ComparisonRule(
    "down.worldwide",
    VerdictState.DOWN,
    "It fails in three or more other countries at once, where it worked within a day, and in at "
    "least twice as many as reach it: an outage, even if the control got through.",
    0.7,
)
DEAD_EDGE = "control.dead_edge"
# Doubts about a step that failed: an outage elsewhere explains it.
UNEXPLAINED = frozenset(
    {
        *("dns.trouble", "dns.sealed_agrees", "tcp.elsewhere"),
        *("control.elsewhere", DEAD_EDGE),
    }
)
GLOBAL_CONTEXT_RULES = (WORLDWIDE,)
FINGERPRINT_RULES = frozenset((*ANSWER_RULES, "http.fingerprint", "http.block_page"))


def apply_global_context(verdict: Verdict, control: ControlView) -> Verdict:
    """Correct the verdict on one endpoint by the results in other countries.

    Blocking that starts in unrelated countries within the same 15 minutes is an outage. Volunteers
    that replace the control prove less than a control: their failure does not show that the target
    is down, so `down` becomes `unknown`.
    """
    if _is_failure(verdict) and _is_worldwide(control.peer_comparisons.get(verdict.endpoint)):
        return replace(
            verdict,
            state=WORLDWIDE.state,
            rule=WORLDWIDE.id,
            confidence=compute_confidence(WORLDWIDE.strength, control.age_us),
        )
    if not control.is_substitute or verdict.state is VerdictState.UNKNOWN:
        return verdict
    if verdict.state is VerdictState.DOWN:
        return Verdict(
            state=VerdictState.UNKNOWN, rule="control.missing", endpoint=verdict.endpoint
        )
    if verdict.state is VerdictState.BLOCKED:
        return replace(verdict, confidence=round(verdict.confidence * SUBSTITUTE_FACTOR, 3))
    return verdict


def _is_failure(verdict: Verdict) -> bool:
    if verdict.rule in FINGERPRINT_RULES:  # no outage answers so
        return False
    return verdict.state is VerdictState.BLOCKED or verdict.rule in UNEXPLAINED


def _is_worldwide(comparison: PeerComparison | None) -> bool:
    return (
        comparison is not None
        and comparison.fell_vantages >= OUTAGE_THRESHOLDS.vantages
        and comparison.fell_countries >= OUTAGE_THRESHOLDS.countries
        and comparison.fell_countries >= OUTAGE_THRESHOLDS.majority * comparison.reached_countries
    )


REPORTS = frozenset({"code", "digest"})  # experiments that are an agent's own statement
REPORT_CONFIDENCE = 0.5  # assumed; the report is authenticated, but has no steps


def judge_report(measurement: Measurement) -> tuple[Verdict, ...]:
    """Return one verdict per reported class and none for the whole target.

    A report has no vote. A reported failure is `unknown`, because the report does not say how the
    service failed and no control can be compared with it.
    """
    experiment = measurement.experiment
    reports = [
        (index, x.endpoint, x.exchange.reply == ServiceState.ANSWERS)
        for index, x in enumerate(measurement.observations)
        if x.endpoint and x.exchange is not None
    ]
    return tuple(
        Verdict(
            state=VerdictState.REACHABLE if answers else VerdictState.UNKNOWN,
            rule=f"{experiment}.answers" if answers else f"{experiment}.fails",
            confidence=REPORT_CONFIDENCE if answers else 0.0,
            endpoint=name,
            evidence=(index,),
        )
        for index, name, answers in reports
    ) or (Verdict(state=VerdictState.UNKNOWN, rule=f"{experiment}.told", endpoint=experiment),)


def apply_interruption(verdict: Verdict, measurement: Measurement) -> Verdict:
    """Replace a blocked or partial verdict by unknown if its endpoint was interrupted.

    The verdict on the whole target (endpoint "") may depend on any endpoint, so an interruption of
    any endpoint counts for it.
    """
    if verdict.state not in (VerdictState.BLOCKED, VerdictState.PARTIAL):
        return verdict
    is_whole = verdict.endpoint in ("", LIGHT_CHECK)
    interrupted_indices = find_interrupted(measurement, None if is_whole else verdict.endpoint)
    if not interrupted_indices:
        return verdict
    return Verdict(
        state=VerdictState.UNKNOWN,
        rule="none.interrupted",
        endpoint=verdict.endpoint,
        evidence=interrupted_indices,
        reachable_endpoints=verdict.reachable_endpoints,
        endpoints=verdict.endpoints,
    )


SUMMARY = "summary"  # endpoint of the verdict on a measurement that sums up many runs
UPLINK = "uplink"  # experiment on transports to the collector; no service is tested


def judge(record: ReceivedMeasurement, control: ControlView) -> tuple[Verdict, ...]:
    """Judge one measurement against its control.

    A comparison (comparisons/) gives only the verdict on the whole target, because its endpoints
    mean nothing alone. An agent's uplink, reports by voice or digest, and summaries of many runs
    get no verdict on the whole target, and so no vote: counts of outcomes are no evidence. A light
    check gets one with the endpoint LIGHT_CHECK in its place: one endpoint shows nothing of its
    vantage's service, but the draws of many vantages show whether the service is blocked.

    Returns:
        One verdict per endpoint label and, last, the verdict with endpoint "" for the whole target.
    """
    if record.measurement.summary is not None:
        return (Verdict(state=VerdictState.UNKNOWN, rule="summary.told", endpoint=SUMMARY),)
    if record.measurement.experiment == UPLINK:
        return (Verdict(state=VerdictState.UNKNOWN, rule="uplink.told", endpoint=UPLINK),)
    if record.measurement.experiment in REPORTS:
        return judge_report(record.measurement)
    return tuple(
        apply_interruption(verdict, record.measurement)
        for verdict in name_fingerprints(_judge_endpoints(record, control), record)
    )


def _judge_endpoints(record: ReceivedMeasurement, control: ControlView) -> tuple[Verdict, ...]:
    experiment = record.measurement.experiment
    if experiment in COMPARISONS:
        return (apply_global_context(COMPARISONS[experiment].decide(record, control), control),)
    own_labels = list_endpoint_labels(record.measurement)
    is_light = record.measurement.is_light
    control_labels = () if is_light else list_endpoint_labels(control.measurement)
    labels = dict.fromkeys((*own_labels, *control_labels))
    pairing = pair_steps(record, control)
    app_path = find_app_path(record.measurement, control.first_way)
    if not labels or (record.measurement.not_measured and not own_labels):
        return (apply_global_context(_judge_endpoint(pairing.pair_page()), control),)
    verdicts = tuple(
        apply_global_context(_judge_endpoint(pairing.pair_endpoint(label), label), control)
        for label in labels
    )
    if is_light:
        checked = discount_flaky(verdicts, control.peer_comparisons)
        light = (replace(v, endpoint=LIGHT_CHECK) for v in checked[:1])
        return (*checked, *(apply_app_path(v, app_path) for v in light))
    if experiment == ANCHORS:
        return (*verdicts, _judge_anchors(verdicts, is_isolated(record, control)))
    if experiment in SERVICE_COMPARISONS:
        return SERVICE_COMPARISONS[experiment](record, control, verdicts)
    verdicts = discount_flaky(verdicts, control.peer_comparisons)
    return (*verdicts, judge_service(verdicts, control.groups, control.functions, app_path))


def _judge_endpoint(comparison_input: ComparisonInput, endpoint: str = "") -> Verdict:
    features = (
        extract_success(comparison_input)
        or extract_vain_ipv6(comparison_input)
        or extract_features(comparison_input)
    )
    rule = decide(features)
    if rule.id == DEAD_EDGE:
        features = extract_features(comparison_input, elsewhere=True)
        rule = decide(features)
    evidence: Collection[int] = features.deepest_indices
    if (
        rule.state in (VerdictState.BLOCKED, VerdictState.DOWN) or rule.id in UNEXPLAINED
    ) and features.deciding_failure is not None:
        evidence = {s.index for s in features.deciding_failure.steps}
    if rule.support is not None and rule.support[0] in features.present:
        evidence = {*evidence, *features.contradicting_indices}
    return Verdict(
        state=rule.state,
        rule=rule.id,
        layer=rule.select_layer(features),
        method=rule.select_method(features),
        confidence=compute_confidence(
            _select_strength(rule, features), comparison_input.age_us, alone=rule.needs_no_control
        ),
        endpoint=endpoint,
        evidence=tuple(sorted(evidence)),
        issuer=get_issuer(features.deciding_failure) if rule.state is VerdictState.BLOCKED else "",
    )


def _select_strength(rule: Rule, features: Features) -> float:
    """Return the rule's strength, at most WEAK_STRENGTH for a weak look.

    A look is weak if the control did not look at the very address that failed.
    """
    strength = rule.select_strength(features)
    is_weak = rule.state is VerdictState.BLOCKED and Feature.WEAK_LOOK in features.present
    return min(strength, WEAK_STRENGTH) if is_weak else strength


def _judge_anchors(verdicts: tuple[Verdict, ...], is_alone: bool) -> Verdict:
    """Judge the vantage's link by its anchors; failing anchors are never blocking."""
    reached = [v for v in verdicts if v.state is VerdictState.REACHABLE]
    state = VerdictState.REACHABLE if reached and not is_alone else VerdictState.UNKNOWN
    silent_rule = "anchors.isolated" if is_alone else "anchors.silent"
    return Verdict(
        state=state,
        rule="anchors.reached" if state is VerdictState.REACHABLE else silent_rule,
        method=ISOLATED if is_alone else "",
        confidence=max((v.confidence for v in reached), default=0.0),
        evidence=tuple(sorted({index for v in reached for index in v.evidence})),
        reachable_endpoints=len(reached),
        endpoints=len(verdicts),
    )
