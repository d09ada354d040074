"""k of n: what the endpoints of a service say of the whole. A small table, read from the top."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from heliograph_collector.judge.confidence import MOST
from heliograph_collector.model.records import State, Verdict

NO_SIX = "none.ipv6"
GATES = ("link.", "control.", "none.")  # reasons that hold for a whole measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Endpoints by state, and groups (endpoints that stand in for each other) by what is left."""

    verdicts: tuple[Verdict, ...]
    groups: int
    groups_blocked: int  # every endpoint of it is
    groups_down: int
    groups_alive: int  # at least one endpoint is reachable

    def count(self, state: State) -> int:
        return sum(v.state is state for v in self.verdicts)

    @property
    def every_group_alive(self) -> bool:
        """Groups that are down everywhere are nobody's fault and left out."""
        return 0 < self.groups_alive == self.groups - self.groups_down

    @property
    def majority(self) -> bool:
        return 2 * self.count(State.REACHABLE) > len(self.verdicts) - self.count(State.DOWN)

    @property
    def gate(self) -> str:
        """The commonest reason, where all doubt is about the seeing and not the seen."""
        reasons = Counter(v.rule for v in self.verdicts if v.state is not State.REACHABLE)
        if not all(reason.startswith(GATES) for reason in reasons):
            return ""
        rank = {r: (r != "none.no_steps", times) for r, times in sorted(reasons.items())}
        return max(rank, key=lambda reason: rank[reason], default="")


@dataclass(frozen=True, slots=True)
class WholeRule:
    """A row: its id is permanent, as those of the endpoints are."""

    id: str
    state: State
    says: str
    holds: Callable[[Tally], bool]


WHOLE: tuple[WholeRule, ...] = (
    WholeRule(
        "service.group_blocked",
        State.BLOCKED,
        "Every endpoint of one group is blocked, and nothing stands in for it.",
        lambda t: t.groups_blocked > 0,
    ),
    WholeRule(
        "service.down",
        State.DOWN,
        "Every group fails at the control too.",
        lambda t: 0 < t.groups == t.groups_down,
    ),
    WholeRule(
        "service.reachable",
        State.REACHABLE,
        "Every endpoint is reachable.",
        lambda t: 0 < len(t.verdicts) == t.count(State.REACHABLE),
    ),
    WholeRule(
        "service.partial",
        State.REACHABLE,
        "Every group that is up has a reachable endpoint and most endpoints are; "
        "k < n tells that some are blocked.",
        lambda t: t.every_group_alive and t.majority,
    ),
    WholeRule(
        "service.mostly_out",
        State.UNKNOWN,
        "Every group has a reachable endpoint, most endpoints are not: usable for some.",
        lambda t: t.every_group_alive,
    ),
    WholeRule(
        "service.doubt",
        State.UNKNOWN,
        "A group without a reachable endpoint, and not all of it is blocked.",
        lambda _: True,
    ),
)


def whole(verdicts: Sequence[Verdict], groups: Mapping[str, str]) -> Verdict:
    """The verdict with endpoint "". `verdicts` is not empty."""
    grouped = _grouped(verdicts, groups)
    tally = _tally(verdicts, grouped)
    rule = next(rule for rule in WHOLE if rule.holds(tally))
    deciding = _deciding(rule.state, verdicts, grouped)
    layer, method = _commonest(deciding) if rule.state in (State.BLOCKED, State.DOWN) else ("", "")
    return Verdict(
        state=rule.state,
        rule=(rule.state is State.UNKNOWN and tally.gate) or rule.id,
        layer=layer,
        method=method,
        confidence=_confidence(rule.state, deciding, verdicts),
        evidence=tuple(sorted({index for v in deciding for index in v.evidence})),
        reachable_endpoints=tally.count(State.REACHABLE),
        endpoints=tally.count(State.REACHABLE) + tally.count(State.BLOCKED),
    )


def group_of(endpoint: str, groups: Mapping[str, str]) -> str:
    """As the plan names it, else the id up to its first hyphen."""
    return groups.get(endpoint) or endpoint.partition("-")[0]


def _grouped(verdicts: Sequence[Verdict], groups: Mapping[str, str]) -> list[list[Verdict]]:
    grouped: defaultdict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        grouped[group_of(verdict.endpoint, groups)].append(verdict)
    return list(grouped.values())


def _tally(verdicts: Sequence[Verdict], grouped: Sequence[Sequence[Verdict]]) -> Tally:
    states = [{v.state for v in _voices(group)} for group in grouped]
    return Tally(
        verdicts=tuple(verdicts),
        groups=len(grouped),
        groups_blocked=states.count({State.BLOCKED}),
        groups_down=states.count({State.DOWN}),
        groups_alive=sum(State.REACHABLE in found for found in states),
    )


def _voices(group: Sequence[Verdict]) -> Sequence[Verdict]:
    """Without endpoints that have only IPv6, where the vantage has none, if there are others."""
    return [v for v in group if v.rule != NO_SIX] or group


def _deciding(
    state: State, verdicts: Sequence[Verdict], grouped: Sequence[Sequence[Verdict]]
) -> list[Verdict]:
    """The endpoints on which the whole verdict rests."""
    if state is State.BLOCKED:
        said = map(_voices, grouped)
        return [v for group in said if all(v.state is state for v in group) for v in group]
    return [v for v in verdicts if v.state is state]


def _confidence(state: State, deciding: Sequence[Verdict], verdicts: Sequence[Verdict]) -> float:
    """The surest endpoint's; of a partly reachable service, times the share that is reachable."""
    if state is State.UNKNOWN or not deciding:
        return 0.0
    share = len(deciding) / len(verdicts) if state is State.REACHABLE else 1.0
    return round(min(MOST, max(v.confidence for v in deciding) * share), 3)


def _commonest(deciding: Sequence[Verdict]) -> tuple[str, str]:
    causes = Counter((v.layer, v.method) for v in deciding)
    return min(causes, key=lambda cause: (-causes[cause], cause), default=("", ""))
