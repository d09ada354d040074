"""Cuts, and silences that are none, of kinds that no other world has.

Written from reports (the year is named) and from physics, apart from the detectors. What no report
gives is assumed.
"""

from collections.abc import Sequence

from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.model.scope import Scope
from support.foreign_world import AT, DAY, HOUR, Down, Land, Person
from support.reported_events import MINUTE, people_of
from support.rough_fleets import join_silences
from support.strange_truths import COUNTRY, MOBILE, StrangeScene, Truth, may

OURS = (IncidentKind.COLLECTOR_BLOCKED,)
NIGHT = 21 * HOUR  # 02:00 in Kazakhstan
NOONS = tuple(day * DAY + 12 * HOUR for day in range(1, 9))


def cut_ninety_seconds_daily(land: Land) -> None:
    """All is cut off for 90 s at noon of each of eight days."""
    land.settle()
    for at in NOONS:
        land.cut(people_of(land), at, at + 90, 5)


def cut_as_plan_changes(land: Land) -> None:
    """Cut all while agents restart with another plan within two minutes.

    Half of the country's agents have said goodbye by then, and never come.
    """
    land.settle()
    names = {p.name for p in people_of(land)}
    for person in land.people:
        at = AT + land.rng.uniform(0, 120)
        if person.name in names and at > AT + 60:
            person.downs.append(Down(AT + 60 + land.rng.uniform(0, 5), AT + 3 * HOUR, told=False))
            continue
        back = at + land.rng.uniform(5, 60)
        if person.name in names and back > AT + 60:
            back = AT + 3 * HOUR + land.rng.uniform(0, 60)
        person.downs.append(Down(at, back, goodbye=True))
        if person.name in names and back < AT + 60:
            person.downs.append(Down(AT + 62, AT + 3 * HOUR, told=False))
    join_silences(land)


def enrol_before_cut(land: Land) -> None:
    """Cut all for four hours after a campaign in which 200 joined within an hour."""
    land.settle()
    for asn, access in ((10, "fixed"), (11, "fixed"), (20, "mobile"), (21, "mobile")):
        for person in land.add("KZ", 50, asn, access, nat=5 if access == "mobile" else 0):
            person.enrolled = AT - land.rng.uniform(60, 3_600)
            person.downs.append(Down(land.start + 90, person.enrolled))
    land.cut(people_of(land), AT, AT + 4 * HOUR, 15)


def lose_anchors_in_block(land: Land) -> None:
    """Block our address while all of our anchors are down worldwide for hours.

    Agents return by another entrance within minutes, and report that no anchor answered.
    """
    land.settle()
    for person in land.select():
        at = AT + land.rng.uniform(0, 20)
        back = at + 15 + land.rng.expovariate(1 / 60)
        person.downs.append(Down(at, back, told=False, entrance="second"))


def lose_anchors_in_cut(land: Land) -> None:
    """Cut all while all of our anchors are down; no agent returns until the end."""
    land.settle()
    land.cut(people_of(land), AT, AT + 3 * HOUR, 20)
    for country in ("TR", "BR", "ID", "PL"):
        for person in land.select(country):
            at = AT + land.rng.uniform(0, 3 * HOUR)
            person.downs.append(Down(at, at + land.rng.uniform(60, 300), told=False))
    join_silences(land)


def merge_networks(land: Land) -> None:
    """Move an operator's lines to another in three minutes; the next day cut both."""
    land.settle(lines=(14, 10, 8))
    for person in land.select(asn=11):
        at = NIGHT + land.rng.uniform(0, 180)
        person.downs.append(Down(at, at + land.rng.uniform(15, 60), asn=10))
    both = [*land.select(asn=10), *land.select(asn=11)]
    land.cut(both, AT + DAY, AT + DAY + 3 * HOUR, 20)
    join_silences(land)


