"""Verdict on a whole service from its endpoints, by a k-of-n decision table."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from heliograph_collector.judge.confidence import MAX_CONFIDENCE
from heliograph_collector.model.records import Verdict, VerdictState

IPV6_ONLY_RULE = "none.ipv6"
MEASUREMENT_REASONS = ("link.", "control.", "none.")  # hold for a whole measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointTally:
    """Counts of endpoint verdicts by state and of endpoint groups by state.

    The endpoints of one group replace each other.
    """

    verdicts: tuple[Verdict, ...]
    groups: int
    groups_blocked: int  # groups whose endpoints are all blocked
    groups_down: int
    groups_reachable: int  # groups with at least one reachable endpoint

    def count(self, state: VerdictState) -> int:
        return sum(v.state is state for v in self.verdicts)

    @property
    def is_every_group_reachable(self) -> bool:
        """Return whether all groups are reachable, except groups that are down everywhere."""
        return 0 < self.groups_reachable == self.groups - self.groups_down

    @property
    def has_majority(self) -> bool:
        return 2 * self.count(VerdictState.REACHABLE) > len(self.verdicts) - self.count(
            VerdictState.DOWN
        )

    @property
    def common_reason(self) -> str:
        """Return the most common doubt, or "" if any endpoint has another reason."""
        reasons = Counter(v.rule for v in self.verdicts if v.state is not VerdictState.REACHABLE)
        if not all(reason.startswith(MEASUREMENT_REASONS) for reason in reasons):
            return ""
        ranks = {r: (r != "none.no_steps", times) for r, times in sorted(reasons.items())}
        return max(ranks, key=ranks.__getitem__, default="")


@dataclass(frozen=True, slots=True)
class ServiceRule:
    """Row of the decision table for services; its id is permanent."""

    id: str
    state: VerdictState
    says: str


GROUP_BLOCKED = ServiceRule(
    "service.group_blocked",
    VerdictState.BLOCKED,
    "Every endpoint of one group is blocked, and nothing replaces that group.",
)
DOWN = ServiceRule("service.down", VerdictState.DOWN, "Every group fails at the control too.")
ALL_REACHABLE = ServiceRule(
    "service.reachable", VerdictState.REACHABLE, "Every endpoint is reachable."
)
PARTIAL = ServiceRule(
    "service.partial",
    VerdictState.REACHABLE,
    "Every group that is up has a reachable endpoint and most endpoints are reachable; "
    "k < n shows that some are blocked.",
)
MOSTLY_OUT = ServiceRule(
    "service.mostly_out",
    VerdictState.UNKNOWN,
    "Every group has a reachable endpoint, most endpoints are not: usable for some.",
)
DOUBT = ServiceRule(
    "service.doubt",
    VerdictState.UNKNOWN,
    "A group without a reachable endpoint, and not all of it is blocked.",
)
SERVICE_RULES = (GROUP_BLOCKED, DOWN, ALL_REACHABLE, PARTIAL, MOSTLY_OUT, DOUBT)


def select_service_rule(tally: EndpointTally) -> ServiceRule:
    """Return the first of SERVICE_RULES that holds."""
    if tally.groups_blocked:
        return GROUP_BLOCKED
    if 0 < tally.groups == tally.groups_down:
        return DOWN
    if 0 < len(tally.verdicts) == tally.count(VerdictState.REACHABLE):
        return ALL_REACHABLE
    if tally.is_every_group_reachable:
        return PARTIAL if tally.has_majority else MOSTLY_OUT
    return DOUBT


def judge_service(verdicts: Sequence[Verdict], groups: Mapping[str, str]) -> Verdict:
    """Return the verdict with endpoint "" on a whole service.

    Args:
        verdicts: Verdicts on the endpoints; not empty.
        groups: Group by endpoint, from the plan.
    """
    voting_groups = _group_verdicts(verdicts, groups)
    tally = _count_endpoints(verdicts, voting_groups)
    rule = select_service_rule(tally)
    deciding = [v for v in verdicts if v.state is rule.state]
    if rule is GROUP_BLOCKED:
        deciding = [
            v for group in voting_groups if all(v.state is rule.state for v in group) for v in group
        ]
    is_failing = rule.state in (VerdictState.BLOCKED, VerdictState.DOWN)
    layer, method = _find_commonest(deciding) if is_failing else ("", "")
    return Verdict(
        state=rule.state,
        rule=(rule.state is VerdictState.UNKNOWN and tally.common_reason) or rule.id,
        layer=layer,
        method=method,
        confidence=_compute_service_confidence(rule.state, deciding, verdicts),
        evidence=tuple(sorted({index for v in deciding for index in v.evidence})),
        reachable_endpoints=tally.count(VerdictState.REACHABLE),
        endpoints=tally.count(VerdictState.REACHABLE) + tally.count(VerdictState.BLOCKED),
    )


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
    verdicts: Sequence[Verdict], voting_groups: Sequence[Sequence[Verdict]]
) -> EndpointTally:
    states = [{v.state for v in group} for group in voting_groups]
    return EndpointTally(
        verdicts=tuple(verdicts),
        groups=len(states),
        groups_blocked=states.count({VerdictState.BLOCKED}),
        groups_down=states.count({VerdictState.DOWN}),
        groups_reachable=sum(VerdictState.REACHABLE in group_states for group_states in states),
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
