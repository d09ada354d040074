"""Verdict on a whole service from its endpoints, by a k-of-n decision table.

A service is judged by its functions, where the list of services names them. Messaging decides
whether the service works. Where it is not blocked, another function that is makes it partial.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from msgspec.structs import replace

from heliograph.plan import ServiceFunction
from heliograph_collector.judge.app_path import (
    FIRST_WAY_CONFIDENCE,
    NO_PATH,
    AppPath,
    decide_by_order,
    name_lost,
)
from heliograph_collector.judge.confidence import MAX_CONFIDENCE
from heliograph_collector.judge.service_rules import (
    ALL_REACHABLE,
    DOUBT,
    DOWN,
    FIRST_WAY_WORKS,
    FLAKY_HOST,
    FUNCTION_BLOCKED,
    GROUP_BLOCKED,
    MESSAGING_WORKS,
    MOSTLY_OUT,
    PARTIAL,
    WORKS_BY_FALLBACK,
    ServiceRule,
)
from heliograph_collector.model.records import PeerComparison, Verdict, VerdictState

IPV6_ONLY_RULE = "none.ipv6"
INTERRUPTED_RULE = "none.interrupted"
MEASUREMENT_REASONS = ("link.", "control.", "none.")  # hold for a whole measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointTally:
    """Counts of endpoint verdicts by state and of endpoint groups by state.

    The endpoints of one group replace each other.
    """

    verdicts: tuple[Verdict, ...]
    groups: int
    groups_blocked: int  # groups of which nothing that is up is left
    groups_down: int
    groups_reachable: int  # groups with at least one reachable endpoint
    is_messaging: bool = False  # these are all endpoints of messaging, and no others

    def count(self, state: VerdictState) -> int:
        return sum(v.state is state for v in self.verdicts)

    @property
    def is_every_group_reachable(self) -> bool:
        """Return whether all groups are reachable, except groups that are down everywhere.

        These may be no more than the others. Of messaging one way is enough.
        """
        is_rest_reachable = 0 < self.groups_reachable == self.groups - self.groups_down
        is_mostly_up = self.is_messaging or self.groups_reachable >= self.groups_down
        return is_rest_reachable and is_mostly_up

    @property
    def is_mostly_reachable(self) -> bool:
        """Return whether most endpoints work.

        For messaging, half is enough: a client tries all its hosts and ports, and one port of two
        that an office filters leaves it half of them.
        """
        reachable = 2 * self.count(VerdictState.REACHABLE)
        rest = len(self.verdicts) - self.count(VerdictState.DOWN)
        return reachable > rest or (self.is_messaging and reachable == rest)

    @property
    def common_reason(self) -> str:
        """Return the most common doubt, or "" if any endpoint has another reason."""
        reasons = Counter(v.rule for v in self.verdicts if v.state is not VerdictState.REACHABLE)
        if not all(reason.startswith(MEASUREMENT_REASONS) for reason in reasons):
            return ""
        ranks = {r: (r != "none.no_steps", times) for r, times in sorted(reasons.items())}
        return max(ranks, key=ranks.__getitem__, default="")


def select_service_rule(tally: EndpointTally) -> ServiceRule:
    """Return the first of SERVICE_RULES that holds."""
    if tally.groups_blocked:
        return GROUP_BLOCKED
    if 0 < tally.groups == tally.groups_down:
        return DOWN
    if 0 < len(tally.verdicts) == tally.count(VerdictState.REACHABLE):
        return ALL_REACHABLE
    if tally.is_every_group_reachable:
        return PARTIAL if tally.is_mostly_reachable else MOSTLY_OUT
    return DOUBT


def judge_service(
    verdicts: Sequence[Verdict],
    groups: Mapping[str, str],
    functions: Mapping[str, ServiceFunction] | None = None,
    app_path: AppPath = NO_PATH,
) -> Verdict:
    """Return the verdict with endpoint "" on a whole service.

    Args:
        verdicts: Verdicts on the endpoints; not empty.
        groups: Group by endpoint, from the plan.
        functions: Function by endpoint. Where it knows any endpoint, the others decide nothing.
        app_path: The endpoints that the app tries first, and by which it connected.
    """
    by_function = _split_by_function(verdicts, functions or {})
    if not by_function:
        return _judge_groups(verdicts, groups)
    messaging = by_function.pop(ServiceFunction.MESSAGING, ())
    blocked = {
        function: deciding
        for function, members in by_function.items()
        if (deciding := _list_blocked(_group_verdicts(members, groups)))
    }
    names = ",".join(function for function in ServiceFunction if function in blocked)
    is_any_reachable = any(v.state is VerdictState.REACHABLE for v in verdicts)
    if not messaging and not (blocked and is_any_reachable):
        return _judge_groups(verdicts, groups)  # nothing works that could be reported
    core = _judge_messaging(messaging, groups, app_path)
    overall = replace(core, function=names, **_count_states(verdicts))
    if core.state is VerdictState.BLOCKED:
        return replace(overall, function=",".join(filter(None, (_MESSAGING, names))))
    if core.rule == WORKS_BY_FALLBACK.id:
        return replace(overall, function=name_lost(names))
    if blocked and core.state is not VerdictState.DOWN:
        deciding = [v for members in blocked.values() for v in members]
        return _apply(overall, FUNCTION_BLOCKED, deciding)
    is_everything_reachable = all(v.state is VerdictState.REACHABLE for v in verdicts)
    if core.state is not VerdictState.REACHABLE or is_everything_reachable:
        return overall
    others = [v for members in by_function.values() for v in members]
    return _confirm_reachable(overall, verdicts, _group_verdicts(others, groups))


def _confirm_reachable(
    overall: Verdict, verdicts: Sequence[Verdict], other_groups: Sequence[Sequence[Verdict]]
) -> Verdict:
    """Return the verdict if messaging works and no other function is known as blocked."""
    if any(v.rule == INTERRUPTED_RULE for v in verdicts):
        return replace(overall, state=VerdictState.UNKNOWN, rule=INTERRUPTED_RULE, confidence=0.0)
    if _has_failed_in_doubt(other_groups):
        return replace(overall, state=VerdictState.UNKNOWN, rule=DOUBT.id, confidence=0.0)
    is_named = overall.rule == FIRST_WAY_WORKS.id
    return overall if is_named else replace(overall, rule=MESSAGING_WORKS.id)


# Doubts about a step that failed on the way to the server; its reply there is not judged.
FAILED_STEP_DOUBTS = ("dns.", "tcp.", "tls.", "quic.")


def _has_failed_in_doubt(voting_groups: Sequence[Sequence[Verdict]]) -> bool:
    """Return whether a group without a reachable endpoint has an unexplained failure."""
    return any(
        v.state is VerdictState.UNKNOWN and v.rule.startswith(FAILED_STEP_DOUBTS)
        for group in voting_groups
        if all(v.state is not VerdictState.REACHABLE for v in group)
        for v in group
    )


_MESSAGING = ServiceFunction.MESSAGING.value
_NO_MESSAGING = Verdict(state=VerdictState.UNKNOWN, rule=DOUBT.id)  # nothing of it was measured


def _split_by_function(
    verdicts: Sequence[Verdict], functions: Mapping[str, ServiceFunction]
) -> dict[ServiceFunction, list[Verdict]]:
    by_function: defaultdict[ServiceFunction, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        if verdict.endpoint in functions:
            by_function[functions[verdict.endpoint]].append(verdict)
    return dict(by_function)


def _judge_messaging(
    messaging: Sequence[Verdict], groups: Mapping[str, str], app_path: AppPath
) -> Verdict:
    if not messaging:
        return _NO_MESSAGING
    core = _judge_groups(messaging, groups, is_messaging=True)
    voting = [v for group in _group_verdicts(messaging, groups) for v in group]
    decision = decide_by_order(core, voting, app_path)
    if decision is None:
        return core
    changed = _apply(core, decision.rule, decision.deciding)
    return replace(changed, evidence=tuple(sorted({*changed.evidence, *decision.evidence})))


def _judge_groups(
    verdicts: Sequence[Verdict], groups: Mapping[str, str], *, is_messaging: bool = False
) -> Verdict:
    voting_groups = _group_verdicts(verdicts, groups)
    tally = _count_endpoints(verdicts, voting_groups, is_messaging=is_messaging)
    rule = select_service_rule(tally)
    deciding = [v for v in verdicts if v.state is rule.state]
    if rule is GROUP_BLOCKED:
        deciding = _list_blocked(voting_groups)
    overall = Verdict(
        state=rule.state,
        rule=(rule.state is VerdictState.UNKNOWN and tally.common_reason) or rule.id,
        confidence=_compute_service_confidence(rule.state, deciding, verdicts),
        **_count_states(verdicts),
    )
    return _add_cause(overall, deciding)


def _apply(overall: Verdict, rule: ServiceRule, deciding: Sequence[Verdict]) -> Verdict:
    confidence = max((v.confidence for v in deciding), default=FIRST_WAY_CONFIDENCE)
    changed = replace(overall, state=rule.state, rule=rule.id, confidence=confidence)
    return _add_cause(changed, deciding)


def _add_cause(overall: Verdict, deciding: Sequence[Verdict]) -> Verdict:
    is_cause = overall.state not in (VerdictState.REACHABLE, VerdictState.UNKNOWN)
    layer, method = _find_commonest(deciding) if is_cause else ("", "")
    evidence = tuple(sorted({index for v in deciding for index in v.evidence}))
    return replace(overall, layer=layer, method=method, evidence=evidence)


class _Counts(TypedDict):
    reachable_endpoints: int
    endpoints: int


def _count_states(verdicts: Sequence[Verdict]) -> _Counts:
    """Count k of n: the endpoints that work, of those that work or are blocked."""
    states = Counter(v.state for v in verdicts)
    reachable = states[VerdictState.REACHABLE]
    return {
        "reachable_endpoints": reachable,
        "endpoints": reachable + states[VerdictState.BLOCKED],
    }


def _list_blocked(voting_groups: Sequence[Sequence[Verdict]]) -> list[Verdict]:
    """Return the blocked verdicts of the groups that are blocked whole."""
    return [
        verdict
        for group in voting_groups
        if _is_blocked(group)
        for verdict in group
        if verdict.state is VerdictState.BLOCKED
    ]


def _is_blocked(group: Sequence[Verdict]) -> bool:
    """Return whether all of a group is blocked, except what is down everywhere.

    That may be half of the group: what is down is no way for anybody, and a list keeps addresses
    that died for as long as its apps do.
    """
    states = Counter(v.state for v in group)
    blocked = states[VerdictState.BLOCKED]
    down = states[VerdictState.DOWN]
    return blocked > 0 and blocked >= down and blocked + down == len(group)


# A host is no sign of anything where it fails in so many other countries and such a share of them:
# more than block one service at a time. Both assumed.
FLAKY_COUNTRIES = 5
FLAKY_SHARE = 0.2


def discount_flaky(
    verdicts: Sequence[Verdict], peers: Mapping[str, PeerComparison]
) -> tuple[Verdict, ...]:
    """Make the verdict on a silent host unknown if the host often fails elsewhere."""
    return tuple(
        replace(v, state=FLAKY_HOST.state, rule=FLAKY_HOST.id, layer="", method="", confidence=0.0)
        if v.state is VerdictState.BLOCKED
        and v.method.startswith("timeout")
        and _is_flaky(peers.get(v.endpoint))
        else v
        for v in verdicts
    )


def _is_flaky(comparison: PeerComparison | None) -> bool:
    if comparison is None:
        return False
    failed = comparison.failed_countries
    return failed >= max(FLAKY_COUNTRIES, FLAKY_SHARE * (failed + comparison.reached_countries))


def get_group(endpoint: str, groups: Mapping[str, str]) -> str:
    """Return the endpoint's group in the plan, or its id up to the first hyphen."""
    return groups.get(endpoint) or endpoint.partition("-")[0]


