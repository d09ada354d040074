"""Correct the verdict on messaging by the order in which the app tries endpoints.

The list of services names stages: endpoints that the app tries together, one stage after the other.
If those of the first are blocked and the app gets through by later ones, it works by fallback. If
the first ones answer, the app did not fall back, whatever else is blocked.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from heliograph.observation import Measurement
from heliograph.plan import APP_PATH
from heliograph_collector.judge.service_rules import (
    FIRST_WAY_WORKS,
    WORKS_BY_FALLBACK,
    ServiceRule,
)
from heliograph_collector.model.records import Verdict, VerdictState

FIRST_WAY = "first_way"  # in place of a function: what an app that works by another way has lost
NOT_TRIED_RULES = ("none.local", "none.ipv6")  # the machine has no such link, so nothing was sent
FIRST_WAY_CONFIDENCE = 0.8  # of one answer where the same place failed just before; assumed


class AppPath(msgspec.Struct, frozen=True, kw_only=True):
    """The endpoints that an app tries first, and the one by which it connected."""

    first_way: frozenset[str] = frozenset()  # ids; empty where the list names no stages
    endpoint: str = ""  # id; empty where the app was not followed, or did not connect
    step_indices: tuple[int, ...] = ()  # of that endpoint

    @property
    def is_first_way(self) -> bool:
        return self.endpoint in self.first_way


NO_PATH = AppPath()


def find_app_path(measurement: Measurement, first_way: frozenset[str]) -> AppPath:
    """Return by which endpoint the app connected, with all steps of that endpoint.

    An answer in the app's own protocol counts, and a verified handshake; nothing in clear does,
    which anybody on the path could send.
    """
    observations = measurement.observations
    steps = [(i, x) for i, x in enumerate(observations) if x.endpoint.startswith(APP_PATH)]
    if not steps:
        return AppPath(first_way=first_way)
    label = next((x.endpoint for _, x in steps if x.failure is None and (x.exchange or x.tls)), "")
    return AppPath(
        first_way=first_way,
        endpoint=label.removeprefix(APP_PATH),
        step_indices=tuple(i for i, x in steps if x.endpoint == label),
    )


@dataclass(frozen=True, slots=True)
class OrderDecision:
    """A rule that applies by the order of attempts, with its endpoints and steps."""

    rule: ServiceRule
    deciding: tuple[Verdict, ...]
    evidence: frozenset[int]


def decide_by_order(
    core: Verdict, voting: Sequence[Verdict], path: AppPath
) -> OrderDecision | None:
    """Correct the verdict on messaging by the order in which the app tries endpoints.

    Args:
        core: The verdict of the groups of messaging, whatever the order.
        voting: Verdicts on the endpoints of messaging that count.
        path: The endpoints that the app tries first, and the one by which it connected.

    Returns:
        None if the order changes nothing.
    """
    first = _list_first(voting, path)
    reachable = [v for v in voting if v.state is VerdictState.REACHABLE]
    reachable_first = [v for v in first if v.state is VerdictState.REACHABLE]
    evidence = frozenset((*path.step_indices, *(i for v in reachable for i in v.evidence)))
    if path.is_first_way or 0 < len(first) <= 2 * len(reachable_first):
        is_in_question = core.state in (VerdictState.BLOCKED, VerdictState.UNKNOWN)
        decision = OrderDecision(FIRST_WAY_WORKS, tuple(reachable_first), evidence)
        return decision if is_in_question else None
    is_lost = bool(first) and all(v.state is VerdictState.BLOCKED for v in first)
    if is_lost and (path.endpoint or reachable):
        return OrderDecision(WORKS_BY_FALLBACK, tuple(first), evidence)
    return None


def _list_first(voting: Sequence[Verdict], path: AppPath) -> list[Verdict]:
    """Return the verdicts on the endpoints that the app tries first.

    Those that are down or could not be tried are left out. If none remains, as on a network that
    has IPv6 alone, all others count. If the list names no order, those that the app tried in vain
    count.
    """
    measured = [
        v for v in voting if v.state is not VerdictState.DOWN and v.rule not in NOT_TRIED_RULES
    ]
    if path.first_way:
        return [v for v in measured if v.endpoint in path.first_way] or measured
    failed = [v for v in measured if v.state is not VerdictState.REACHABLE]
    return failed if path.endpoint else []


def apply_app_path(verdict: Verdict, path: AppPath) -> Verdict:
    """Correct a light check of one endpoint that is blocked, by what the app did then."""
    if verdict.state is not VerdictState.BLOCKED or not path.endpoint:
        return verdict
    evidence = tuple(sorted({*verdict.evidence, *path.step_indices}))
    if path.is_first_way:
        return Verdict(
            state=FIRST_WAY_WORKS.state,
            rule=FIRST_WAY_WORKS.id,
            confidence=FIRST_WAY_CONFIDENCE,
            endpoint=verdict.endpoint,
            evidence=evidence,
        )
    return replace(
        verdict,
        state=WORKS_BY_FALLBACK.state,
        rule=WORKS_BY_FALLBACK.id,
        function=name_lost(verdict.function),
        evidence=evidence,
    )


def name_lost(functions: str) -> str:
    """Name the functions that are blocked where an app works by fallback."""
    return ",".join(filter(None, (FIRST_WAY, functions)))
