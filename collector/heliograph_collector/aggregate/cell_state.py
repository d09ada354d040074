"""Decide the state, the cause and the confidence of a cell from its votes. Pure.

A cell whose networks reach a service is *partial* if as large a share of them as a state needs
finds functions blocked, such as the web version beside messages that flow. Networks with
established vantages alone decide that, if the cell has any. Then `method` of the cell names the
functions, separated by commas.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from heliograph_collector.model.records import Cell, Count, VerdictState
from heliograph_collector.store.partial_votes import ESTABLISHED, YOUNG

StateCounts = Counter[VerdictState]
Causes = Mapping[tuple[VerdictState, str, str], int]
TROUBLES = (VerdictState.BLOCKED, VerdictState.DOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellThresholds:
    """The shares and counts that decide the state of a cell."""

    blocked: float = 0.66  # all assumed; shares of the networks whose vote is not unknown
    down: float = 0.66
    reachable: float = 0.66
    told: float = 0.25  # of all votes, the unknown too, that must tell a trouble; assumed
    vantages: int = 2  # with fewer vantages the confidence is capped …
    low: float = 0.5  # … at this value
    most: float = 0.99


CELL_THRESHOLDS = CellThresholds()


def decide_state(counts: StateCounts) -> VerdictState:
    """Return the state whose share of the known votes is large enough.

    A few votes for a trouble among many that are unknown are no trouble: where a service fails for
    everybody, the first who notice have no newer result of a control to compare with.
    """
    known_count = counts.total() - counts[VerdictState.UNKNOWN]
    needed_shares = {
        VerdictState.BLOCKED: CELL_THRESHOLDS.blocked,
        VerdictState.DOWN: CELL_THRESHOLDS.down,
        VerdictState.REACHABLE: CELL_THRESHOLDS.reachable,
    }
    told_count = CELL_THRESHOLDS.told * counts.total()
    reached_states = (
        s
        for s, share in needed_shares.items()
        if known_count
        and counts[s] / known_count >= share
        and (s not in TROUBLES or counts[s] >= told_count)
    )
    return next(reached_states, VerdictState.UNKNOWN)


def compute_confidence(
    state: VerdictState, counts: StateCounts, established: StateCounts, vantages: int
) -> float:
    """Return agreeing networks over all votes plus one; 0 if the state is unknown.

    An agreeing vantage never lowers it: (a + 1) / (n + 2) is at least a / (n + 1). Young vantages
    raise it to `low` at most, however many they are.

    Args:
        counts: Votes of networks.
        established: Those of established vantages alone.
        vantages: The number of established vantages.
    """
    if state is VerdictState.UNKNOWN:
        return 0.0
    agreement = min(CELL_THRESHOLDS.low, counts[state] / (counts.total() + 1))
    if vantages >= CELL_THRESHOLDS.vantages:
        agreement = max(agreement, established[state] / (established.total() + 1))
    return round(min(CELL_THRESHOLDS.most, agreement), 3)


def most_common_cause(causes: Counter[tuple[str, str]]) -> tuple[str, str]:
    return max(sorted(causes), key=causes.__getitem__, default=("", ""))


@dataclass(frozen=True, slots=True)
class CellVerdict:
    """The state that the votes of a cell give, with confidence and cause."""

    state: VerdictState
    confidence: float
    layer: str
    method: str


def judge_cell(count: Count) -> CellVerdict:
    """Decide the state of a cell, with its cause or its blocked functions."""
    return _judge(
        tuple(count.networks.items()),
        tuple(count.established_networks.items()),
        sum(count.established_vantages.values()),
        tuple(count.causes.items()),
    )


@lru_cache(maxsize=4_096)  # thousands of cells have one vote, and few differ
def _judge(
    network_items: tuple[tuple[VerdictState, int], ...],
    established_items: tuple[tuple[VerdictState, int], ...],
    vantages: int,
    cause_items: tuple[tuple[tuple[VerdictState, str, str], int], ...],
) -> CellVerdict:
    networks = Counter(dict(network_items))
    established = Counter(dict(established_items))
    cause_counts = dict(cause_items)
    state = decide_state(networks)
    confidence = compute_confidence(state, networks, established, vantages)
    if state is VerdictState.REACHABLE:
        voters = established if established.total() else networks
        kind = ESTABLISHED if established.total() else YOUNG
        partial_count = cause_counts.get((VerdictState.PARTIAL, kind, ""), 0)
        functions = _list_common_functions(cause_counts, kind, partial_count)
        if functions and is_partial(partial_count, voters):
            share = round(partial_count / (voters.total() + 1), 3)
            return CellVerdict(
                VerdictState.PARTIAL, min(confidence, share), "", ",".join(functions)
            )
    causes = Counter({(layer, how): n for (s, layer, how), n in cause_items if s is state})
    has_cause = state in TROUBLES
    layer, method = most_common_cause(causes) if has_cause else ("", "")
    return CellVerdict(state, confidence, layer, method)


def is_partial(partial_count: float, voters: StateCounts) -> bool:
    """Return whether enough of the known votes find functions blocked."""
    known_count = voters.total() - voters[VerdictState.UNKNOWN]
    return bool(known_count) and partial_count / known_count >= CELL_THRESHOLDS.reachable


def _list_common_functions(causes: Causes, kind: str, partial_count: int) -> list[str]:
    """List the functions that more than half of the partial votes name."""
    return sorted(
        function
        for (state, layer, function), n in causes.items()
        if state is VerdictState.PARTIAL and layer == kind and function and 2 * n > partial_count
    )


def list_functions(cell: Cell) -> tuple[str, ...]:
    """List the blocked functions of a partial cell."""
    return tuple(cell.method.split(",")) if cell.state is VerdictState.PARTIAL else ()
