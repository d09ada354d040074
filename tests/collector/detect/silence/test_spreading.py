"""The share shown for a cut: the vantages that fell in it, and no more."""

from random import Random

import pytest

from heliograph.units import SECOND_US
from heliograph_collector.detect import detect_silence
from heliograph_collector.detect.silence.openings import raise_shares
from heliograph_collector.detect.stats.voting import VoteCount
from heliograph_collector.incidents.incident import Bracket, Incident
from heliograph_collector.model.scope import AffectedCell, Scope
from heliograph_collector.model.signals import Goodbye, VantageLocation, VantageRef
from support.presence_model import Signals, at, country, drop, live, world

ONSET = 7_200.0
HOUR = 3_600.0


def play(home: list[VantageRef], signals: Signals) -> Incident:
    quiet = live([*home, *world(each=3)], Random(3), ONSET / HOUR, churn=0.2)
    found = detect_silence(quiet + signals, at(ONSET + HOUR)).incidents
    (cut,) = [i for i in found if i.scope.country == "KZ" and i.confirmed_us is not None]
    return cut


def test_share_of_a_cut_grows_while_it_spreads() -> None:
    """Version 120 kept the share of the moment in which it was confirmed."""
    home = country(each=3)
    order = Random(2).sample(home, len(home))
    signals = [
        signal
        for number, vantage in enumerate(order)
        for signal in drop([vantage], ONSET + 240.0 * number / len(order), Random(number))
    ]
    assert play(home, signals).parts[0].share >= 0.95


def test_share_of_a_cut_does_not_grow_by_those_who_say_goodbye() -> None:
    home = country(each=3)
    order = Random(2).sample(home, len(home))
    silent = order[: len(order) * 7 // 10]
    last, *leaving = order[len(silent) :]
    signals: Signals = [
        Goodbye(at(ONSET + 300.0 + 5.0 * number), vantage.nym)
        for number, vantage in enumerate(leaving)
    ]
    signals += drop(silent, ONSET, Random(1)) + drop([last], ONSET + 600.0, Random(2))
    assert play(home, signals).parts[0].share <= 0.75


@pytest.mark.parametrize(("late_s", "share"), [(899, 0.9), (901, 0.7)])
def test_share_of_a_cut_grows_for_a_quarter_of_an_hour(late_s: int, share: float) -> None:
    """Later people go to bed in it."""
    cells = (AffectedCell(Scope("KZ"), 10, 0.7, 3),)
    votes = {VantageLocation("KZ", "ALA", 1, "fixed"): VoteCount(10, 9)}
    started = Bracket(at(ONSET), at(ONSET + 60))
    (cell,) = raise_shares(cells, votes, started, started.latest_us + late_s * SECOND_US)
    assert cell.share == share
