"""Blocks and cuts that end slowly or by parts, and one that is seldom tested.

Written apart from the detectors, from reports (the year is named) and from physics.
"""

from heliograph_collector.model.scope import Scope
from support.foreign_world import AT, DAY, HOUR, Down, Land, Person, clock
from support.reported_events import people_of
from support.strange_blocks import GOOD, TLS, Said, draw, is_during, is_local, measure
from support.strange_truths import COUNTRY, StrangeScene, Truth

LASTS = {10: 2.0, 20: 3.2, 11: 4.4, 21: 5.6}  # hours, by operator


def lift_by_operators(land: Land) -> None:
    """A nationwide block is lifted operator by operator, 72 min apart (assumed)."""
    land.settle(lines=(14, 12), phones=(10, 9))
    for person in people_of(land):
        person.prefix = person.name

    def judge(person: Person, service: str, at: float) -> Said:
        is_bad = service == "telegram" and is_local(person)
        return TLS if is_bad and is_during(at, LASTS.get(person.asn, 0)) else GOOD

    measure(land, judge)


def lower_share(land: Land) -> None:
    """The broken share of a messenger's connections falls from all to none in 6 h."""
    land.settle()

    def judge(person: Person, service: str, at: float) -> Said:
        share = 1 - (at - AT) / (6 * HOUR) if is_during(at, 6) else 0.0
        is_bad = service == "telegram" and is_local(person)
        return TLS if is_bad and draw(person.name, at) < share else GOOD

    measure(land, judge)


def measure_each_two_hours(land: Land) -> None:
    """A service is tested each two hours alone, the slowest task of the default plan."""
    land.settle()
    for person in land.people:
        for service in ("telegram", "bank", "youtube"):
            at = land.start + 70 + land.rng.uniform(0, 2 * HOUR)
            is_second = False
            while at < land.end:
                is_bad = service == "youtube" and is_local(person) and is_during(at, 8)
                line = {"kind": "vote", "at": clock(at), "vantage": person.name}
                if not any(down.since - 10 <= at < down.until + 12 for down in person.downs):
                    land.faults.append({**line, "service": service, **(TLS if is_bad else GOOD)})
                is_second = is_bad and not is_second
                usual = 2 * HOUR * land.rng.uniform(0.9, 1.1)
                at += land.rng.uniform(10, 40) if is_second else usual


def return_within_days(land: Land) -> None:
    """All is cut; from the 20th hour on people return over nine days (Iran, 2026)."""
    land.settle()
    for person in people_of(land):
        person.downs = [down for down in person.downs if down.since < AT - HOUR]
        at = AT + land.rng.uniform(0, 1_800)
        back = AT + 20 * HOUR + land.rng.uniform(0, 9 * DAY)
        person.downs.append(Down(at, back, told=False))


SCENES = {
    "lifted by operators": StrangeScene(
        lift_by_operators,
        (
            Truth(COUNTRY, AT, AT + 2 * HOUR, "telegram", 420, 1e9),
            Truth(Scope("KZ", asn=11), AT, AT + 4.4 * HOUR, "telegram", 420, 1e9),
            Truth(Scope("KZ", asn=21), AT, AT + 5.6 * HOUR, "telegram", 420),
        ),
        9,
    ),
    "a share that falls": StrangeScene(
        lower_share,
        (Truth(COUNTRY, AT, AT + 4 * HOUR, "telegram", 420, 3.5 * HOUR),),
        11,
        most=3,
    ),
    "tested each two hours": StrangeScene(
        measure_each_two_hours,
        (Truth(COUNTRY, AT, AT + 8 * HOUR, "youtube", 10_800, 4 * HOUR),),
        16,
    ),
    "back within nine days": StrangeScene(
        return_within_days, (Truth(COUNTRY, AT, AT + 4.5 * DAY, "", 2_700, 6 * DAY),), 12 * 24
    ),
}
