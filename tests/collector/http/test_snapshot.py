"""The snapshot turns cells into the present state of the world."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.observation import Link
from heliograph_collector.aggregate import rollup
from heliograph_collector.aggregate.disclosure import Disclosure
from heliograph_collector.http import snapshot
from heliograph_collector.http.backend import AgentCounts, LinkCount
from heliograph_collector.http.snapshot import ChangeBracket, NetworkGroup, Snapshot, find_bracket
from heliograph_collector.model.records import SilenceCount, VerdictState, Vote
from support.examples import limit_examples
from support.fake_feed import BIN_US, NOW_US, TITLES, crowd, vote

OK, NO, DOWN, DOUBT = map(VerdictState, ("reachable", "blocked", "down", "unknown"))
LETTERS = {"r": OK, "b": NO, "d": DOWN, "?": DOUBT, ".": None}
CURRENT = NOW_US // BIN_US * BIN_US
LONE_TARGET = "https://example.org/"


def strip(text: str) -> list[VerdictState | None]:
    return [LETTERS[letter] for letter in text]


def take(votes: list[Vote], k: int = 5, links: list[LinkCount] | None = None) -> Snapshot:
    cells = rollup.roll_up(votes, [], *snapshot.history_window(NOW_US), 300)
    shown = Disclosure(k, {*TITLES, LONE_TARGET}, CURRENT + BIN_US).release(cells)
    return snapshot.compose_snapshot(NOW_US, k, TITLES, shown, links or [], AgentCounts())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rrrbbb", (2, 4)),  # between the last good bin's start and the first bad bin's end
        ("rr..bb", (1, 5)),
        ("rr?bb", (1, 4)),  # doubt neither ends a run nor starts one
        ("rb?b.b", (0, 2)),
        ("bbbb", (None, 1)),
        ("..bb", (None, 3)),
        ("rdb", (1, 3)),
    ],
)
def test_a_change_is_a_bracket(text: str, expected: tuple[int | None, int]) -> None:
    assert find_bracket(strip(text), range(len(text)), NO) == ChangeBracket(*expected)


def test_doubt_has_a_beginning_too() -> None:
    assert find_bracket(strip("rr??"), range(4), DOUBT) == ChangeBracket(1, 3)


def test_a_reading_is_the_newest_bin() -> None:
    votes = crowd(6, OK, CURRENT - BIN_US, CURRENT) + crowd(6, NO, CURRENT, CURRENT + 1)
    (column,) = take(votes).columns
    assert column.group == NetworkGroup("KZ", 9198, "fixed")
    assert column.readings["telegram"].state is NO
    assert column.readings["signal"].state is None


@pytest.mark.parametrize(
    ("before", "state", "current", "reading"),
    [(20, NO, OK, NO), (6, OK, DOUBT, DOUBT)],
    ids=["a bin that has hardly begun", "going offline"],
)
def test_newest_bin_speaks_once_enough_voted_in_it(
    before: int, state: VerdictState, current: VerdictState, reading: VerdictState
) -> None:
    earlier = crowd(before, state, CURRENT - BIN_US, CURRENT)
    newest = crowd(6, current, CURRENT, CURRENT + 1)
    assert take(earlier + newest).columns[0].readings["telegram"].state is reading


def test_what_is_old_is_no_reading() -> None:
    votes = crowd(6, OK, CURRENT - 8 * BIN_US, CURRENT - 4 * BIN_US)
    reading = take(votes).columns[0].readings["telegram"]
    assert reading.state is None
    assert OK in reading.strip


def test_few_are_not_shown_and_not_counted() -> None:
    few = crowd(4, NO, CURRENT, CURRENT + 1, country="BY", asn=1)
    seen = take([*few, *crowd(5, OK, CURRENT, CURRENT + 1, asn=2)])
    assert [column.group.asn for column in seen.columns] == [2]
    assert seen.coverage.vantages == 5


def test_few_are_shown_among_their_country_s_other_networks() -> None:
    few = crowd(3, NO, CURRENT, CURRENT + 1, asn=1) + crowd(4, NO, CURRENT, CURRENT + 1, asn=3)
    shown, others = take([*few, *crowd(9, OK, CURRENT, CURRENT + 1, asn=2)]).columns
    assert (others.group, others.vantages) == (NetworkGroup("KZ", 0, ""), 7)
    assert others.readings["telegram"].state is NO
    assert shown.group.asn == 2


def test_silent_vantages_of_named_networks_are_in_no_other_network() -> None:
    """Each of too few in a bin, they are counted together there."""
    silences = [
        SilenceCount(country="KZ", region="", asn=asn, access="fixed", start_us=CURRENT, vantages=4)
        for asn in (1, 2)
    ]
    votes = [v for asn in (1, 2) for v in crowd(9, OK, CURRENT - BIN_US, CURRENT, asn=asn)]
    cells = rollup.roll_up(votes, silences, *snapshot.history_window(NOW_US), 300)
    shown = Disclosure(5, TITLES.keys(), CURRENT + BIN_US).release(cells)
    assert any(cell.silent and not cell.asn for cell in shown)
    present = snapshot.compose_snapshot(NOW_US, 5, TITLES, shown, [], AgentCounts())
    assert [column.group.asn for column in present.columns] == [1, 2]


_MEASURED = st.lists(  # who of up to eight measured, by network, service, and bin before now
    st.tuples(
        st.integers(1, 4), st.sampled_from(("telegram", "signal")), st.integers(0, 4),
        st.sets(st.integers(0, 7), min_size=1),
    ),
    max_size=30,
)  # fmt: skip


@settings(max_examples=limit_examples(100))
@given(_MEASURED, st.sets(st.integers(1, 4)))
def test_each_vantage_counts_once(measured: list[Any], connected: set[int]) -> None:
    votes = {
        (asn, service, age, number): vote(
            f"{asn}-{number}", OK, CURRENT - age * BIN_US, asn=asn, service=service
        )
        for asn, service, age, numbers in measured
        for number in numbers
    }
    links = [
        LinkCount(country="KZ", asn=asn, access="fixed", link=Link.ONLINE, vantages=8)
        for asn in connected
    ]
    shown = take(list(votes.values()), links=links)
    vantages = {(asn, number) for asn, _, _, number in votes}
    vantages |= {(asn, number) for asn in connected for number in range(8)}
    assert sum(column.vantages for column in shown.columns) <= len(vantages)
    assert shown.coverage.vantages <= len(vantages)


def test_links_alone_make_no_network_public() -> None:
    """A session costs nothing, and few people's link is their own affair."""
    few = LinkCount(country="KZ", asn=1, access="fixed", link=Link.OFFLINE, vantages=2)
    many = LinkCount(country="KZ", asn=2, access="fixed", link=Link.ONLINE, vantages=9)
    votes = crowd(6, OK, CURRENT, CURRENT + 1, asn=2)
    (shown,) = take(votes, links=[few, many]).columns
    assert (shown.group.asn, shown.link, shown.vantages) == (2, Link.ONLINE, 9)
    assert take([], links=[few, many]).columns == ()
    assert len(take([], k=1, links=[few, many]).columns) == 2


