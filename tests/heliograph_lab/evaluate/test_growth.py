"""A suspicion that grows is another row, as the feed revises it."""

from random import Random

from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import sort_signals
from heliograph_collector.sources.replay import Replay
from heliograph_lab.evaluate.detectors import detect
from support.presence_model import KZ, T0, at, country, drop, live, world

HOURS = 18
ONSET = 14 * 3_600.0  # evening: people may switch off, so it is not confirmed at once


def test_country_that_drains_is_told_again_as_twice_as_many_are_gone() -> None:
    rng = Random(2)
    people = country(each=1) + world()
    signals = live(people, rng, HOURS, churn=0.1)
    for number, vantage in enumerate(v for v in people if KZ(v)):
        signals += drop([vantage], ONSET + 600.0 * number, rng)
    replay = Replay("drain", 0, T0, at(HOURS * 3_600), sort_signals(signals), [], [], people)
    rows = [row for row in detect(replay) if row.scope == Scope("KZ")]
    early, later, *_ = rows
    assert not early.confirmed
    assert not later.confirmed
    assert early.incident == later.incident
    assert later.at_us - early.at_us > 1_200_000_000