def step_clock(land: Land) -> None:
    """Our clock jumps 10 min ahead: all sessions look dead, and return in seconds."""
    land.settle()
    for person in land.people:
        person.downs = [d for d in person.downs if d.until < AT - 60 or d.since > AT + 700]
        person.downs.append(Down(AT + land.rng.uniform(0, 15), AT + 600 + land.rng.uniform(0, 20)))


def flap_in_storm(land: Land) -> None:
    """A storm breaks lines and masts of one region for minutes at a time, for 6 h."""
    land.settle(lines=(16, 12), phones=(9, 8))
    for person in [p for p in land.select(region="B") if p.access != "hosting"]:
        at = AT + land.rng.expovariate(1 / 900)
        while at < AT + 6 * HOUR:
            lasts = 30 + land.rng.expovariate(1 / 400)
            person.downs.append(Down(at, at + lasts, rebooted=land.rng.random() < 0.4))
            at += lasts + land.rng.expovariate(1 / 1_500)
    join_silences(land)


def cut_all_but_capital(land: Land) -> None:
    """All but the capital, where half of the vantages are, is cut off for four hours."""
    land.settle(lines=(16, 12), phones=(8, 8))
    for number, person in enumerate(people_of(land)):
        person.region = "ABAC"[number % 4]
    land.cut([p for p in people_of(land) if p.region != "A"], AT, AT + 4 * HOUR, 30)


def cut_anew_in_return(land: Land) -> None:
    """A cut is lifted over two hours; when half are back, all is cut again."""
    land.settle()
    for person in people_of(land):
        back = AT + 3 * HOUR + land.rng.uniform(0, 2 * HOUR)
        again = AT + 4 * HOUR
        at = AT + land.rng.uniform(0, 15)
        if back < again:
            person.downs += [Down(at, back, told=False), Down(again, AT + 7 * HOUR, told=False)]
        else:
            person.downs.append(Down(at, AT + 7 * HOUR + land.rng.uniform(0, 60), told=False))
    join_silences(land)


def commute_over_border(land: Land) -> None:
    """A third of the phones work abroad, over the border from 8 to 18 o'clock."""
    land.settle(phones=(12, 10))
    for person in land.select(access="mobile")[::3]:
        home = (person.country, person.asn, person.prefix)
        for day in range(5):
            go = day * DAY + 3 * HOUR + land.rng.gauss(0, 900)
            come = day * DAY + 13 * HOUR + land.rng.gauss(0, 900)
            there = Down(go, go + 200, country="TR", asn=102, prefix="TR-102-0")
            back = Down(come, come + 200, country=home[0], asn=home[1], prefix=home[2])
            person.downs += [there, back]
    join_silences(land)


def fade_one_operator(land: Land) -> None:
    """One operator of four, 16 of 40 lines, fades in 90 minutes; the rest stays up."""
    land.settle(lines=(16, 12), phones=(6, 6))
    _fade(land, land.select(asn=10), 90 * MINUTE, AT + 5 * HOUR)


def fade_in_sleep(land: Land) -> None:
    """At 2 o'clock, while half of the phones sleep, a country drains over two hours.

    Those that wake up do so in the dark.
    """
    land.settle(phones=(12, 10))
    for person in land.select(access="mobile")[::2]:
        for day in range(-1, 5):
            at = day * DAY + 18 * HOUR + land.rng.gauss(0, 1_500)
            person.downs.append(Down(at, at + 7 * HOUR + land.rng.gauss(0, 1_500)))
    _fade(land, people_of(land), 2 * HOUR, 3 * DAY + NIGHT + 9 * HOUR, 3 * DAY + NIGHT)
    join_silences(land)


def pause_by_turns(land: Land) -> None:
    """One operator's phones are off for 60 s every ten minutes for 3 h (a test)."""
    land.settle(phones=(14, 8))
    for turn in range(18):
        at = AT + turn * 600
        land.cut(land.select(asn=20), at, at + 60, 5)
    join_silences(land)


