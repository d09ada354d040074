"""Returns of one operator's phones, and returns one by one, open a cut."""

from random import Random

import pytest

from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.incident import Incident, PhaseDirection
from heliograph_collector.model.signals import VantageLocation, VantageRef
from heliograph_lab.evaluate.population import FIXED, MOBILE
from support.presence_model import KZ, OLD_US, Signals, at, country, drop, live, people, world

ONSET = 7_200.0
END = ONSET + 7_200.0
SECOND = 1_000_000


def play(vantages: list[VantageRef], signals: Signals, until_s: float) -> Incident:
    quiet = live(vantages, Random(3), ONSET / 3_600, churn=0.2)
    found = detect_silence(quiet + signals, at(until_s)).incidents
    (cut,) = [i for i in found if i.scope.country == "KZ" and i.confirmed_us is not None]
    return cut


def list_openings(cut: Incident) -> list[tuple[int, float]]:
    """List when each opening was seen, and the share of its first cell."""
    openings = [turn for turn in cut.turns if turn.way is PhaseDirection.OPENING]
    return [(turn.seen_us, turn.parts[0].share) for turn in openings]


def test_phones_behind_one_nat_are_back_in_a_cut() -> None:
    """Phones behind one NAT are back in a cut.

    Version 85 counted their NAT as one line, and reported no return of theirs.
    """
    phones = [
        VantageRef(f"phone-{n}", "nat", VantageLocation("KZ", region, MOBILE[0], "mobile"), OLD_US)
        for n, region in enumerate(("ALA", "AST", "VOS") * 3)
    ]
    lines = [v for asn in FIXED for v in people(VantageLocation("KZ", "ALA", asn, "fixed"), 6)]
    rng = Random(1)
    signals = drop(lines, ONSET, rng) + drop(phones, ONSET, rng, END)
    cut = play([*phones, *lines, *world(each=3)], signals, END + 600)
    ((seen_us, _),) = list_openings(cut)
    assert seen_us <= at(END + 240)
    assert {part.scope.asn for part in cut.turns[-1].parts} == {MOBILE[0]}


@pytest.mark.parametrize("hours", [1.0, 3.0])
def test_two_fifths_that_came_back_one_by_one_are_an_opening(hours: float) -> None:
    """Two fifths that came back one by one are an opening.

    Version 85 reported it when the cut was over: no three came within three minutes.
    """
    home = country(each=2)
    order = Random(2).sample(home, len(home))
    signals: Signals = []
    for number, vantage in enumerate(order):
        back_s = END + hours * 3_600 * number / len(order)
        signals += drop([vantage], ONSET, Random(number), back_s)
    cut = play([*home, *world(each=3)], signals, END + hours * 3_600 + 600)
    ((seen_us, share),) = list_openings(cut)
    told_s = END + hours * 3_600 * 0.4
    assert at(told_s - 300) <= seen_us <= at(told_s + 120)
    assert share >= 0.4


def test_phones_of_which_most_were_late_are_told_to_be_back() -> None:
    """Phones of which most were late are reported as back.

    An opening named a third of them, and none of those who followed, until the end.
    """
    home = country(each=2)
    rng = Random(6)
    phones = [v for v in home if v.place.access == "mobile"]
    signals = drop([v for v in home if v not in phones], ONSET, rng, END + 7_200)
    for number, vantage in enumerate(phones):
        signals += drop([vantage], ONSET, rng, END + (30 * number if number % 3 else 0))
    cut = play([*home, *world(each=3)], signals, END + 3_600)
    openings = list_openings(cut)
    assert [share >= 0.8 for _, share in openings] == [False, True]
    assert openings[-1][0] <= at(END + 600)
    (part,) = cut.turns[-1].parts
    assert part.scope.access == "mobile"


def test_what_is_back_is_told_once() -> None:
    """A return is reported once.

    One operator is back, and one phone of each other one; version 110 reported it 18 times.
    """
    home = country(each=2)
    rng = Random(6)
    signals: Signals = []
    singles = {next(v for v in home if v.place.asn == asn) for asn in (MOBILE[0], MOBILE[2])}
    for phone in (v for v in home if v.place.access == "mobile"):
        is_back = phone in singles or phone.place.asn == MOBILE[1]
        signals += drop([phone], ONSET, rng, END + (0 if is_back else 3_600))
    cut = play([*home, *world(each=3)], signals, END + 3_000)
    (opening,) = [turn for turn in cut.turns if turn.way is PhaseDirection.OPENING]
    assert [part.scope.asn for part in opening.parts] == [MOBILE[1]]


def test_few_that_come_back_one_by_one_are_none() -> None:
    home = country(each=2)
    signals = drop([v for v in home if KZ(v)], ONSET, Random(4))
    for number, vantage in enumerate(home[:12]):
        signals += drop([vantage], ONSET, Random(number), END + 600 * number)[1:]
    cut = play([*home, *world(each=3)], signals, END + 7_800)
    assert list_openings(cut) == []


def test_a_small_operator_that_is_back_first_is_an_opening() -> None:
    """Six of 246 are back at once, while the others are dark for two hours more.

    Version 151 told of it at the end: in all of the country they are no more than chance makes.
    """
    small = people(VantageLocation("KZ", "ALA", MOBILE[0], "mobile"), 6)
    large = [v for asn in FIXED for v in people(VantageLocation("KZ", "ALA", asn, "fixed"), 80)]
    rng = Random(1)
    signals = drop(large, ONSET, rng, END + 7_200) + drop(small, ONSET, rng, END)
    cut = play([*small, *large, *world(each=3)], signals, END + 1_800)
    ((seen_us, share),) = list_openings(cut)
    assert seen_us <= at(END + 240)
    assert share >= 0.9
    assert {part.scope.asn for part in cut.turns[-1].parts} == {MOBILE[0]}


def test_lines_outside_a_city_that_are_back_one_by_one_are_an_opening() -> None:
    """Twelve of twenty lines come back within half an hour, and no phone, as in K08 of 2022.

    They are a quarter of all. Version 190 told nothing of it.
    """
    home = country(each=3)
    lines = [v for v in home if v.place.access == "fixed"]
    back = [v for v in lines if v.place.region != "ALA"][:15]
    order = Random(2).sample(back, len(back))
    signals = drop([v for v in home if v not in back], ONSET, Random(1))
    for number, vantage in enumerate(order):
        signals += drop([vantage], ONSET, Random(number), END + 120 * number)
    cut = play([*home, *world(each=2)], signals, END + 3_600)
    ((seen_us, _),) = list_openings(cut)
    assert seen_us <= at(END + 2_400)
    assert {part.scope.access for part in cut.turns[-1].parts} == {"fixed"}
