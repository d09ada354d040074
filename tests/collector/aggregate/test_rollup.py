"""Votes to cells: who counts, who does not, and what may be shown."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from heliograph_collector.aggregate.cell_state import (
    compute_confidence,
    decide_state,
    list_functions,
)
from heliograph_collector.aggregate.rollup import (
    changed_cells,
    fill_bins,
    roll_up,
    roll_up_bins,
)
from heliograph_collector.aggregate.vote_counts import count_votes
from heliograph_collector.model.records import Cell, SilenceCount, VerdictState, Vote
from heliograph_collector.model.seniority import Seniority
from heliograph_collector.store.vote_queries import STATES, decide_majority

BIN_S = 300
BIN_US = BIN_S * 1_000_000
NOON_US = 1_700_000_100_000_000 // BIN_US * BIN_US
R, B, D, U = VerdictState.REACHABLE, VerdictState.BLOCKED, VerdictState.DOWN, VerdictState.UNKNOWN
P = VerdictState.PARTIAL


Counts = list[tuple[dict[VerdictState, int], VerdictState]]


def vote(nym: str, state: VerdictState = R, *, times: int = 1, bin_: int = 0, **where: Any) -> Vote:
    counts = {s.value: times if s is state else 0 for s in STATES}
    place = {"country": "KZ", "region": "", "asn": 9198, "access": "mobile", "service": "telegram"}
    cause = {"layer": "tls", "method": "reset_after_hello"} if state is B else {}
    fields: dict[str, Any] = {
        "prefix": f"p-{nym}", "seniority": Seniority.ESTABLISHED,
        **place, **cause, **counts, **where,
    }  # fmt: skip
    return Vote(start_us=NOON_US + bin_ * BIN_US, pseudonym=nym, **fields)


def silence(vantages: int, *, bin_: int = 0, asn: int = 9198) -> SilenceCount:
    start_us = NOON_US + bin_ * BIN_US
    return SilenceCount(country="KZ", region="", asn=asn, access="mobile", start_us=start_us,
                        vantages=vantages)  # fmt: skip


def roll(
    votes: list[Vote], silences: list[SilenceCount] | None = None, bins: int = 1
) -> list[Cell]:
    return roll_up(votes, silences or [], NOON_US, NOON_US + bins * BIN_US, BIN_S)


def test_vantage_has_one_vote_however_many_results() -> None:
    """A vantage has one vote, even with a thousand results."""
    (cell,) = roll([vote("a", B, times=1000), vote("b"), vote("c")])
    assert (cell.vantages, cell.reachable, cell.blocked) == (3, 2, 1)
    assert cell.state is R


def test_crowd_behind_one_network_is_one_vote() -> None:
    crowd = [vote(f"x{i}", B, prefix="cafe") for i in range(20)]
    (cell,) = roll([*crowd, vote("b"), vote("c")])
    assert (cell.vantages, cell.blocked, cell.prefixes) == (22, 20, 3)
    assert cell.state is R


def test_blocked_cell_names_the_commonest_cause_and_its_confidence() -> None:
    odd = vote("d", B, layer="dns", method="nxdomain")
    (cell,) = roll([vote("a", B), vote("b", B), odd, vote("c")])
    assert (cell.state, cell.layer, cell.method) == (B, "tls", "reset_after_hello")
    assert cell.confidence == 0.6  # three of four networks, and one imagined dissenter

    (alone,) = roll([vote("a", B)])
    assert (alone.state, alone.confidence) == (B, 0.5)


VANTAGE_VOTES: Counts = [({R: 2, B: 1}, R), ({R: 2, B: 2}, U), ({B: 1, U: 9}, U), ({B: 2, U: 1}, B),
                         ({D: 1}, D), ({R: 0}, U), ({}, U)]  # fmt: skip
CELL_STATES: Counts = [({B: 2, R: 1}, B), ({B: 65, R: 35}, U), ({B: 1, R: 1}, U), ({B: 2, U: 5}, B),
                       ({B: 2, U: 7}, U), ({D: 1, U: 9}, U), ({U: 5}, U), ({D: 3, R: 1}, D),
                       ({R: 3, B: 1}, R), ({R: 1, U: 9}, R)]  # fmt: skip


def test_counts_decide_the_vote_of_a_vantage_and_the_state_of_a_cell() -> None:
    for counts, expected in VANTAGE_VOTES:
        assert decide_majority(Counter(counts)) is expected, counts
    for counts, expected in CELL_STATES:
        assert decide_state(Counter(counts)) is expected, counts


def partly(nym: str, functions: str = "web", **where: Any) -> Vote:
    return vote(nym, times=3, partial=2, function=functions, **where)


YOUNG = Seniority.YOUNG


@pytest.mark.parametrize(
    ("case", "votes", "state", "functions"),
    [
        ("all find the web version blocked", [partly("a"), partly("b")], P, ("web",)),
        ("two of three", [partly("a"), partly("b"), vote("c")], P, ("web",)),
        ("half", [partly("a"), vote("b")], R, ()),
        ("one of two verdicts", [vote("a", times=2, partial=1, function="web")], R, ()),
        ("what most name", [partly("a", "calls,web"), partly("b"), partly("c")], P, ("web",)),
        ("no function that most name", [partly("a", "calls"), partly("b", "media")], R, ()),
        ("messages are blocked for most", [vote("a", B), vote("b", B), partly("c")], B, ()),
        ("many keys of one line", [*(partly(f"k{n}", prefix="p") for n in range(9)), vote("b"),
                                   vote("c")], R, ()),
        ("a crowd of the young", [*(partly(f"k{n}", seniority=YOUNG) for n in range(9)), vote("b"),
                                  vote("c")], R, ()),
        ("a line that its young keys disagree with", [
            partly("a", prefix="p"), *(vote(f"k{n}", prefix="p", seniority=YOUNG) for n in range(9))
        ], P, ("web",)),
        ("nobody is established", [partly(n, seniority=YOUNG) for n in "ab"], P, ("web",)),
    ],
)  # fmt: skip
def test_cell_is_partial_where_enough_lines_find_functions_blocked(
    case: str, votes: list[Vote], state: VerdictState, functions: tuple[str, ...]
) -> None:
    (cell,) = roll(votes)
    assert (cell.state, list_functions(cell)) == (state, functions), case
    if state is P:
        assert (cell.layer, cell.layers) == ("", ())
        assert 0 < cell.confidence <= round(cell.prefixes / (cell.prefixes + 1), 3)
        assert cell.reachable == cell.vantages, "messages flow, so they count as reaching it"


def test_empty_bins_have_rows() -> None:
    """Five vantages, then darkness: the rows go on with n = 0 and the silence in them."""
    before = [vote(f"v{i}") for i in range(5)]
    rows = roll(before, [silence(5, bin_=1), silence(5, bin_=2)], bins=3)
    assert [(r.vantages, r.silent, r.state) for r in rows] == [(5, 0, R), (0, 5, U), (0, 5, U)]


def test_silence_alone_makes_a_row_and_finer_ones_are_not_added_up() -> None:
    (row,) = roll([], [silence(3)])
    assert (row.service, row.vantages, row.silent) == ("", 0, 3)
    # Who is silent in each of two fine bins is one vantage in the coarse one.
    fine = [silence(4), replace(silence(4), start_us=NOON_US + 60_000_000)]
    (row,) = roll([vote("a")], fine)
    assert row.silent == 4


def test_votes_outside_the_window_are_not_counted() -> None:
    (cell,) = roll([vote("a"), vote("b", bin_=1), vote("c", bin_=-1)])
    assert cell.vantages == 1


states = st.sampled_from(VerdictState)
ballots = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), states, st.sampled_from("pqrs"), st.integers(1, 3)),
    min_size=1, max_size=10, unique_by=lambda v: v[0],
)  # fmt: skip


def _votes(drawn: list[tuple[str, VerdictState, str, int]]) -> list[Vote]:
    return [vote(nym, state, prefix=prefix, times=n) for nym, state, prefix, n in drawn]


@settings(deadline=None)
@given(ballots, st.sampled_from(("p", "new")))
def test_agreement_never_lowers_confidence(
    drawn: list[tuple[str, VerdictState, str, int]], prefix: str
) -> None:
    (cell,) = roll(_votes(drawn))
    if cell.state is U:
        return
    (after,) = roll([*_votes(drawn), vote("z", cell.state, prefix=prefix)])
    assert after.state is cell.state
    assert after.confidence >= cell.confidence


@settings(deadline=None)
@given(ballots, st.integers(2, 50), st.randoms(use_true_random=False))
def test_repetition_and_order_change_nothing(
    drawn: list[tuple[str, VerdictState, str, int]], times: int, rng: Any
) -> None:
    votes = _votes(drawn)
    loud = rng.randrange(len(votes))
    more = [
        vote(v[0], v[1], prefix=v[2], times=v[3] * (times if i == loud else 1))
        for i, v in enumerate(drawn)
    ]
    rng.shuffle(more)
    assert roll(more) == roll(votes)


events = st.lists(
    st.tuples(st.sampled_from("abcd"), states, st.integers(0, 3), st.integers(1, 2)), max_size=12
)
gone = st.lists(st.tuples(st.integers(1, 2), st.integers(0, 3)), max_size=4, unique=True)


@settings(deadline=None)
@given(events, gone, st.lists(st.integers(0, 3), max_size=6))
def test_bins_rolled_up_one_by_one_are_the_window_rolled_up_at_once(
    drawn: list[tuple[str, VerdictState, int, int]], lost: list[tuple[int, int]], order: list[int]
) -> None:
    """Bins rolled up in any order equal the whole window rolled up at once.

    They are written first from a part of the votes, then from all.
    """
    votes = [vote(nym, state, bin_=bin_, asn=asn) for nym, state, bin_, asn in drawn]
    silences = [silence(1, bin_=bin_, asn=asn) for asn, bin_ in lost]
    shelf: dict[Any, Cell] = {}
    for at in [*order, 0, 1, 2, 3]:
        since_us, until_us = NOON_US + at * BIN_US, NOON_US + (at + 1) * BIN_US
        for known, away in ((votes[:6], silences), (votes, silences[:1]), (votes, silences)):
            now = count_votes(known, since_us, until_us, BIN_S)
            then = [s for s in away if since_us <= s.start_us < until_us]
            before = [c for c in shelf.values() if since_us <= c.start_us < until_us]
            found = roll_up_bins(now, then, since_us, until_us, BIN_S)
            for cell in changed_cells(before, found):
                shelf[cell.asn, cell.service, cell.start_us] = cell
    window = (NOON_US, NOON_US + 4 * BIN_US, BIN_S)
    assert fill_bins(shelf.values(), *window) == roll_up(votes, silences, *window)


def test_changed_cells_are_the_difference_alone() -> None:
    rows = roll([vote("a"), vote("b", B)])
    assert changed_cells(rows, rows) == []
    assert changed_cells([], rows) == rows
    (emptied,) = changed_cells(rows, [])
    assert (emptied.vantages, emptied.silent, emptied.asn) == (0, 0, 9198)
    assert changed_cells([emptied], []) == []


def test_a_cell_tells_how_many_met_it_in_which_layer() -> None:
    """Each vantage in the layer it met it in most often, whatever the cell came to."""
    odd = vote("d", B, layer="dns", method="nxdomain")
    (cell,) = roll([vote("a", B), vote("b", B, times=5), odd, *(vote(f"r{n}") for n in range(9))])
    assert (cell.state, cell.layer, cell.layers) == (R, "", (("dns", 1), ("tls", 2)))


def test_a_vantage_that_moved_counts_in_the_network_of_its_last_verdict() -> None:
    moved = [
        vote("a", prefix="x"),
        structs.replace(vote("a", prefix="w"), start_us=NOON_US + 60_000_000),
    ]
    for votes in (moved, moved[::-1]):
        (cell,) = roll([*votes, vote("b", prefix="w")])
        assert (cell.vantages, cell.prefixes) == (2, 1)


@given(st.dictionaries(states, st.integers(0, 50)), states)
def test_confidence_keeps_its_bounds(votes: dict[VerdictState, int], state: VerdictState) -> None:
    sure = compute_confidence(state, Counter(votes), Counter(votes), sum(votes.values()))
    assert 0.0 <= sure <= 0.99
