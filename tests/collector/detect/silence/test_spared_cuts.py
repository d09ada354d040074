"""A cut of what a power failure or a block spared is an incident by itself."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random

import pytest

from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.incident import Incident, IncidentKind, IncidentState
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import (
    OfflineReport,
    VantageArrival,
    VantageLocation,
    VantageLoss,
    VantageRef,
)
from heliograph_lab.evaluate.population import OPERATORS
from support.examples import limit_examples
from support.presence_model import Signals, at, drop, live, people, world
from support.silence_steps import follow

ONSET = 7_200.0
HOUR = 3_600.0
BLOCKED, OTHER = "session/0", "web"
REGIONS = ("ALA", "AST", "VOS", "KAR", "AKT")
Choice = Callable[[VantageRef], bool]


def _is_line(vantage: VantageRef) -> bool:
    return vantage.place.access == "fixed"


def _is_phone(vantage: VantageRef) -> bool:
    return vantage.place.access == "mobile"


def _is_apart(vantage: VantageRef) -> bool:
    return vantage.place.region == "KAR"


def _is_of_operator(vantage: VantageRef) -> bool:
    return vantage.place.asn == 101


def _is_other_line(vantage: VantageRef) -> bool:
    return _is_line(vantage) and not _is_apart(vantage)


def _list_home(phones: int) -> list[VantageRef]:
    """Three lines of each of three operators in every region, and so many phones."""
    home = [
        vantage
        for region in REGIONS
        for asn, access in OPERATORS
        for vantage in people(
            VantageLocation("KZ", region, asn, access), 3 if access == "fixed" else phones
        )
    ]
    return [replace(vantage, carrier=BLOCKED) for vantage in home]


def _live(home: list[VantageRef], rng: Random) -> Signals:
    others = [replace(v, carrier=(BLOCKED, OTHER)[n % 2]) for n, v in enumerate(world())]
    return live(home + others, rng, ONSET / HOUR, churn=0)


def _fail(lines: list[VantageRef], rng: Random, signs: float) -> Signals:
    """Cut the lines' power; a share of them report at last that they are on battery."""
    signals: Signals = [VantageArrival(at(60), line, on_battery=False) for line in lines]
    for line in lines:
        heard_s = ONSET + rng.uniform(-15, 15)
        is_seen = rng.random() < signs
        lost = at(heard_s + 37.5), line.nym, at(heard_s)
        signals.append(VantageLoss(*lost, on_battery=is_seen))
    return signals


def _block(people_: list[VantageRef], since_s: float, rng: Random) -> Signals:
    """All lose our entrance, and find another one in minutes."""
    signals: Signals = []
    for vantage in people_:
        heard_s = since_s + rng.uniform(-15, 15)
        back_s = heard_s + rng.uniform(90, 360)
        told = at(back_s + 2), vantage.nym, at(heard_s), at(back_s)
        signals += [
            VantageLoss(at(heard_s + 37.5), vantage.nym, at(heard_s)),
            VantageArrival(at(back_s), replace(vantage, carrier=OTHER)),
            OfflineReport(*told, alive=True, online=True, carrier=OTHER,
                          measured_us=at(heard_s + 20)),
        ]  # fmt: skip
    return signals


def _detect(signals: Signals, until_s: float) -> list[Incident]:
    return [i for i in detect_silence(signals, at(until_s)).incidents if i.scope.country == "KZ"]


def _follow(signals: Signals, *checks_s: float) -> Iterator[list[Incident]]:
    """Yield the incidents at each of these times, by one detector that reads on."""
    for incidents in follow(signals, map(at, checks_s)):
        yield [i for i in incidents if i.scope.country == "KZ"]


SPARED: dict[str, tuple[Choice, Choice, int, Scope]] = {
    "phones": (_is_line, _is_phone, 3, Scope("KZ", access="mobile")),
    "an operator's phones": (_is_line, _is_of_operator, 3, Scope("KZ", asn=101)),
    "a region": (_is_other_line, _is_apart, 3, Scope("KZ", "KAR")),
    "a region of few phones": (_is_other_line, _is_apart, 1, Scope("KZ", "KAR")),
}


