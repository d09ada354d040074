"""Cuts of kinds that the other worlds do not have, from reports and from physics.

Written apart from the detectors. The year is named where there is a report; sizes of the fleet and
what no report gives are assumed.
"""

from heliograph_collector.model.scope import Scope
from support.foreign_world import AT, DAY, HOUR, Down, Land, Person, clock
from support.reported_events import MINUTE, people_of
from support.strange_truths import COUNTRY, MOBILE, StrangeScene, Truth, may

EXAMS = tuple(
    (day, (day * DAY + 3 * HOUR + minute * MINUTE))
    for day, minute in (
        (1, 0),
        (2, 20),
        (3, 5),
        (4, 40),
        (5, 0),
        (7, 30),
        (8, 10),
        (9, 0),
        (10, 25),
    )
)


def move_for_a_time(land: Land, person: Person, away: Down, until: float) -> None:
    """Move a person to another network within minutes, and back at `until`."""
    away.until = away.since + land.rng.uniform(40, 180)
    home = Down(until, until + land.rng.uniform(30, 90), asn=person.asn)
    home.access = person.access
    home.prefix = person.prefix
    person.downs += [away, home]


def settle_few(land: Land, lines: tuple[int, ...], phones: tuple[int, ...]) -> None:
    land.settle(lines, phones)
    land.people = [p for p in land.people if p.access != "hosting"]


def _find_satellite(land: Land, person: Person, at: float, share: float) -> bool:
    """Let a share find a satellite's Wi-Fi within the hour, and be back by it."""
    if land.rng.random() >= share:
        return False
    back = at + land.rng.uniform(300, HOUR)
    away = Down(at, back, asn=14_593, access="fixed", prefix=f"{person.name}-sat", told=False)
    person.downs.append(away)
    return True


def withdraw_one_of_three(land: Land) -> None:
    """One of three operators withdraws its routes; seven of ten phones use Wi-Fi.

    A phone drops a dead mobile network for a known Wi-Fi within a minute or two (Android, iOS);
    as in Optus's hours in Australia, November 2023.
    """
    land.settle(lines=(10, 8, 8), phones=(9, 8, 8))
    for person in land.select(asn=20):
        at = AT + land.rng.uniform(0, 20)
        if land.rng.random() < 0.7:
            wifi = Down(at, at, asn=land.rng.choice((11, 12)), access="fixed")
            wifi.prefix = f"{person.name}-wifi"
            move_for_a_time(land, person, wifi, AT + 4 * HOUR)
        else:
            person.downs.append(Down(at, AT + 4 * HOUR, told=False))
    land.cut(land.select(asn=10), AT, AT + 4 * HOUR, 20)


def cut_for_ten_exams(land: Land) -> None:
    """Nine cuts of two hours each morning, at varying minutes, with a day off.

    Iraq's and Syria's exam shutdowns (2022 to 2025) end and begin with each subject's paper.
    """
    land.settle()
    for _, since in EXAMS:
        land.cut(people_of(land), since, since + 2 * HOUR, 60)


def spare_government(land: Land) -> None:
    """All is cut off but the networks of the state and of banks (Iran, 2019 and 2026)."""
    land.settle(lines=(12, 9), phones=(8, 6))
    land.add("KZ", 5, 60, "fixed", nat=2, regions="A")
    land.add("KZ", 4, 61, "fixed", nat=4)
    gone = [p for p in people_of(land) if p.asn < 60]
    land.cut(gone, AT, AT + 6 * HOUR, 40)


def leave_one_operator(land: Land) -> None:
    """A cable cuts off two operators of lines and one of phones, and overloads others.

    Of those that have another cable some sessions break, since all traffic of the country takes
    that way (West Africa's four cables, March 2024).
    """
    land.settle(lines=(12, 9, 14), phones=(9, 10))
    for asn in (10, 11, 20):
        land.cut(land.select(asn=asn), AT, AT + 6 * HOUR, 6)
    for person in [*land.select(asn=12), *land.select(asn=21)]:
        at = AT + land.rng.expovariate(1 / 2_400)
        while at < AT + 6 * HOUR:
            lasts = 40 + land.rng.expovariate(1 / 80)
            person.downs.append(Down(at, at + lasts))
            at += lasts + land.rng.expovariate(1 / 2_400)


