"""A cable takes whole operators: they are named, not the country, though each has few votes."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from heliograph_collector.detect import detect_silence
from heliograph_collector.detect.stats.localization import localize
from heliograph_collector.detect.stats.voting import count_votes
from heliograph_collector.detect.stats.whole_parts import name_whole_parts
from heliograph_collector.incidents.incident import Incident
from heliograph_collector.incidents.public_cells import publishable
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import VantageLocation, VantageRef
from heliograph_collector.model.thresholds import THRESHOLDS
from support.presence_model import at, confirmed, drop, live, people, world

# Votes of each operator here, and which of them a cable takes: 14 of 19, and 16 of 24. Measured on
# worlds of the `reroute` family; up to version 150 both were told as the country.
FOUR_OF_SIX = {101: (1, True), 102: (4, True), 103: (5, True), 203: (4, True), 201: (2, False)}
FOUR_OF_SIX |= {202: (3, False)}
FOUR_EACH = {asn: (4, asn not in (103, 203)) for asn in (101, 102, 103, 201, 202, 203)}
# Of 18 votes three live, of two operators; up to version 174 this was told as the country.
FEW_LIVE = {101: (4, True), 102: (4, True), 103: (3, True), 201: (4, True), 202: (2, False)}
FEW_LIVE |= {203: (1, False)}
REGIONS = ("ALA", "AST", "SHY", "VOS")
ONSET = 5 * 3_600.0


def _settle(sizes: dict[int, tuple[int, bool]]) -> list[VantageRef]:
    return [
        vantage
        for asn, (count, _) in sizes.items()
        for number in range(count)
        for vantage in people(VantageLocation("KZ", REGIONS[number % 4], asn, _access(asn)), 1)
    ]


def _access(asn: int) -> str:
    return "mobile" if asn < 200 else "fixed"


def _localize(votes: list[tuple[VantageRef, bool]]) -> list[Scope]:
    return [cell.scope for cell in localize(count_votes(votes), 0.6, 5)]


def _name(votes: list[tuple[VantageRef, bool]]) -> list[Scope]:
    counted = count_votes(votes)
    return [c.scope for c in name_whole_parts(localize(counted, 0.6, 5), counted)]


@pytest.mark.parametrize(
    ("sizes", "named"),
    [
        (FOUR_OF_SIX, [102, 103, 203]),
        (FOUR_EACH, [101, 102, 201, 202]),
        (FEW_LIVE, [101, 102, 103, 201]),
    ],
    ids=["one of a single vote is not named", "four of four votes each", "three votes live"],
)
def test_operators_that_fell_whole_are_named(
    sizes: dict[int, tuple[int, bool]], named: list[int]
) -> None:
    votes = [(v, sizes[v.place.asn][1]) for v in _settle(sizes)]
    assert _localize(votes) == [Scope("KZ")]
    assert _name(votes) == [Scope("KZ", asn=asn) for asn in named]


def test_regions_that_fell_whole_are_named() -> None:
    regions = {f"R{n}": n < 7 for n in range(10)}
    places = [VantageLocation("KZ", r, 101 + n, "fixed") for r in regions for n in range(3)]
    votes = [(people(place, 1)[0], regions[place.region]) for place in places]
    assert _name(votes) == [Scope("KZ", region) for region, fell in regions.items() if fell]


@pytest.mark.parametrize(("access", "first"), [("mobile", 100), ("fixed", 200)])
def test_operators_of_one_access_are_named_where_another_lives(access: str, first: int) -> None:
    """All phones, or all lines, were named up to version 155."""
    sizes = {first + 1: (8, True), first + 2: (5, True), first + 3: (4, False)}
    sizes |= {304 - first: (6, False), 305 - first: (6, False)}  # of the other access
    votes = [(v, sizes[v.place.asn][1]) for v in _settle(sizes)]
    assert _localize(votes)[-1] == Scope("KZ", access=access)
    assert _name(votes) == [Scope("KZ", asn=first + 1), Scope("KZ", asn=first + 2)]


def test_an_operator_with_lines_that_live_is_named_for_its_phones() -> None:
    settled = {("mobile", 1): True, ("mobile", 2): True, ("mobile", 3): False, ("fixed", 1): False}
    votes = [
        (vantage, is_silent)
        for (access, asn), is_silent in settled.items()
        for region in REGIONS
        for vantage in people(VantageLocation("KZ", region, asn, access), 1)
    ]
    assert _localize(votes) == [Scope("KZ", access="mobile")]
    assert _name(votes) == [Scope("KZ", asn=1, access="mobile"), Scope("KZ", asn=2)]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("living", [0.1, 0.2, 0.3])
def test_a_remainder_of_lines_anywhere_is_a_country_that_was_cut(seed: int, living: float) -> None:
    rng = Random(seed)
    votes = [(v, rng.random() >= living) for v in _settle(dict.fromkeys(FOUR_EACH, (5, True)))]
    assert _name(votes) == _localize(votes)


def _is_phone_elsewhere(place: VantageLocation) -> bool:
    return place.asn != 103


def _is_no_center(place: VantageLocation) -> bool:
    return place.access != "hosting"


@pytest.mark.parametrize("is_cut", [_is_phone_elsewhere, _is_no_center])
def test_a_country_with_one_exemption_stays_a_country(
    is_cut: Callable[[VantageLocation], bool],
) -> None:
    """One operator of the state, or the data centers of several, live in any cut."""
    centers = [
        v for n in (301, 302, 303) for v in people(VantageLocation("KZ", "ALA", n, "hosting"), 3)
    ]
    votes = [(v, is_cut(v.place)) for v in [*_settle(FOUR_EACH), *centers]]
    assert _name(votes) == [Scope("KZ")]


def test_phones_behind_one_nat_live_together_as_one_line() -> None:
    """Six of them and a line of another operator are no two operators that live whole."""
    sizes = dict.fromkeys((101, 102, 201, 202), (3, True)) | {103: (6, False), 203: (1, False)}
    settled = [replace(v, prefix="nat") if v.place.asn == 103 else v for v in _settle(sizes)]
    votes = count_votes([(v, sizes[v.place.asn][1]) for v in settled], THRESHOLDS.nat_votes)
    cells = localize(votes, 0.6, 5)
    assert [cell.scope for cell in cells] == [Scope("KZ")]
    assert name_whole_parts(cells, votes) == cells


def _follow(rest_s: float | None, until_s: float) -> list[Incident]:
    rng = Random(3)
    home = _settle(FOUR_EACH)
    cut = [v for v in home if FOUR_EACH[v.place.asn][1]]
    signals = live([*home, *world(each=2)], rng, ONSET / 3_600, churn=0.0)
    signals += drop(cut, ONSET, rng)
    if rest_s is not None:
        signals += drop([v for v in home if v not in cut], rest_s, rng)
    return confirmed(detect_silence(signals, at(until_s)).incidents)


def test_a_cable_is_told_as_its_operators_and_publicly_no_wider_than_it_shows() -> None:
    (cut,) = _follow(None, ONSET + 300)
    assert [part.scope.asn for part in cut.parts] == [101, 102, 201, 202]
    assert cut.label == "several-operators"
    public = publishable(cut, None, 5.0)  # nobody reads of an operator of four persons
    assert public is not None
    (part,) = public.parts
    assert part.scope == Scope("KZ")
    assert part.share == 0.6


def test_the_rest_that_falls_later_makes_it_the_country() -> None:
    (cut,) = _follow(ONSET + 1_200, ONSET + 1_800)
    fallen = {part.scope.asn for part in cut.parts}
    assert Scope("KZ") in [p.scope for p in cut.parts] or fallen == set(FOUR_EACH)
    assert len(cut.turns) >= 2  # each with its own time
