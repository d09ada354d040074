"""Runs of failing rows in one network: found before five rows failed, or not."""

from collections.abc import Sequence
from random import Random

import pytest

from heliograph.units import DAY_US, HOUR_US
from heliograph_collector.detect.replay import replay_signals
from heliograph_collector.incidents.incident import IncidentState
from heliograph_collector.model.signals import ServiceVote, VantageLocation, VantageRef, VoteValue
from support.sparse_replay import confirm, hours_after

BEGAN_US = 1_764_806_400_000_000  # 4 December 2025
ONSET_H = 45 * 24 + 5.8  # 18 January 2026, 05:46
ONSET_US = BEGAN_US + round(ONSET_H * HOUR_US)
MTN = 20294
GOOD = (0.8, 2.8, 2.9, 4.2, 5.4)  # hours of that day, as OONI's rows of Uganda have them
BAD = (5.8, 6.7, 9.0, 10.2, 12.0, 12.4, 12.7, 13.2)


def row(hour: float, *, is_bad: bool, service: str = "x.com", asn: int = MTN) -> ServiceVote:
    name = f"{hour}-{asn}"
    witness = VantageRef(name, name, VantageLocation("UG", "", asn, ""))
    value = VoteValue.BLOCKED if is_bad else VoteValue.GOOD
    return ServiceVote(BEGAN_US + round(hour * HOUR_US), witness, service, value)


def past(rng: Random, days: int = 44, a_day: int = 3, chance: float = 0.02) -> list[ServiceVote]:
    return [
        row(24 * day + rng.uniform(0, 24), is_bad=rng.random() < chance)
        for day in range(days)
        for _ in range(a_day)
    ]


def on_the_day(good: Sequence[float] = GOOD, bad: Sequence[float] = BAD) -> list[ServiceVote]:
    return [row(45 * 24 + h, is_bad=h in bad) for h in (*good, *bad)]


def test_a_block_is_told_by_the_third_row_that_fails() -> None:
    """Uganda 2026 in shape: OONI's own detector, edd 10, flagged it after 13 hours."""
    (told,) = confirm([*past(Random(1)), *on_the_day()])
    assert told.state is IncidentState.CONFIRMED
    assert (told.scope.country, told.scope.asn, told.service) == ("UG", MTN, "x.com")
    assert 3.2 < hours_after(ONSET_US, told) <= 3.6
    assert told.started.latest_us == ONSET_US


def test_a_run_that_ends_at_once_is_closed() -> None:
    after = [row(45 * 24 + 10 + n / 4, is_bad=False) for n in range(8)]
    (told,) = confirm([*past(Random(1)), *on_the_day(bad=BAD[:3]), *after])
    assert told.state is IncidentState.CLOSED
    assert told.confidence < 0.5
    assert told.ended is not None
    assert told.ended.latest_us < BEGAN_US + 45 * DAY_US + 12 * HOUR_US


@pytest.mark.parametrize(
    "votes",
    [
        [*past(Random(1), days=10), *on_the_day()],  # ten days, 35 days before
        [*past(Random(1), chance=0.2), *on_the_day()],  # it often fails
        [*past(Random(1)), *on_the_day(good=())],  # who fails may be the only host
        [*past(Random(1)), *on_the_day(bad=(5.8, 6.0, 6.2, 6.4))],  # of one hour
        [*past(Random(1)), *on_the_day(bad=(5.8, 12.0, 17.5))],  # hours apart
        [*past(Random(1)), *on_the_day(good=(*GOOD, 6.0, 8.0))],  # between them it worked
    ],
)
def test_what_less_than_five_rows_cannot_tell_waits(votes: Sequence[ServiceVote]) -> None:
    assert not any(0 < hours_after(ONSET_US, told) <= 3.6 for told in confirm(votes))


def test_what_failed_in_a_row_before_will_do_so_again() -> None:
    host = [row(24 * day + hour, is_bad=True) for day in (20, 30) for hour in (3.0, 4.0, 5.0)]
    votes = sorted([*past(Random(1)), *host], key=lambda vote: vote.at_us)
    told = confirm([*votes, *on_the_day()])
    assert not any(0 < hours_after(ONSET_US, incident) <= 3.6 for incident in told)


