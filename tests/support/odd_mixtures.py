"""Blocks of our address, cuts of odd fleets, and partial silences of all networks.

Written from physics, apart from the detectors; what no report gives is assumed.
"""

from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.model.scope import Scope
from support.foreign_world import AT, DAY, HOUR, Down, Land, clock
from support.reported_events import people_of
from support.rough_fleets import join_silences
from support.strange_truths import COUNTRY, MOBILE, StrangeScene, Truth, may

OURS = (IncidentKind.COLLECTOR_BLOCKED,)
FRIDAY = 1 * DAY  # 14 November 2025
SHORT = tuple(
    day * DAY + hour * HOUR for day, hour in ((1, 3.1), (2, 17.4), (3, 8.8), (4, 22.2), (5, 12.6))
)
PHONES = (MOBILE, Scope("KZ", asn=20), Scope("KZ", asn=21))


def block_at_one_operator(land: Land) -> None:
    """Our address is blocked at the largest operator; its agents switch entrances."""
    land.settle()
    for person in [*land.select(asn=10), *land.select(asn=20)]:
        at = AT + land.rng.uniform(0, 20)
        back = at + 15 + land.rng.expovariate(1 / 60)
        person.downs.append(Down(at, back, told=True, entrance="second"))


def block_without_another_way(land: Land) -> None:
    """Our address is blocked for three hours, without another entrance.

    On their return all agents report that anchors answered all the time.
    """
    land.settle()
    for person in people_of(land):
        at = AT + land.rng.uniform(0, 20)
        person.downs.append(Down(at, AT + 3 * HOUR + land.rng.uniform(0, 300), told=True))


def cut_young_fleet(land: Land) -> None:
    """All of a country's agents joined on the day before; all is cut off."""
    land.settle()
    for person in people_of(land):
        person.enrolled = AT - land.rng.uniform(25, 40) * HOUR
    land.cut(people_of(land), AT, AT + 4 * HOUR, 20)


def cut_on_weekend(land: Land) -> None:
    """Half of the lines are dark on weekends; on the third Saturday all is cut."""
    land.settle(lines=(16, 14))
    offices = land.select(access="fixed")[::2]
    for week in range(3):
        for person in offices:
            at = FRIDAY + week * 7 * DAY + 13 * HOUR + land.rng.gauss(0, 1_800)
            person.downs.append(Down(at, at + 60 * HOUR + land.rng.gauss(0, 1_800)))
    land.cut(people_of(land), FRIDAY + 15 * DAY + 10 * HOUR, FRIDAY + 15 * DAY + 15 * HOUR, 20)
    join_silences(land)


def give_back_a_third(land: Land) -> None:
    """All is cut; six minutes later a third is back, as allow-listed; it lasts 5 h."""
    land.settle()
    for person in people_of(land):
        is_listed = land.rng.random() < 0.3
        back = AT + (360 if is_listed else 5 * HOUR) + land.rng.uniform(0, 60)
        person.downs.append(Down(AT + land.rng.uniform(0, 15), back, told=False))


def switch_off_prepaid(land: Land) -> None:
    """Half of all phones, with unregistered cards, are switched off in a minute.

    For good, in all networks alike (Pakistan 2014, Tanzania 2020, in hours there).
    """
    land.settle(phones=(14, 12))
    for person in land.select(access="mobile"):
        if land.rng.random() < 0.5:
            person.downs.append(Down(AT + land.rng.uniform(0, 60), AT + 60 * DAY))


def cut_beside_few(land: Land) -> None:
    """A cut; in the rest of the world are three vantages."""
    land.settle()
    few = land.select("TR")[:3]
    land.people = [*land.select(), *few]
    land.cut(people_of(land), AT, AT + 3 * HOUR, 15)


def cut_five_minutes_at_any_hour(land: Land) -> None:
    """Five minutes of a cut on each of six days, at any hour."""
    land.settle()
    for at in SHORT:
        land.cut(people_of(land), at, at + 300, 5)


def sell_operator(land: Land) -> None:
    """Two operators swap half of their lines in an hour of the night; none is lost."""
    land.settle(lines=(14, 12, 8))
    for asn, other in ((10, 11), (11, 10)):
        for person in land.select(asn=asn)[::2]:
            at = 21 * HOUR + land.rng.uniform(0, HOUR)
            person.downs.append(Down(at, at + land.rng.uniform(15, 90), asn=other))
    join_silences(land)


def lose_time(land: Land) -> None:
    """After a cut all report it, but by clocks that are hours off."""
    land.settle()
    land.cut(people_of(land), AT, AT + HOUR, 20)
    for person in people_of(land):
        off = land.rng.choice((-3, -1, 1, 3)) * HOUR
        person.downs[-1].told = None
        span = {"since": clock(AT + 20 + off), "until": clock(AT + HOUR + off)}
        line = {"kind": "report", "vantage": person.name, "at": clock(AT + HOUR + 90)}
        land.faults.append({**line, **span, "alive": True, "online": False})


def drain_by_expiry(land: Land) -> None:
    """Half of all phones end for good in six nights, as cards of a campaign expire."""
    land.settle(phones=(14, 12))
    for person in land.select(access="mobile"):
        if land.rng.random() < 0.5:
            day = land.rng.randint(1, 6)
            person.downs.append(Down(day * DAY + 19 * HOUR + land.rng.uniform(0, 60), 90 * DAY))


SCENES = {
    "our address, at one operator": StrangeScene(block_at_one_operator, (), 6, OURS),
    "a young fleet": StrangeScene(
        cut_young_fleet,
        (Truth(until=AT + 4 * HOUR, within_s=600, is_suspicion_enough=True),),
        7,
    ),
    "a weekend": StrangeScene(
        cut_on_weekend,
        (
            Truth(
                COUNTRY,
                FRIDAY + 15 * DAY + 10 * HOUR,
                FRIDAY + 15 * DAY + 15 * HOUR,
                "",
                300,
                HOUR,
            ),
        ),
        18 * 24,
    ),
    "a third given back": StrangeScene(
        give_back_a_third,
        (
            Truth(COUNTRY, AT, AT + 5 * HOUR),
            may(COUNTRY, "", AT, AT + 5 * HOUR),
        ),
        8,
    ),
    "prepaid cards": StrangeScene(switch_off_prepaid, tuple(may(scope) for scope in PHONES), 30),
    "few beside": StrangeScene(cut_beside_few, (Truth(is_suspicion_enough=True, within_s=600),), 6),
    "five minutes at any hour": StrangeScene(
        cut_five_minutes_at_any_hour,
        tuple(Truth(COUNTRY, at, at + 360, is_suspicion_enough=True) for at in SHORT),
        6 * 24,
    ),
    "lines swapped": StrangeScene(sell_operator, (), 24),
    "clocks hours off": StrangeScene(lose_time, (Truth(COUNTRY, AT, AT + HOUR),), 6),
    "cards expire": StrangeScene(drain_by_expiry, (may(MOBILE),), 8 * 24),
    "our address, no other way": StrangeScene(
        block_without_another_way, (may(COUNTRY, "", AT, AT + 3 * HOUR),), 7, OURS
    ),
}