def cut_lines_alone(land: Land) -> None:
    """A country of lines alone is cut off; its two data centers live on."""
    land.settle(lines=(14, 9, 6), phones=())
    land.cut(people_of(land), AT, AT + 4 * HOUR, 60)


def end_satellite_plan(land: Land) -> None:
    """A satellite network ends its service in one country: 14 lines in a minute."""
    land.settle()
    land.add("KZ", 14, 14_593, "fixed", nat=2)
    land.add("TR", 9, 14_593, "fixed", nat=2)
    for person in land.select(asn=14_593):
        person.downs.append(Down(AT + land.rng.uniform(0, 60), AT + 90 * DAY))


def _fade(land: Land, people: Sequence[Person], lasts: float, until: float, at: float = AT) -> None:
    for person in people:
        back = until + land.rng.uniform(0, 60)
        person.downs.append(Down(at + land.rng.uniform(0, lasts), back, told=False))


SCENES = {
    "90 s daily": StrangeScene(
        cut_ninety_seconds_daily, tuple(may(COUNTRY, "", at, at + 150) for at in NOONS), 9 * 24
    ),
    "a plan changes": StrangeScene(
        cut_as_plan_changes, (Truth(within_s=1_200, is_suspicion_enough=True),), 6
    ),
    "two hundred newcomers": StrangeScene(
        enrol_before_cut, (Truth(until=AT + 4 * HOUR, within_s=300),), 7
    ),
    "anchors dead, our address blocked": StrangeScene(lose_anchors_in_block, (), 6, OURS),
    "anchors dead, all cut off": StrangeScene(lose_anchors_in_cut, (Truth(),), 6),
    "networks merged": StrangeScene(
        merge_networks,
        (
            Truth(Scope("KZ", asn=10), AT + DAY, AT + DAY + 3 * HOUR, "", 420),
            may(Scope("KZ", access="fixed"), "", AT + DAY),
        ),
        32,
    ),
    "our clock ahead": StrangeScene(step_clock, (), 5),
    "a storm": StrangeScene(flap_in_storm, (may(Scope("KZ", "B")),), 9, (IncidentKind.POWER,)),
    "all but the capital": StrangeScene(
        cut_all_but_capital,
        tuple(
            Truth(Scope("KZ", region), until=AT + 4 * HOUR, within_s=600, is_suspicion_enough=True)
            for region in "BC"
        ),
        7,
    ),
    "cut anew in the return": StrangeScene(
        cut_anew_in_return,
        (
            Truth(COUNTRY, AT, AT + 3 * HOUR, ends_within_s=1e9),
            Truth(COUNTRY, AT + 4 * HOUR, AT + 7 * HOUR, "", 300),
            may(COUNTRY, "", AT, AT + 7 * HOUR),
        ),
        10,
    ),
    "commuters over the border": StrangeScene(commute_over_border, (), 5 * 24),
    "one operator drains": StrangeScene(
        fade_one_operator,
        (Truth(Scope("KZ", asn=10), AT, AT + 5 * HOUR, "", 7_200, is_suspicion_enough=True),),
        8,
    ),
    "a fade in sleep": StrangeScene(
        fade_in_sleep,
        (Truth(COUNTRY, 3 * DAY + NIGHT, 3 * DAY + NIGHT + 9 * HOUR, "", 9_000),),
        4 * 24 + 8,
    ),
    "off by turns": StrangeScene(
        pause_by_turns, (may(Scope("KZ", asn=20), "", AT, AT + 3 * HOUR), may(MOBILE)), 6
    ),
    "lines alone": StrangeScene(cut_lines_alone, (Truth(until=AT + 4 * HOUR),), 7),
    "a satellite's plan ends": StrangeScene(
        end_satellite_plan, (may(Scope("KZ", asn=14_593)), may(Scope("TR", asn=14_593))), 30
    ),
}
