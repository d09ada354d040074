"""OONI's CUSUM by hand: an hour of zeros adds 0.35, of ones 0.65 the other way."""

from collections.abc import Iterable

import pytest

from heliograph.units import SECOND_US
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import ServiceVote, VantageLocation, VantageRef, VoteValue
from heliograph_collector.sources.replay import Replay
from heliograph_lab.evaluate.baselines.ooni import ooni, ooni_slow

HOUR = 3_600 * SECOND_US
WHO = VantageRef("a", "a", VantageLocation("UG", "", 20294, "mobile"))


def told(hour: int, standing: VoteValue, layer: str = "tcp", votes: int = 1) -> list[ServiceVote]:
    return [
        ServiceVote(hour * HOUR + i * SECOND_US, WHO, "telegram", standing, layer)
        for i in range(votes)
    ]


def hours(*spans: tuple[int, int, VoteValue]) -> list[ServiceVote]:
    return [
        o for first, last, standing in spans for h in range(first, last) for o in told(h, standing)
    ]


CALM = hours((0, 40, VoteValue.GOOD))


def replay(opinions: Iterable[ServiceVote], until: int = 400) -> Replay:
    return Replay("hours", 0, 0, until * HOUR, (), list(opinions), (), ())


def test_a_block_is_told_six_hours_of_data_later_and_half_past() -> None:
    """A block is found half past six hours of data later.

    5 hours of ones reach 3.25, below h = 3.5; the sixth crosses it. h = 7: the eleventh.
    """
    made = replay([*CALM, *hours((40, 80, VoteValue.BLOCKED))])
    (alarm,) = ooni(made)
    assert alarm.at_us == 46 * HOUR + HOUR // 2
    assert (alarm.scope, alarm.service, alarm.kind) == (Scope("UG", asn=20294), "telegram", "block")
    assert (alarm.layer, alarm.confirmed, alarm.ended_at_us) == ("tcp", True, None)
    (slow,) = ooni_slow(made)
    assert slow.at_us == 51 * HOUR + HOUR // 2


def test_the_end_takes_eleven_hours_of_zeros() -> None:
    made = ooni(replay([*CALM, *hours((40, 60, VoteValue.BLOCKED), (60, 90, VoteValue.GOOD))]))
    assert [a.ended_at_us for a in made] == [71 * HOUR + HOUR // 2]


def test_the_first_crossing_only_settles_the_state_and_silence_is_no_block() -> None:
    assert ooni(replay(hours((0, 90, VoteValue.BLOCKED)))) == []
    assert ooni(replay(hours((0, 9, VoteValue.GOOD), (9, 90, VoteValue.BLOCKED)))) == []
    assert ooni(replay(CALM)) == []


def test_a_gap_halves_what_was_summed_up_every_two_days() -> None:
    """A gap halves the sum every two days.

    Five hours of ones, two days and an hour of nothing: just under a half is left.
    """
    before = [(0, 40, VoteValue.GOOD), (40, 45, VoteValue.BLOCKED)]
    (soon,) = ooni(replay(hours(*before, (46, 90, VoteValue.BLOCKED))))
    (late,) = ooni(replay(hours(*before, (93, 120, VoteValue.BLOCKED))))
    assert soon.at_us == 47 * HOUR + HOUR // 2
    assert late.at_us == 96 * HOUR + HOUR // 2  # 3.25 x 0.5: 1.6 + 3 x 0.65 > 3.5


@pytest.mark.parametrize(
    "standing", [VoteValue.DOWN, VoteValue.PARTIAL, VoteValue.THROTTLED, VoteValue.UNKNOWN]
)
def test_what_it_has_no_score_for_is_never_told(standing: VoteValue) -> None:
    assert ooni(replay([*CALM, *hours((40, 90, standing))])) == []


@pytest.mark.parametrize(("good", "blocked", "alarms"), [(2, 1, 0), (1, 2, 1)])
def test_the_median_of_an_hour_breaks_with_half_of_its_rows(
    good: int, blocked: int, alarms: int
) -> None:
    mixed = []
    for h in range(40, 90):
        mixed += told(h, VoteValue.GOOD, votes=good) + told(h, VoteValue.BLOCKED, votes=blocked)
    assert len(ooni(replay([*CALM, *mixed]))) == alarms


def test_layers_are_series_of_their_own() -> None:
    dns = [o for h in range(40, 60) for o in told(h, VoteValue.BLOCKED, "dns")]
    tls = [o for h in range(60, 90) for o in told(h, VoteValue.BLOCKED, "tls")]
    made = ooni(replay([*CALM, *dns, *tls]))
    assert [(a.layer, a.at_us // HOUR) for a in made] == [("dns", 46), ("tls", 66)]
    assert made[0].ended_at_us == 71 * HOUR + HOUR // 2
