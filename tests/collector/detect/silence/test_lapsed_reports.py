"""A state that blocks our address first and then cuts the country has made a cut."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.incident import Incident, IncidentKind
from heliograph_collector.model.signals import (
    OfflineReport,
    VantageArrival,
    VantageLoss,
    VantageRef,
)
from support.examples import draw_seeds
from support.presence_model import Signals, at, country, live, world

ONSET = 7_200.0
CUT = ONSET + 240
LATER_CUT = ONSET + 420  # by then the block is confirmed
ENTRANCES = ("session/0", "session/1", "session/2")


def _lose(vantage: VantageRef, heard_s: float) -> VantageLoss:
    return VantageLoss(at(heard_s + 37.5), vantage.nym, at(heard_s))


def _find_way(vantage: VantageRef, heard_s: float, back_s: float, entrance: str) -> Signals:
    """Bring a vantage back by another entrance; it reports a working link."""
    told = OfflineReport(
        at(back_s + 2), vantage.nym, at(heard_s), at(back_s), alive=True, online=True,
        carrier=entrance, measured_us=at(heard_s + 20),
    )  # fmt: skip
    return [VantageArrival(at(back_s), replace(vantage, carrier=entrance)), told]


def _block_first(
    rng: Random, every: int = 3, within_s: float = 190
) -> tuple[Sequence[VantageRef], Signals]:
    """Let all lose their entrance; return those who find the second before the cut."""
    people, others = country(each=3), world()
    first = [replace(v, carrier=ENTRANCES[0]) for v in people + others]
    signals = live(first, rng, ONSET / 3_600, churn=1.0)
    finders = first[: len(people) : every]
    for vantage in first[: len(people)]:
        heard_s = ONSET + rng.uniform(0, 20)
        signals.append(_lose(vantage, heard_s))
        if vantage in finders:
            back_s = heard_s + rng.uniform(60, within_s)
            signals += _find_way(vantage, heard_s, back_s, ENTRANCES[1])
    return finders, signals


def _list_cuts(signals: Signals, until_s: float) -> list[Incident]:
    told = detect_silence(signals, at(until_s)).incidents
    cuts = [i for i in told if i.kind is IncidentKind.SILENCE and i.confirmed_us is not None]
    return [i for i in cuts if i.scope.country == "KZ"]


def test_cut_after_a_block_of_our_address_is_told_within_ten_minutes() -> None:
    """Up to version 117 it stayed suspected for as long as it lasted."""
    for seed in draw_seeds(4):
        rng = Random(seed)
        finders, signals = _block_first(rng)
        signals += [_lose(v, CUT + rng.uniform(0, 30)) for v in finders]
        (cut,) = _list_cuts(signals, CUT + 6 * 3_600)
        assert cut.scope.is_national, seed
        assert (cut.confirmed_us or 0) <= at(CUT + 600), seed


def test_cut_after_a_block_that_was_told_is_an_incident_beside_it() -> None:
    """Up to version 118 it was a phase of the block."""
    for seed in draw_seeds(4):
        rng = Random(seed)
        finders, signals = _block_first(rng, every=2, within_s=380)
        signals += [_lose(v, LATER_CUT + rng.uniform(0, 30)) for v in finders]
        (cut,) = _list_cuts(signals, LATER_CUT + 6 * 3_600)
        assert cut.scope.is_national, seed
        assert (cut.confirmed_us or 0) <= at(LATER_CUT + 600), seed
        told = detect_silence(signals, at(LATER_CUT + 6 * 3_600)).incidents
        blocks = [i for i in told if i.kind is IncidentKind.COLLECTOR_BLOCKED]
        assert [b.confirmed_us is not None for b in blocks] == [True], seed


def test_second_entrance_that_is_blocked_too_is_no_cut() -> None:
    """A second entrance that is blocked too is no cut, if some find the third."""
    for seed in draw_seeds(4):
        rng = Random(seed)
        finders, signals = _block_first(rng)
        for number, vantage in enumerate(finders):
            heard_s = CUT + rng.uniform(0, 30)
            signals.append(_lose(vantage, heard_s))
            if number % 3 == 0:
                signals += _find_way(vantage, heard_s, heard_s + rng.uniform(60, 240), ENTRANCES[2])
        assert not _list_cuts(signals, CUT + 6 * 3_600), seed


def test_people_who_leave_one_by_one_keep_their_word() -> None:
    for seed in draw_seeds(4):
        rng = Random(seed)
        finders, signals = _block_first(rng)
        signals += [_lose(v, CUT + rng.uniform(0, 4 * 3_600)) for v in finders]
        assert not _list_cuts(signals, CUT + 6 * 3_600), seed
