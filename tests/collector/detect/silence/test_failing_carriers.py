"""A carrier that fails in other countries too is no block; a few losses elsewhere hide none."""

from collections.abc import Iterable
from dataclasses import replace
from random import Random

from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.model.signals import (
    OfflineReport,
    VantageArrival,
    VantageLoss,
    VantageRef,
)
from support.examples import draw_seeds
from support.presence_model import Signals, at, country, live, world

ONSET = 7_200.0


def _use_session(vantages: Iterable[VantageRef]) -> list[VantageRef]:
    return [replace(vantage, carrier="session") for vantage in vantages]


def _lose(vantages: Iterable[VantageRef], begin_s: float, rng: Random) -> Signals:
    lost_s = {v.nym: begin_s + rng.uniform(0, 15) for v in vantages}
    return [VantageLoss(at(heard_s + 37.5), nym, at(heard_s)) for nym, heard_s in lost_s.items()]


def _evade(vantages: Iterable[VantageRef], begin_s: float, rng: Random) -> Signals:
    """They lose the entrance, and most are back by post within two minutes, with their word."""
    signals: Signals = []
    for vantage in vantages:
        heard_s = begin_s + rng.uniform(0, 15)
        signals.append(VantageLoss(at(heard_s + 37.5), vantage.nym, at(heard_s)))
        if rng.random() < 0.8:
            back_s = heard_s + rng.uniform(40, 120)
            signals.append(VantageArrival(at(back_s), replace(vantage, carrier="post")))
            signals.append(
                OfflineReport(
                    at(back_s + 2), vantage.nym, at(heard_s), at(back_s), alive=True, online=True,
                    carrier="post", measured_us=at(heard_s + 30),
                )
            )  # fmt: skip
    return signals


def test_a_block_is_told_within_five_minutes_though_a_few_fell_next_door() -> None:
    """An operator next door fails minutes before, or in the same minute, and stays away."""
    for seed in draw_seeds(6):
        rng = Random(seed)
        people, others = _use_session(country(each=2)), _use_session(world())
        beside = [v for v in others if v.place.country == "XA"]
        few = rng.sample(beside, max(3, round(0.15 * len(beside))))
        signals = live(people + others, rng, 4, churn=0.0)
        signals += _evade(people, ONSET, rng) + _lose(few, ONSET - rng.choice((0, 200)), rng)
        (told,) = [i for i in detect_silence(signals, at(ONSET + 300)).incidents if i.confirmed_us]
        assert told.kind is IncidentKind.COLLECTOR_BLOCKED, seed
        assert told.scope.country == "KZ", seed


def test_a_fault_of_ours_that_reaches_country_after_country_is_no_block() -> None:
    """Each country falls 45 seconds after the last, and finds the other way as fast."""
    for seed in draw_seeds(6):
        rng = Random(seed)
        people, others = _use_session(country(each=2)), _use_session(world())
        signals = live(people + others, rng, 4, churn=0.0) + _evade(people, ONSET, rng)
        names = sorted({v.place.country for v in others})
        for turn, name in enumerate(names, start=1):
            reached = [v for v in others if v.place.country == name]
            signals += _evade(reached, ONSET + 45 * turn, rng)
        told = detect_silence(signals, at(ONSET + 1_800)).incidents
        assert [i for i in told if i.confirmed_us is not None] == [], seed
