"""Vantages that leave together, by choice or with a country's only network.

Written apart from the detectors, from reports and from physics.
"""

from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.model.scope import Scope
from support.foreign_world import AT, DAY, HOUR, Down, Land
from support.reported_events import MINUTE
from support.strange_truths import StrangeScene, Truth


def pray_at_feast(land: Land) -> None:
    """Three quarters of phones are off for an hour's prayer on a feast's morning.

    Id al-Fitr, some 50 minutes after sunrise, here at 7:30 local time, in all countries by clock.
    """
    land.settle(phones=(14, 12))
    offsets = {"KZ": 5, "TR": 3, "ID": 7}
    for person in land.people:
        is_phone = person.access == "mobile" and person.country in offsets
        if is_phone and land.rng.random() < 0.75:
            at = DAY + (7.5 - offsets[person.country]) * HOUR + land.rng.gauss(0, 400)
            person.downs.append(Down(at, at + 50 * MINUTE + land.rng.gauss(0, 500)))


def end_campaign_by_clock(land: Land) -> None:
    """A campaign's agents, a third of the fleet, stop in one minute, for good."""
    land.settle(lines=(12, 8), phones=(7, 5))
    came = land.add("KZ", 9, 10, "fixed") + land.add("KZ", 9, 20, "mobile", nat=3)
    for person in came:
        person.enrolled = -20 * DAY
        person.downs.append(Down(AT + land.rng.uniform(0, 40), AT + 60 * DAY))


def cut_campaign_with_all(land: Land) -> None:
    """A campaign's agents stop while the whole country is cut off."""
    land.settle(lines=(12, 8), phones=(7, 5))
    came = land.add("KZ", 9, 10, "fixed") + land.add("KZ", 9, 20, "mobile", nat=3)
    for person in came:
        person.enrolled = -20 * DAY
    people = [person for person in land.select() if person.access != "hosting"]
    land.cut(people, AT, AT + 3 * HOUR, 20)


def cut_one_network(land: Land) -> None:
    """A country's one network with vantages, a university's, is cut (as in Eritrea)."""
    land.add("KZ", 14, 50, "fixed", regions="A")
    land.settle((), ())
    land.people = [person for person in land.people if person.access != "hosting"]
    land.cut(land.select(), AT, AT + 5 * HOUR, 10)


def ration_power(land: Land) -> None:
    """Thirds of the country's lines lose power in turn, for 4 h each, for a week.

    By street and not by region (Lebanon, 2021): each network and region loses some of its lines.
    """
    land.settle(lines=(16, 14), phones=(8, 6))
    for person in land.select(access="fixed"):
        group = int(person.name[1:]) % 3
        for turn in range(group, 42, 3):
            at = AT + turn * 4 * HOUR + land.rng.uniform(0, 20)
            until = at + 4 * HOUR + land.rng.uniform(-60, 200)
            person.downs.append(Down(at, until, rebooted=land.rng.random() < 0.7))


SCENES = {
    "power by thirds": StrangeScene(ration_power, (), 7 * 24, (IncidentKind.POWER,)),
    "a feast's prayer": StrangeScene(pray_at_feast, (), 32),
    "a campaign's clock": StrangeScene(end_campaign_by_clock, (), 12),
    "a campaign in a cut": StrangeScene(cut_campaign_with_all, (Truth(until=AT + 3 * HOUR),), 6),
    "a university alone": StrangeScene(
        cut_one_network,
        (Truth(Scope("KZ", asn=50), AT, AT + 5 * HOUR, within_s=300, is_suspicion_enough=True),),
        8,
    ),
}
