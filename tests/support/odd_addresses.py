"""Fixed lines behind one address: a carrier's NAT, a campus, a firm with branches.

Written from physics, apart from the detectors. A carrier's NAT holds households of several cities;
a campus stands in one; a firm sends all of its branches' traffic through its headquarters.
"""

from heliograph_collector.model.scope import Scope
from support.foreign_world import AT, HOUR, Down, Land, Person
from support.strange_fades import break_by_chance
from support.strange_truths import COUNTRY, StrangeScene, Truth, may

_LATER = AT + 48 * HOUR  # after two days and nights
_UNTIL = AT + 3 * HOUR
_CARRIER = Scope("KZ", asn=10)


def cut_hundreds(land: Land) -> None:
    """Cut all but two data centers of a country: two hundred lines behind one address."""
    land.cut(_settle(land, 200), AT, _UNTIL, 20)


def fade_hundreds(land: Land) -> None:
    """Lines behind one address fade one by one within 40 minutes; a tenth stays."""
    for person in _settle(land, 200):
        if land.rng.random() < 0.9:
            since = _LATER + land.rng.uniform(0, 2_400)
            back = _LATER + 3 * HOUR + land.rng.uniform(0, 60)
            person.downs.append(Down(since, back, told=False))


def cut_twelve(land: Land) -> None:
    """Cut twelve lines behind a carrier's address; six of another carrier stay up."""
    land.cut(_settle(land, 12, others=6), AT, _UNTIL, 10)


def restart_nat(land: Land) -> None:
    """A carrier's NAT restarts: all sessions are lost, and begin again within 90 s."""
    for person in _settle(land, 200, others=6):
        person.downs.append(Down(AT, AT + 20 + land.rng.uniform(0, 70)))


def darken_campus(land: Land) -> None:
    """A campus of forty has no power for two hours; its data center has a generator."""
    land.settle()
    for person in land.add("KZ", 40, 10, "fixed", nat=1, regions="A"):
        back = AT + 2 * HOUR + land.rng.uniform(0, 120)
        person.downs.append(Down(AT + land.rng.uniform(0, 5), back, rebooted=True))


def lose_headquarters(land: Land) -> None:
    """Twelve machines in three cities lose the line of their firm's headquarters."""
    land.settle()
    land.cut(land.add("KZ", 12, 10, "fixed", nat=1, regions="AABAC"), AT, AT + 2 * HOUR, 5)


def _settle(land: Land, lines: int, others: int = 0) -> list[Person]:
    """Add lines behind one address, others not, two data centers and the witnesses."""
    land.settle(lines=(), phones=())
    behind = land.add("KZ", lines, 10, "fixed", nat=1, regions="AABAC")
    for person in behind + land.add("KZ", others, 11, "fixed"):
        break_by_chance(land, person)
    return behind


SCENES = {
    "hundreds behind one address": StrangeScene(cut_hundreds, (Truth(_CARRIER),), most=1),
    "hundreds behind one address fade": StrangeScene(
        fade_hundreds,
        (Truth(_CARRIER, _LATER, _LATER + 3 * HOUR, within_s=2_700), may(COUNTRY, "", _LATER)),
        60,
        most=1,
    ),
    "twelve behind one address": StrangeScene(cut_twelve, (Truth(_CARRIER),), most=1),
    "a carrier's NAT restarts": StrangeScene(restart_nat),
    "a campus without power": StrangeScene(darken_campus),
    "a firm's headquarters": StrangeScene(lose_headquarters),
}
