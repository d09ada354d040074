"""Absences that are no cuts, of kinds that the other worlds do not have.

Written apart from the detectors, from reports (the year is named) and from physics. A power failure
may be reported as such, and one failing network as silent; a country never.
"""

import math

from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.model.scope import Scope
from support.foreign_world import AT, DAY, HOUR, Down, Land
from support.reported_events import MINUTE, people_of
from support.strange_cuts import move_for_a_time, settle_few
from support.strange_truths import COUNTRY, StrangeScene, may

STARLINK = 14_593
POWER = (IncidentKind.POWER,)


def black_out_by_district(land: Land) -> None:
    """Six districts lose power in turn for two hours each, day and night (Kyiv, 2022).

    Desktops die at once and reboot on return, laptops live on behind a dead router, and phones
    leave the dead Wi-Fi for the mobile network, whose masts have batteries for some hours.
    """
    land.settle(lines=(18, 18), phones=(8, 8))
    for person in people_of(land):
        person.region = "ABCDEF"[int(person.name[1:]) % 6]
    for turn in range(12):
        since = AT - HOUR + turn * 2 * HOUR
        for person in land.select(region="ABCDEF"[turn % 6], access="fixed"):
            at = since + land.rng.uniform(0, 15)
            until = since + 2 * HOUR + land.rng.uniform(60, 300)
            draw = int(person.name[1:]) % 10
            if draw < 3:
                phone = Down(at, at, asn=20, access="mobile", prefix="KZ-20-0")
                move_for_a_time(land, person, phone, until)
            else:
                person.downs.append(Down(at, until, rebooted=draw < 7, ran_on=draw >= 7))


def fail_nats(land: Land) -> None:
    """NATs of a mobile operator fail: phones without IPv6 are dark, all else lives on.

    Half of an operator's phones have IPv6 beside (APNIC's share of many mobile networks); these
    begin their session again by it within a minute.
    """
    land.settle(phones=(14, 8))
    for person in land.select(asn=20):
        at = AT + land.rng.uniform(0, 30)
        if land.rng.random() < 0.5:
            person.downs.append(Down(at, AT + 2 * HOUR + land.rng.uniform(0, 200), told=False))
        else:
            person.downs.append(Down(at, at + land.rng.uniform(20, 60)))


def update_phones_at_night(land: Land) -> None:
    """Most phones install an update in one night and restart between 2 and 5 o'clock.

    Minutes each, some half an hour (overnight installs of Android and iOS), by local time.
    """
    land.settle(phones=(14, 12))
    offsets = {"KZ": 5, "TR": 3, "BR": -3, "ID": 7, "PL": 1}
    for person in land.people:
        if person.access == "mobile" and land.rng.random() < 0.75:
            local = 26 + abs(land.rng.gauss(0, 0.7))
            at = (local - offsets[person.country]) * HOUR
            lasts = 90 + land.rng.lognormvariate(math.log(180), 0.8)
            person.downs.append(Down(at, at + lasts, rebooted=True))


def change_by_ramadan(land: Land) -> None:
    """People switch off at night; from day eight on five hours later (Ramadan).

    Awake until the meal before dawn, asleep in the morning; and an hour's clock change on day 12.
    """
    land.settle(phones=(10, 8))
    sleepers = [p for p in people_of(land) if land.rng.random() < 0.6]
    for day in range(15):
        shift = (5 if day >= 7 else 0) - (1 if day >= 11 else 0)
        for person in sleepers:
            since = day * DAY + (17 + shift) * HOUR + land.rng.gauss(0, 1_800)
            lasts = (8 if day < 7 else 6) * HOUR + land.rng.gauss(0, 1_800)
            person.downs.append(Down(since, since + lasts))


def double_the_fleet(land: Land) -> None:
    """A campaign doubles the fleet in a day; after 16 days half of them leave at once."""
    land.settle(lines=(10, 8), phones=(7, 5))
    came = land.add("KZ", 14, 10, "fixed") + land.add("KZ", 12, 20, "mobile", nat=3)
    came += land.add("KZ", 6, 13, "fixed")
    for number, person in enumerate(came):
        person.enrolled = AT + land.rng.uniform(0, 10 * HOUR)
        person.downs.append(Down(land.start + 90, person.enrolled))
        if number % 2:
            at = AT + 16 * DAY + land.rng.uniform(0, 3 * HOUR)
            person.downs.append(Down(at, AT + 60 * DAY))


def cut_three(land: Land) -> None:
    """Three vantages in a country, all cut off for three hours: too few to be sure of."""
    settle_few(land, (1, 1), (1,))
    land.cut(people_of(land), AT, AT + 3 * HOUR, 10)


def live_as_few(land: Land) -> None:
    """Five vantages switch off each night and lose their lines eight times a day."""
    settle_few(land, (2, 1), (1, 1))
    for person in people_of(land):
        at = land.start
        while at < land.end:
            at += land.rng.expovariate(8 / DAY)
            person.downs.append(Down(at, at + land.rng.lognormvariate(math.log(400), 1.5)))
        for day in range(30):
            since = day * DAY + 18 * HOUR + land.rng.gauss(0, 1_800)
            if land.rng.random() < 0.8:
                person.downs.append(Down(since, since + 8 * HOUR + land.rng.gauss(0, 1_800)))


def end_prepaid_month(land: Land) -> None:
    """Two fifths of the phones have no data from midnight of the 1st until topped up."""
    land.settle(phones=(14, 12))
    for person in land.select(access="mobile"):
        if land.rng.random() < 0.4:
            at = 19 * HOUR + land.rng.uniform(0, 60)
            person.downs.append(Down(at, at + land.rng.uniform(0.3, 30) * HOUR, told=False))