def roam(land: Land) -> None:
    """All mobile radio is off; a fifth of the SIMs are abroad, some visitors are here.

    Data of a roaming phone leave by its home network (home routing, GSMA IR.88): such phones of
    the country live on under its operator's number, and a third of a neighbor's one operator's
    phones, which are visitors here, fall silent with the country's.
    """
    land.settle(lines=(12, 9), phones=(11, 10))
    land.add("TR", 9, 102, "mobile", nat=3)
    phones = land.select(access="mobile")
    here = [p for p in phones if land.rng.random() > 0.2]
    visitors = [p for p in land.select("TR", access="mobile") if land.rng.random() < 0.3]
    land.cut([*here, *visitors], AT, AT + 4 * HOUR, 15)


def share_one_nat(land: Land) -> None:
    """An operator moves all behind one NAT in a night hour; the next day it is cut."""
    land.settle(lines=(14, 10, 8), phones=(8, 6))
    for person in [*land.select(asn=10), *land.select(asn=20)]:
        at = 21 * HOUR + land.rng.uniform(0, HOUR)
        person.downs.append(Down(at, at + land.rng.uniform(20, 70), prefix=f"KZ-{person.asn}-one"))
    land.cut([*land.select(asn=10), *land.select(asn=20)], AT + DAY, AT + DAY + 4 * HOUR, 10)


def cut_five(land: Land) -> None:
    """Five vantages in a country, all cut off for three hours."""
    settle_few(land, (2, 1), (1, 1))
    land.cut(people_of(land), AT, AT + 3 * HOUR, 10)


def cut_eight(land: Land) -> None:
    """Eight vantages in a country, all cut off for three hours."""
    settle_few(land, (3, 2), (2, 1))
    land.cut(people_of(land), AT, AT + 3 * HOUR, 10)


def end_cut_while_we_restart(land: Land) -> None:
    """All is cut; the cut ends in the three minutes of our collector's upgrade."""
    land.settle()
    land.cut(people_of(land), AT, AT + 2 * HOUR + 60, 20)
    cut_off = {p.name for p in people_of(land)}
    for person in land.people:
        begin = AT + 2 * HOUR
        if person.name in cut_off:
            down = person.downs[-1]
            down.until = max(down.until, begin + 185 + land.rng.expovariate(1 / 20))
        else:
            person.downs.append(Down(begin, begin + 185 + land.rng.expovariate(1 / 20)))
    fault = {"kind": "fault", "at": clock(AT + 2 * HOUR), "until": clock(AT + 2 * HOUR + 180)}
    land.faults.append(fault | {"reason": "restart"})


def begin_cut_while_we_restart(land: Land) -> None:
    """An operator is cut, lines and phones, in the minute of our collector's restart."""
    land.settle()
    gone = [*land.select(asn=10), *land.select(asn=20)]
    names = {p.name for p in gone}
    for person in land.people:
        until = AT + 65 + land.rng.expovariate(1 / 20)
        if person.name in names:
            until = AT + 3 * HOUR + land.rng.uniform(0, 60)
        person.downs.append(Down(AT, until))
    fault = {"kind": "fault", "at": clock(AT), "until": clock(AT + 60), "reason": "restart"}
    land.faults.append(fault)


def begin_national_while_we_restart(land: Land) -> None:
    """All is cut off in the minute in which our collector restarts for three minutes."""
    land.settle()
    names = {p.name for p in people_of(land)}
    for person in land.people:
        until = AT + 185 + land.rng.expovariate(1 / 20)
        if person.name in names:
            until = AT + 4 * HOUR + land.rng.uniform(0, 60)
        person.downs.append(Down(AT, until))
    fault = {"kind": "fault", "at": clock(AT), "until": clock(AT + 180), "reason": "restart"}
    land.faults.append(fault)