@pytest.mark.parametrize(("others_fail", "is_early"), [(False, True), (True, False)])
def test_other_services_that_fail_as_well_are_the_line_of_a_host(
    others_fail: bool, is_early: bool
) -> None:
    others = [
        row(45 * 24 + h + 0.1, is_bad=others_fail and h >= 5.8, service="bbc.com")
        for h in (*GOOD, *BAD)
    ]
    told = [i for i in confirm([*past(Random(1)), *on_the_day(), *others]) if i.service == "x.com"]
    assert (hours_after(ONSET_US, told[0]) <= 3.6 if told else False) is is_early


def test_five_rows_tell_of_a_block_however_far_they_lie() -> None:
    bad = (5.8, 9.6, 13.4, 17.2, 21.0)
    (told,) = confirm([*past(Random(1)), *on_the_day(good=(0.8,), bad=bad)])
    assert bad[-1] - 5.8 <= hours_after(ONSET_US, told) <= bad[-1] - 5.8 + 0.5


def test_the_rows_of_all_networks_tell_together() -> None:
    """None of three networks has three rows that fail."""
    networks = (MTN, 37_075, 37_063)
    before = [
        row(24 * day + 7 * n + 3, is_bad=(day + n) % 40 == 0, asn=networks[n])
        for day in range(44)
        for n in range(3)
    ]
    day = [row(45 * 24 + 5.8 + 0.5 * n, is_bad=True, asn=networks[n % 3]) for n in range(6)]
    (told,) = confirm([*before, *day])
    assert (told.scope.country, told.scope.asn) == ("UG", 0)
    assert 1.0 < hours_after(ONSET_US, told) <= 2.5


@pytest.mark.parametrize("holes", [0, 1])  # of five rows of each that is blocked
@pytest.mark.parametrize(("blocked", "is_told"), [(3, True), (6, False)])
def test_other_services_that_are_blocked_too_contradict_nothing(
    blocked: int, holes: int, *, is_told: bool
) -> None:
    """Other services that are blocked too contradict nothing.

    Of six others three fail with it, while three work; or all fail, as on a bad evening.
    """
    votes = [*past(Random(1)), *on_the_day()]
    for number in range(6):
        for index, hour in enumerate((6.0, 6.5, 7.0, 7.5, 8.5)):
            at = 45 * 24 + hour + number / 60
            is_bad = number < blocked and index >= holes
            votes.append(row(at, is_bad=is_bad, service=f"{number}.org"))
    told = [incident for incident in confirm(votes) if incident.service == "x.com"]
    assert any(hours_after(ONSET_US, incident) <= 3.6 for incident in told) == is_told


def test_few_rows_a_day_tell_of_a_block_by_the_fifth() -> None:
    """One row fails every 20 hours, where three came a day."""
    bad = [5.8 + 20 * n for n in range(6)]
    (told,) = confirm([*past(Random(1)), *on_the_day(good=(0.8,), bad=bad)])
    assert told.state is IncidentState.CONFIRMED
    assert 80 <= hours_after(ONSET_US, told) <= 81


def test_where_six_of_a_hundred_rows_fail_five_of_six_are_chance() -> None:
    """So it was in one play of a country with ten services in five networks."""
    networks = range(1, 6)
    votes = [
        row(24 * day + 12 * half + n / 4, is_bad=False, service=f"{n}.org", asn=asn)
        for day in range(44)
        for half in range(2)
        for n in range(9)
        for asn in networks
    ]
    votes += [
        row(24 * day + hour, is_bad=(day + hour) % 16 == 0, asn=networks[hour % 5])
        for day in range(44)
        for hour in range(24)
    ]
    votes += [row(45 * 24 + hour, is_bad=False, asn=1) for hour in GOOD]
    votes += [row(45 * 24 + 5.8 + 0.6 * n, is_bad=n != 2, asn=networks[n % 5]) for n in range(6)]
    votes += [row(45 * 24 + 9.4 + n / 2, is_bad=False, asn=networks[n % 5]) for n in range(9)]
    assert not confirm(votes)


def test_a_block_that_no_hours_confirm_is_one_suspicion_and_not_one_a_day() -> None:
    """Three rows fail each evening, of a service with a row a day."""
    votes = [row(24 * day + 3, is_bad=False, asn=MTN + day % 2) for day in range(44)]
    for day in range(45, 52):
        votes += [row(24 * day + 17 + n, is_bad=True, asn=MTN + n % 2) for n in range(3)]
    (told,) = replay_signals((), [(vote.at_us, vote) for vote in votes]).incidents
    assert told.suspected_us == BEGAN_US + (45 * 24 + 20) * HOUR_US