@pytest.mark.parametrize(
    ("offline", "online", "link"),
    [(5, 4, Link.OFFLINE), (4, 4, Link.ONLINE), (4, 3, Link.ONLINE), (6, 0, Link.OFFLINE)],
)
def test_network_is_offline_only_by_the_word_of_more_than_half(
    offline: int, online: int, link: Link
) -> None:
    """A network is offline only if more than half of its vantages report it.

    The map is dark by this; a vantage with an unknown link does not count as offline.
    """
    counts = {Link.OFFLINE: offline, Link.ONLINE: online, Link.UNKNOWN: 1 if offline < 5 else 0}
    links = [
        LinkCount(country="KZ", asn=1, access="fixed", link=state, vantages=count)
        for state, count in counts.items()
    ]
    (column,) = take(crowd(6, OK, CURRENT, CURRENT + 1, asn=1), links=links).columns
    assert column.link is link


def test_blind_spots_are_told_once_somebody_has_looked() -> None:
    early = crowd(6, OK, CURRENT - 9 * BIN_US, CURRENT - 6 * BIN_US)
    late = crowd(6, OK, CURRENT - 2 * BIN_US, CURRENT)
    seen = take([*early, *late]).coverage
    assert seen.gaps == ((CURRENT - 6 * BIN_US, CURRENT - 2 * BIN_US),)
    assert seen.first_us == CURRENT - 9 * BIN_US
    assert take([]).coverage.gaps == ()


def test_services_stand_in_the_plan_s_order_and_lone_targets_after_them() -> None:
    votes = crowd(6, OK, CURRENT, CURRENT + 1, service=LONE_TARGET)
    votes += crowd(6, OK, CURRENT, CURRENT + 1, service="=cmd|'/C calc'!A0")
    assert take(votes).services == (*TITLES.items(), (LONE_TARGET, "example.org"))
