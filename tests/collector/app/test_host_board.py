"""Reports of ingest hosts decide which agents are online, unknown or given up."""

from dataclasses import replace

import pytest

from heliograph_collector.app.host_board import (
    DEAD_US,
    GRACE_US,
    STALE_US,
    HostBoard,
    UnknownAgent,
    UnknownTimes,
)
from heliograph_collector.ingest.collector_faults import REPEAT_US, TimeSpan

NOW = 1_000_000_000
ANNA = UnknownAgent(b"A" * 16, "KZ", NOW)


def heard(board: HostBoard, host: str, number: int, now_us: int = NOW) -> bool:
    """A first report has all sessions of its host."""
    return board.note(host, number, is_whole=number == 1, now_us=now_us)


def test_nobody_is_trusted_before_each_host_has_told_all() -> None:
    board = HostBoard()
    assert not board.is_trusted(NOW)
    assert heard(board, "a", 1)
    assert board.is_trusted(NOW)
    board.expect("b", NOW)
    assert not board.is_trusted(NOW)
    assert not board.note("b", 7, is_whole=False, now_us=NOW)
    assert not board.is_trusted(NOW)
    assert board.note("b", 8, is_whole=True, now_us=NOW)
    assert board.is_trusted(NOW)


@pytest.mark.parametrize(("number", "usable"), [(2, True), (3, False), (1, True)])
def test_gap_in_the_numbers_asks_for_all(number: int, usable: bool) -> None:
    board = HostBoard()
    heard(board, "a", 1)
    assert heard(board, "a", number) is usable
    assert board.is_trusted(NOW) is usable


def test_stale_host_stops_judgments_and_a_dead_one_leaves() -> None:
    board = HostBoard()
    heard(board, "a", 1)
    heard(board, "b", 1)
    heard(board, "a", 2, NOW + STALE_US)
    assert not board.is_trusted(NOW + STALE_US)
    assert board.take_dead(NOW + DEAD_US - 1) == {}
    heard(board, "a", 3, NOW + DEAD_US)
    assert board.take_dead(NOW + DEAD_US) == {"b": NOW}
    assert board.is_trusted(NOW + DEAD_US)
    assert not heard(board, "b", 2, NOW + DEAD_US), "it is asked for all its sessions"


def test_agent_of_a_dead_host_is_back_or_given_up() -> None:
    board = HostBoard()
    boris = UnknownAgent(b"B" * 16, "KZ", NOW)
    board.add_unknown([ANNA, boris])
    board.note_present(boris.agent, NOW)
    assert board.take_given_up(NOW + GRACE_US - 1) == []
    assert board.take_given_up(NOW + GRACE_US) == [ANNA]
    assert board.take_given_up(NOW + 2 * GRACE_US) == []


def test_coverage_is_told_how_long_agents_of_a_country_are_unknown() -> None:
    times = UnknownTimes()
    times.begin(dict.fromkeys(("KZ", "DE", "FR"), NOW))
    first = TimeSpan(NOW, NOW + DEAD_US + GRACE_US)
    assert times.list_changes({"KZ", "FR"}, NOW + DEAD_US) == {"KZ": first, "FR": first}
    assert times.list_changes({"KZ", "FR"}, NOW + DEAD_US + 1) == {}
    back_us = NOW + 2 * DEAD_US
    assert times.list_changes({"KZ"}, back_us) == {"FR": TimeSpan(NOW, back_us)}
    times.begin({"KZ": NOW + DEAD_US})  # another host died: its agents' time still runs
    assert times.list_changes({"KZ"}, first.until_us - 1) == {}
    late_us = first.until_us
    assert times.list_changes({"KZ"}, late_us) == {"KZ": TimeSpan(NOW, late_us + GRACE_US)}
    assert times.list_changes(set(), late_us + 1) == {"KZ": TimeSpan(NOW, late_us + 1)}
    assert times.list_changes(set(), late_us + 2) == {}


def test_country_of_a_host_that_had_not_told_all_is_unknown_while_it_is_blind() -> None:
    board = HostBoard()
    board.note("a", 7, is_whole=False, now_us=NOW)
    assert board.take_dead(NOW + DEAD_US) == {"a": NOW}
    board.note_doubt(["KZ"])
    assert board.list_unknown_countries(NOW + DEAD_US + GRACE_US - 1) == {"KZ"}
    assert board.list_unknown_countries(NOW + DEAD_US + GRACE_US) == set()


def test_host_that_dies_before_it_told_all_makes_blind_for_a_while() -> None:
    board = HostBoard()
    heard(board, "a", 1)
    board.expect("b", NOW)
    heard(board, "a", 2, NOW + DEAD_US)
    board.take_dead(NOW + DEAD_US)
    assert board.is_blind(NOW + DEAD_US)
    heard(board, "a", 3, NOW + DEAD_US + GRACE_US)
    assert board.is_trusted(NOW + DEAD_US + GRACE_US)
    assert not board.is_blind(NOW + DEAD_US + GRACE_US)


def test_start_goes_on_until_each_host_has_told_all() -> None:
    board = HostBoard()
    board.expect("b", NOW)
    heard(board, "a", 1)
    board.note_start(7, NOW)
    assert board.find_due_start(NOW + REPEAT_US - 1, None) is None, "written just now"
    assert board.find_due_start(NOW + REPEAT_US, None) == 7
    heard(board, "b", 1)
    assert board.find_due_start(NOW + REPEAT_US, None) is None
    assert not heard(board, "b", 3)
    assert board.find_due_start(NOW + REPEAT_US, None) is None, "a lost report is no start"
    assert board.find_due_start(NOW + REPEAT_US, 9) == 9, "no host is heard"


def test_own_stall_makes_no_host_dead_and_gives_up_nobody() -> None:
    board = HostBoard()
    heard(board, "a", 1)
    board.add_unknown([ANNA])
    board.extend_deadlines(GRACE_US, NOW + GRACE_US)
    assert board.take_dead(NOW + GRACE_US) == {}
    assert board.is_trusted(NOW + GRACE_US)
    assert board.take_given_up(NOW + GRACE_US) == []


def test_report_that_waited_for_a_stall_to_end_makes_no_host_heard_in_the_future() -> None:
    board = HostBoard()
    end_us = NOW + GRACE_US
    heard(board, "a", 1, end_us)
    board.add_unknown([replace(ANNA, since_us=end_us)])
    board.extend_deadlines(GRACE_US, end_us)
    assert not board.is_trusted(end_us + STALE_US)
    assert board.take_dead(end_us + DEAD_US) == {"a": end_us}
    assert board.take_given_up(end_us + GRACE_US) == [replace(ANNA, since_us=end_us)]