@pytest.mark.parametrize("signs", [0.0, 0.7], ids=["held", "told"])
@pytest.mark.parametrize("gap_s", [HOUR, 2.5 * HOUR])
@pytest.mark.parametrize("where", SPARED)
def test_a_cut_of_what_has_power_is_told_beside_a_power_failure(
    where: str, gap_s: float, signs: float
) -> None:
    """Up to version 133 it was a phase of the power failure, or nothing was told."""
    has_failed, is_cut, phones, scope = SPARED[where]
    rng = Random(1)
    home = _list_home(phones)
    failed = [v for v in home if has_failed(v)]
    signals = _live(home, rng) + _fail(failed, rng, signs)
    signals += drop([v for v in home if is_cut(v) and v not in failed], ONSET + gap_s, rng)
    power, cut = _detect(signals, ONSET + gap_s + 300)
    assert power.kind is IncidentKind.POWER or power.held == ("power",)
    assert not power.cuts[1:]
    assert (cut.kind, cut.state, cut.held) == (IncidentKind.SILENCE, IncidentState.CONFIRMED, ())
    assert cut.scope == scope


@pytest.mark.parametrize("seed", [2, 3])
def test_phones_that_go_with_their_masts_are_a_phase_of_the_power_failure(seed: int) -> None:
    rng = Random(seed)
    home = _list_home(3)
    signals = _live(home, rng) + _fail([v for v in home if _is_line(v)], rng, 0.7)
    for phone in (v for v in home if _is_phone(v)):
        signals += drop([phone], ONSET + rng.uniform(HOUR, 2 * HOUR), rng)
    told = _detect(signals, ONSET + 3 * HOUR)
    assert {incident.kind for incident in told} == {IncidentKind.POWER}


@pytest.mark.parametrize("gap_s", [HOUR, 2.5 * HOUR])
@pytest.mark.parametrize("phones", [1, 3])
@pytest.mark.parametrize("where", ["phones", "a region"])
def test_a_cut_of_those_that_a_block_spared_is_no_part_of_the_block(
    where: str, phones: int, gap_s: float
) -> None:
    """All others have left the entrance, and show nothing of those who use it still."""
    is_cut, scope = SPARED[where][1], SPARED[where][3]
    rng = Random(1)
    home = _list_home(phones)
    blocked = [v for v in home if not is_cut(v)]
    signals = _live(home, rng) + _block(blocked, ONSET, rng)
    signals += drop([v for v in home if is_cut(v)], ONSET + gap_s, rng)
    soon, later = _follow(signals, ONSET + gap_s + 100, ONSET + gap_s + 400)
    block, cut = soon
    assert (block.kind, cut.state) == (IncidentKind.COLLECTOR_BLOCKED, IncidentState.SUSPECTED)
    block, cut = later
    assert (cut.kind, cut.state, cut.scope) == (
        IncidentKind.SILENCE, IncidentState.CONFIRMED, scope,
    )  # fmt: skip
    assert not block.cuts[1:]


@pytest.mark.parametrize("seed", range(1, 1 + limit_examples(3)))
def test_a_block_that_reaches_region_after_region_is_one_and_never_a_cut(seed: int) -> None:
    """Up to version 133 a region of which nobody was back after 100 s was told as cut."""
    rng = Random(seed)
    home = _list_home(3)
    signals = _live(home, rng)
    onsets_s = [ONSET + 2.5 * HOUR * number for number in range(len(REGIONS))]
    for region, since_s in zip(REGIONS, onsets_s, strict=True):
        signals += _block([v for v in home if v.place.region == region], since_s, rng)
    checks_s = [since_s + 120 for since_s in onsets_s]
    *meanwhile, last = _follow(signals, *checks_s, ONSET + 12 * HOUR)
    for told in meanwhile:
        assert all(i.confirmed_us is None or i.kind is IncidentKind.COLLECTOR_BLOCKED for i in told)
    (block,) = last
    assert block.kind is IncidentKind.COLLECTOR_BLOCKED