def reach_satellites(land: Land) -> None:
    """All is cut; in the next hour a sixth find a satellite's Wi-Fi (Iran, 2026).

    Others in the country had that network before. What they report is what they measured while
    dark.
    """
    land.settle()
    land.add("KZ", 2, 14_593, "fixed", nat=1)
    for person in people_of(land):
        at = AT + land.rng.uniform(0, 15)
        if person.asn != 14_593 and not _find_satellite(land, person, at, 0.17):
            person.downs.append(Down(at, AT + 8 * HOUR + land.rng.uniform(0, 60), told=False))


def wake_by_satellites(land: Land) -> None:
    """All is cut; laptops that slept through it are opened in a satellite's Wi-Fi.

    So what they measured first in their silence, for half a minute until their session began, is
    that anchors answer: by another network than the one that they had lost.
    """
    land.settle()
    land.add("KZ", 2, 14_593, "fixed", nat=1)
    for person in people_of(land):
        at = AT + land.rng.uniform(0, 15)
        if person.asn != 14_593 and not _find_satellite(land, person, at, 0.25):
            person.downs.append(Down(at, AT + 8 * HOUR + land.rng.uniform(0, 60), told=False))
        elif person.asn != 14_593:
            down = person.downs[-1]
            down.told = None
            line = {"kind": "report", "vantage": person.name, "at": clock(down.until + 20)}
            span = {"since": clock(down.until - 40), "until": clock(down.until)}
            land.faults.append({**line, **span, "alive": True, "online": True})


def roam_over_the_border(land: Land) -> None:
    """Phones of a border region are cut; half find foreign masts in minutes (assumed)."""
    land.settle(phones=(18, 15))
    for person in land.select(region="B", access="mobile"):
        at = AT + land.rng.uniform(0, 20)
        if land.rng.random() < 0.5:
            back = at + land.rng.uniform(60, 300)
            person.downs.append(Down(at, back, country="TR", asn=102, prefix="TR-102-0"))
        else:
            person.downs.append(Down(at, AT + 6 * HOUR, told=False))


def stay_by_newcomers(land: Land) -> None:
    """All is cut; eighty keys of the same day claim from four networks to be online."""
    land.settle()
    honest = people_of(land)
    for asn, access in ((10, "fixed"), (11, "fixed"), (20, "mobile"), (21, "mobile")):
        for person in land.add("KZ", 20, asn, access, nat=0):
            person.enrolled = AT - land.rng.uniform(2, 9) * HOUR
            person.downs.append(Down(land.start + 90, max(land.start + 200, person.enrolled)))
    land.cut(honest, AT, AT + 4 * HOUR, 10)


def restore_by_turns(land: Land) -> None:
    """All is cut and restored network by network; one is dark again in between.

    Lines of one network are back after 3 h and dark in the 6th hour; the others' are back after 4
    h, phones after 8 h (assumed, after Sudan and Myanmar).
    """
    land.settle(lines=(14, 12), phones=(9, 7))
    for asn, spans in {
        10: ((0, 3), (5, 6)), 11: ((0, 4),), 20: ((0, 8),), 21: ((0, 8),),
    }.items():  # fmt: skip
        for since, until in spans:
            land.cut(land.select(asn=asn), AT + since * HOUR, AT + until * HOUR, 20)


def post_and_cut(land: Land) -> None:
    """All is cut for 3 h; half of the fleet only posts each 2 min, lost after five."""
    land.settle()
    for person in people_of(land):
        at = AT + land.rng.uniform(0, 15)
        if int(person.name[1:]) % 2:
            at -= 37.5 - 15
            lost = {"kind": "loss", "vantage": person.name, "last_heard": clock(at - 60)}
            land.faults.append({**lost, "at": clock(at + 240)})
            back = AT + 3 * HOUR + land.rng.uniform(0, 120)
            person.downs.append(Down(at, back))
        else:
            person.downs.append(Down(at, AT + 3 * HOUR + land.rng.uniform(0, 60), told=False))