def reconnect_after_blackout(land: Land) -> None:
    """All routers of a region reconnect every 24 h together, as a blackout timed them.

    German providers ended each line after 24 h for another address (Telekom's "Zwangstrennung");
    timers run from the last dial, so that a blackout sets all of a region's to one minute.
    """
    land.settle(lines=(16, 12))
    for person in land.select(region="A", access="fixed"):
        person.downs.append(Down(AT, AT + HOUR + land.rng.uniform(60, 120), rebooted=True))
        for day in range(1, 7):
            at = AT + HOUR + 90 + day * DAY + land.rng.uniform(0, 60)
            prefix = f"{person.name}-{day}"
            person.downs.append(Down(at, at + land.rng.uniform(25, 100), prefix=prefix))


def feign_by_newcomers(land: Land) -> None:
    """Sixty keys of one day, in others' networks, go dark at once, twice."""
    land.settle()
    for asn, access in ((10, "fixed"), (11, "fixed"), (20, "mobile"), (21, "mobile")):
        for person in land.add("KZ", 15, asn, access, nat=0):
            person.enrolled = AT - land.rng.uniform(2, 9) * HOUR
            person.downs.append(Down(land.start + 90, max(land.start + 200, person.enrolled)))
            person.downs += [Down(AT, AT + HOUR, told=False), Down(AT + 2 * HOUR, AT + 9 * HOUR)]


def feign_by_a_third(land: Land) -> None:
    """Three tenths of the established vantages go dark at once by agreement."""
    land.settle(lines=(14, 10, 8), phones=(8, 6))
    for asn in (10, 11, 20):
        people = land.select(asn=asn)
        for person in people[: round(0.4 * len(people))]:
            person.downs.append(Down(AT, AT + 2 * HOUR, told=False))


def doze(land: Land) -> None:
    """After an update three fifths of the phones run the agent minutes per hour.

    Android's doze (since version 6) has maintenance windows, different for each phone; the update
    reaches all within half a day.
    """
    land.settle(phones=(14, 12))
    for person in land.select(access="mobile"):
        if land.rng.random() < 0.6:
            at = AT + land.rng.uniform(0, 12 * HOUR)
            while at < land.end:
                person.downs.append(Down(at, at + 48 * MINUTE + land.rng.uniform(0, 240)))
                at += HOUR + land.rng.uniform(-300, 300)


def reset_all_sessions(land: Land) -> None:
    """A border box resets all connections every 10 min for 2 h; agents reconnect."""
    land.settle()
    for person in people_of(land):
        for turn in range(12):
            at = AT + turn * 600 + land.rng.uniform(0, 2)
            person.downs.append(Down(at, at + land.rng.uniform(5, 65), closed=True))


def lose_constellation(land: Land) -> None:
    """A satellite network fails worldwide for 2.5 h (Starlink, 24 July 2025).

    In one country three fifths of the vantages have it, in another a fifth.
    """
    land.settle()
    for country, count in (("TR", 18), ("KZ", 9), ("BR", 4), ("ID", 3)):
        land.add(country, count, STARLINK, "fixed")
    for person in [p for p in land.people if p.asn == STARLINK]:
        at = AT + land.rng.uniform(0, 240)
        person.downs.append(Down(at, AT + 2.4 * HOUR + land.rng.uniform(0, 900), told=False))


def switch_off_in_curfew(land: Land) -> None:
    """In a curfew with little power half of the lines are switched off each night.

    Each evening from 20 o'clock half an hour long, back from 5 o'clock on (Sri Lanka, 2022).
    """
    land.settle(lines=(16, 14), phones=(8, 6))
    savers = [p for p in land.select(access="fixed") if land.rng.random() < 0.55]
    for day in range(8):
        for person in savers:
            at = day * DAY + 15 * HOUR + land.rng.uniform(0, 1_800)
            person.downs.append(Down(at, at + 9 * HOUR + land.rng.uniform(0, 1_800)))


SCENES = {
    "districts without power": StrangeScene(
        black_out_by_district,
        tuple(may(Scope("KZ", region), "", AT - HOUR) for region in "ABCDEF"),
        28,
        POWER,
    ),
    "NATs fail, IPv6 lives": StrangeScene(fail_nats, (may(Scope("KZ", asn=20)),)),
    "phones updated at night": StrangeScene(update_phones_at_night, (), 36),
    "Ramadan": StrangeScene(change_by_ramadan, (), 15 * 24),
    "a fleet doubled": StrangeScene(double_the_fleet, (), 17 * 24),
    "three": StrangeScene(cut_three, (may(COUNTRY),), 8),
    "few that sleep": StrangeScene(live_as_few, (), 20 * 24),
    "end of a prepaid month": StrangeScene(end_prepaid_month, (), 50),
    "routers in step": StrangeScene(
        reconnect_after_blackout, (may(Scope("KZ", "A"), "", AT, AT + HOUR + 120),), 7 * 24, POWER
    ),
    "newcomers feign": StrangeScene(feign_by_newcomers, (), 13),
    "a third feign": StrangeScene(feign_by_a_third),
    "phones doze": StrangeScene(doze, (), 52),
    "sessions reset": StrangeScene(reset_all_sessions, (), 6),
    "a constellation": StrangeScene(
        lose_constellation,
        tuple(may(Scope(country, asn=STARLINK)) for country in ("TR", "KZ", "BR", "ID")),
        7,
    ),
    "a curfew that saves power": StrangeScene(switch_off_in_curfew, (), 8 * 24),
}