def _group_verdicts(verdicts: Sequence[Verdict], groups: Mapping[str, str]) -> list[list[Verdict]]:
    """Group the verdicts, without IPv6-only endpoints if others remain in their group."""
    grouped: defaultdict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        grouped[get_group(verdict.endpoint, groups)].append(verdict)
    return [[v for v in g if v.rule != IPV6_ONLY_RULE] or g for g in grouped.values()]


def _count_endpoints(
    verdicts: Sequence[Verdict],
    voting_groups: Sequence[Sequence[Verdict]],
    *,
    is_messaging: bool,
) -> EndpointTally:
    states = [{v.state for v in group} for group in voting_groups]
    return EndpointTally(
        verdicts=tuple(verdicts),
        groups=len(states),
        groups_blocked=sum(map(_is_blocked, voting_groups)),
        groups_down=states.count({VerdictState.DOWN}),
        groups_reachable=sum(VerdictState.REACHABLE in group_states for group_states in states),
        is_messaging=is_messaging,
    )


def _compute_service_confidence(
    state: VerdictState, deciding: Sequence[Verdict], verdicts: Sequence[Verdict]
) -> float:
    """Return the highest confidence of the deciding endpoints.

    A reachable service gets it multiplied by its share of reachable endpoints.
    """
    if state is VerdictState.UNKNOWN or not deciding:
        return 0.0
    share = len(deciding) / len(verdicts) if state is VerdictState.REACHABLE else 1.0
    return round(min(MAX_CONFIDENCE, max(v.confidence for v in deciding) * share), 3)


def _find_commonest(deciding: Sequence[Verdict]) -> tuple[str, str]:
    causes = Counter((v.layer, v.method) for v in deciding)
    return max(sorted(causes), key=causes.__getitem__, default=("", ""))
