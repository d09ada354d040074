"""Tests in a silence report a link where no line does."""

import pytest

from heliograph.units import HOUR_US, MINUTE_US, SECOND_US
from heliograph_collector.model.signals import (
    OfflineReport,
    ServiceVote,
    VantageArrival,
    VantageLocation,
    VantageLoss,
    VantageRef,
    VantageSignal,
    VoteValue,
)
from heliograph_collector.sources.tested_links import drop_dead_tests, report_tested_links

HEARD_US = 10 * HOUR_US
LOST_US = HEARD_US + 38 * SECOND_US
BACK_US = HEARD_US + 2 * HOUR_US
SENT_US = BACK_US + 5 * SECOND_US
PERSON = VantageRef("a", "line", VantageLocation("KZ"))

SIGNALS: list[VantageSignal] = [
    VantageArrival(9 * HOUR_US, PERSON),
    VantageLoss(LOST_US, "a", HEARD_US),
    VantageArrival(BACK_US, PERSON),
]


def made_after(
    minutes: float, value: VoteValue, service: str = "telegram"
) -> tuple[int, ServiceVote]:
    """Return a test some minutes after the last heartbeat, sent at the return."""
    return SENT_US, ServiceVote(HEARD_US + int(minutes * MINUTE_US), PERSON, service, value)


def test_the_first_test_that_answered_is_told_when_it_came() -> None:
    votes = [made_after(5, VoteValue.GOOD), made_after(13, VoteValue.GOOD)]
    (report,) = report_tested_links(SIGNALS, votes)
    assert isinstance(report, OfflineReport)
    assert (report.at_us, report.since_us, report.until_us) == (SENT_US, HEARD_US, BACK_US)
    assert report.online
    assert report.measured_us == HEARD_US + 5 * MINUTE_US


def test_a_test_that_comes_by_another_way_reports_at_once() -> None:
    _, vote = made_after(5, VoteValue.GOOD)
    (report,) = report_tested_links(SIGNALS[:2], [(vote.at_us + SECOND_US, vote)])
    assert isinstance(report, OfflineReport)
    assert report.until_us == vote.at_us


@pytest.mark.parametrize("minutes", [0.5, 119.9, 90])
def test_a_test_beside_the_silence_or_late_in_it_tells_nothing(minutes: float) -> None:
    """Before the loss the link worked, and after a repair it works again."""
    assert not list(report_tested_links(SIGNALS, [made_after(minutes, VoteValue.GOOD)]))


def test_a_service_that_a_cut_spares_is_no_link() -> None:
    spared = [made_after(minutes, VoteValue.GOOD, "bank") for minutes in (5, 13)]
    failing = [made_after(minutes, VoteValue.BLOCKED) for minutes in (4, 12)]
    assert not list(report_tested_links(SIGNALS, failing + spared))


def test_a_line_that_says_whether_the_link_worked_is_enough() -> None:
    stated = OfflineReport(SENT_US, "a", HEARD_US, BACK_US, alive=True, online=False)
    assert not list(report_tested_links([*SIGNALS, stated], [made_after(5, VoteValue.GOOD)]))


def test_what_fails_on_a_dead_link_says_nothing_of_the_service() -> None:
    votes = [made_after(minutes, VoteValue.BLOCKED) for minutes in (-5, 5, 100)]
    standings = [vote.standing for _, vote in drop_dead_tests(SIGNALS, votes)]
    assert standings == [VoteValue.BLOCKED, VoteValue.UNKNOWN, VoteValue.UNKNOWN]


def test_what_fails_beside_a_service_that_answers_is_blocked() -> None:
    votes = [made_after(5, VoteValue.GOOD, "signal"), made_after(6, VoteValue.BLOCKED)]
    assert drop_dead_tests(SIGNALS, votes) == votes