def switch_sims(land: Land) -> None:
    """One operator's phones are cut; four fifths return by another operator's SIM.

    When it is back they leave the other within ten minutes, for a minute each.
    """
    land.settle(phones=(12, 7))
    for person in land.select(asn=20):
        at = AT + land.rng.uniform(0, 20)
        until = AT + 3 * HOUR
        if land.rng.random() < 0.8:
            away = Down(at, at + land.rng.uniform(30, 150), asn=21, prefix="KZ-21-0")
            leave = until + land.rng.uniform(0, 600)
            home = Down(leave, leave + land.rng.uniform(30, 90), asn=20, prefix=person.prefix)
            person.downs += [away, home]
        else:
            person.downs.append(Down(at, until, told=False))


SCENES = {
    "one of three, phones to Wi-Fi": StrangeScene(
        withdraw_one_of_three,
        (
            Truth(Scope("KZ", asn=10), until=AT + 4 * HOUR),
            Truth(Scope("KZ", asn=20), until=AT + 4 * HOUR, is_owed=False),
        ),
        6,
    ),
    "nine exams in ten days": StrangeScene(
        cut_for_ten_exams,
        tuple(Truth(COUNTRY, at, at + 2 * HOUR + 60) for _, at in EXAMS),
        11 * 24 - 2,
    ),
    "state and banks spared": StrangeScene(spare_government, (Truth(until=AT + 6 * HOUR),), 9),
    "one cable left": StrangeScene(
        leave_one_operator,
        tuple(Truth(Scope("KZ", asn=asn), until=AT + 6 * HOUR) for asn in (10, 11, 20)),
        9,
    ),
    "roaming": StrangeScene(roam, (Truth(MOBILE, until=AT + 4 * HOUR, within_s=300),), 6),
    "one NAT of an operator": StrangeScene(
        share_one_nat,
        tuple(
            Truth(
                Scope("KZ", asn=asn),
                AT + DAY,
                AT + DAY + 4 * HOUR,
                "",
                600,
                is_suspicion_enough=True,
                is_owed=asn == 20,
            )
            for asn in (10, 20)
        ),
        32,
    ),
    "five": StrangeScene(cut_five, (Truth(within_s=600, is_suspicion_enough=True),), 8),
    "eight": StrangeScene(cut_eight, (Truth(within_s=600, is_suspicion_enough=True),), 8),
    "an end while we restart": StrangeScene(
        end_cut_while_we_restart, (Truth(until=AT + 2 * HOUR + 60),), 5
    ),
    "a begin while we restart": StrangeScene(
        begin_cut_while_we_restart,
        tuple(Truth(Scope("KZ", asn=asn), within_s=600, is_owed=asn == 10) for asn in (10, 20)),
    ),
    "a national begin while we restart": StrangeScene(
        begin_national_while_we_restart, (Truth(until=AT + 4 * HOUR, within_s=600),), 6
    ),
    "to a satellite": StrangeScene(reach_satellites, (Truth(until=AT + 8 * HOUR),), 10),
    "laptops opened at a satellite": StrangeScene(
        wake_by_satellites, (Truth(until=AT + 8 * HOUR),), 10
    ),
    "over the border": StrangeScene(
        roam_over_the_border,
        (Truth(Scope("KZ", "B", access="mobile"), until=AT + 6 * HOUR, within_s=300),),
        8,
    ),
    "newcomers stay": StrangeScene(stay_by_newcomers, (Truth(until=AT + 4 * HOUR),), 7),
    "restored by turns": StrangeScene(
        restore_by_turns,
        (
            Truth(COUNTRY, AT, AT + 3 * HOUR, ends_within_s=1e9),
            Truth(MOBILE, AT, AT + 8 * HOUR),
            Truth(Scope("KZ", asn=10), AT + 5 * HOUR, AT + 6 * HOUR, ends_within_s=1e9),
            may(Scope("KZ", access="fixed"), "", AT, AT + 4 * HOUR),
        ),
        11,
    ),
    "half by post": StrangeScene(post_and_cut, (Truth(within_s=420),), 6),
    "two SIMs": StrangeScene(switch_sims, (may(Scope("KZ", asn=20)),), 6),
}
