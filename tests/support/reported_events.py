"""Events from public reports as a replay reads them, with the required incidents.

Written from the reports and the manual of the format; what no report gives is assumed. A scene
lists the cells that are cut off, and those in which an outage is correct but not required.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from heliograph_collector.model.scope import Scope
from support.foreign_world import AT, DAY, HOUR, Down, Land, Person, clock

COUNTRY = Scope("KZ")
LINES = (Scope("KZ", asn=10), Scope("KZ", asn=11))
PHONES = (Scope("KZ", asn=20), Scope("KZ", asn=21))
MOBILE = Scope("KZ", access="mobile")
NIGHT = 21 * HOUR  # 02:00 in Kazakhstan
MINUTE = 60.0


@dataclass(frozen=True)
class Outage:
    """A cell that is cut off, to be confirmed within so many seconds."""

    scope: Scope
    at: float = AT
    within_s: float = 180.0
    lasts_s: float = math.inf


@dataclass(frozen=True)
class Scene:
    """The events of so many hours, the required outages and the permitted ones."""

    build: Callable[[Land], None]
    hours: float = 5.0
    outages: tuple[Outage, ...] = ()
    right: tuple[Scope, ...] = ()
    is_ours: bool = False  # our entrance is blocked


def people_of(land: Land) -> list[Person]:
    return [p for p in land.select() if p.access != "hosting"]


def fall(land: Land, people: Sequence[Person], since: float, spread: float, lasts: float) -> None:
    """Let people fall silent one by one, for about so long each."""
    for person in people:
        at = since + land.rng.uniform(0, spread)
        person.downs.append(Down(at, at + lasts * land.rng.uniform(0.8, 1.2)))


def break_sessions(
    land: Land, people: Sequence[Person], hours: float, *, first: float, gone: float, here: float
) -> None:
    """Break and resume sessions for hours, after exponential times of these means."""
    for person in people:
        at = AT + land.rng.expovariate(1 / first)
        while at < AT + hours * HOUR:
            lasts = 40 + land.rng.expovariate(1 / gone)  # shorter ones are not noticed
            person.downs.append(Down(at, at + lasts))
            at += lasts + land.rng.expovariate(1 / here)


def use_messenger(
    land: Land, people: Sequence[Person], span: tuple[float, float], bad: tuple[float, float]
) -> None:
    """Test a messenger every 150 s or so; it is blocked during `bad` (TLS, timeout)."""
    for person in people:
        at = span[0] + land.rng.uniform(0, 150)
        while at < span[1]:
            is_dark = any(down.since <= at < down.until for down in person.downs)
            is_bad = bad[0] <= at < bad[1] or land.rng.random() < 0.02
            line = {"kind": "vote", "at": clock(at), "vantage": person.name}
            line |= {"service": "telegram", "value": "blocked" if is_bad else "reachable"}
            line |= {"layer": "tls", "method": "timeout"} if is_bad else {}
            if not is_dark:
                land.faults.append(line)
            at += land.rng.uniform(135, 165)


def end_summer_time(land: Land) -> None:
    """People switch off by the clock, which goes back an hour on the fourth evening."""
    land.settle()
    sleepers = [p for p in people_of(land) if land.rng.random() < 0.55]
    for day in range(6):
        shift = HOUR if day >= 3 else 0
        for person in sleepers:
            since = day * DAY + 17 * HOUR + shift + land.rng.gauss(0, 1_500)
            person.downs.append(Down(since, since + 9 * HOUR + land.rng.gauss(0, 1_800)))


def update_by_stages(land: Land) -> None:
    """All agents restart in stages of 1%, 10%, 50%, 100%, an hour apart (app stores)."""
    land.settle()
    left = list(land.people)
    land.rng.shuffle(left)
    for stage, share in enumerate((0.01, 0.1, 0.5, 1.0)):
        count = round(share * len(left))
        for person in left[:count]:
            at = AT + stage * 2_400 + land.rng.uniform(0, 600)
            person.downs.append(Down(at, at + land.rng.uniform(15, 150), goodbye=True))
        left = left[count:]


def maintain_operator(land: Land) -> None:
    """A window at 02:00 in which an operator's lines are dark for an hour."""
    land.settle()
    land.cut(land.select(asn=10), NIGHT, NIGHT + HOUR, 90)


def push_firmware(land: Land) -> None:
    """At night all routers of an operator restart, for minutes, within half an hour."""
    land.settle()
    fall(land, land.select(asn=10), NIGHT, 1_800, 240)


def sever_and_reroute(land: Land) -> None:
    """A cable cuts off an operator; two thirds are rerouted in 20 min ([11] of lab)."""
    land.settle()
    for person in land.select(asn=10):
        lasts = 1_200 if land.rng.random() < 0.67 else 3 * HOUR
        until = AT + lasts + land.rng.uniform(0, 120)
        person.downs.append(Down(AT + land.rng.uniform(0, 5), until, told=False))


def cut_for_exams(land: Land) -> None:
    """National cuts on three mornings for 1 to 3 h (Iraq, Syria, 2022 to 2024)."""
    land.settle()
    for day in range(1, 4):
        lasts = land.rng.uniform(1, 3) * HOUR
        land.cut(people_of(land), day * DAY + HOUR, day * DAY + HOUR + lasts, 20)


def slow_phones(land: Land) -> None:
    """Phones are held at 2G: sessions end and begin again every few minutes."""
    land.settle()
    phones = land.select(access="mobile")
    break_sessions(land, phones, 3, first=200, gone=150, here=300)


def lose_resolvers(land: Land) -> None:
    """An operator's resolvers fail for an hour: sessions last, new ones do not begin."""
    land.settle()
    for person in land.select(asn=10):
        ends = AT + land.rng.uniform(0, 24 * MINUTE)  # a session lasts for 24 min at most
        if land.rng.random() < 0.7:
            person.downs.append(Down(ends, AT + HOUR + land.rng.uniform(0, 90), told=False))


def lose_ipv6(land: Land) -> None:
    """IPv6 routes are withdrawn: phones without IPv4 are dark, lines return by IPv4."""
    land.settle()
    for person in people_of(land):
        is_only = person.asn == 20 and land.rng.random() < 0.9
        at = AT + land.rng.uniform(0, 60)
        lasts = 2 * HOUR if is_only else land.rng.uniform(42, 70)
        if is_only or land.rng.random() < 0.4:
            person.downs.append(Down(at, at + lasts, told=False if is_only else None))


def renumber_nats(land: Land) -> None:
    """At night an operator's phones move to other addresses within a minute."""
    land.settle()
    for person in land.select(access="mobile"):
        at = NIGHT + land.rng.uniform(0, 60)
        person.downs.append(Down(at, at + land.rng.uniform(40, 240), prefix=f"{person.prefix}-n"))


def hijack_prefix(land: Land) -> None:
    """A network hijacks part of an operator for 25 min: half of its lines are dead."""
    land.settle()
    land.cut(land.select(asn=10)[::2], AT, AT + 1_500, 40)


def cut_after_election(land: Land) -> None:
    """A messenger is blocked at noon, all is cut four hours later (Uganda, 2021)."""
    land.settle()
    land.cut(people_of(land), AT + 4 * HOUR, AT + 10 * HOUR, 20)
    use_messenger(land, people_of(land), (AT - HOUR, AT + 10 * HOUR), (AT, AT + 4 * HOUR))


def shed_load(land: Land) -> None:
    """Regions lose power in turn for two hours; masts last an hour (Eskom, 2022)."""
    land.settle()
    for turn, region in enumerate("ABCABC"):
        since = AT - HOUR + turn * 2 * HOUR
        for person in land.select(region=region):
            is_line = person.access == "fixed"
            at = since + land.rng.uniform(0, 60 if is_line else 7_200)
            until = since + 2 * HOUR + land.rng.uniform(20, 400)
            if person.access != "hosting" and until - at > 60:
                person.downs.append(Down(at, until, rebooted=is_line))


def flee(land: Land) -> None:
    """Half of the people leave in 20 hours; each is back online abroad hours later."""
    land.settle()
    for person in people_of(land):
        if land.rng.random() < 0.5:
            at = AT + land.rng.uniform(0, 20 * HOUR)
            until = at + land.rng.uniform(1, 8) * HOUR
            person.downs.append(Down(at, until, country="PL", asn=102))


def keep_satellites(land: Land) -> None:
    """All is cut off but three by satellite (Iran, 2022 and 2026)."""
    land.settle()
    land.add("KZ", 3, 14_593, "fixed", nat=1)
    land.cut([p for p in people_of(land) if p.asn != 14_593], AT, AT + 3 * HOUR)


def close_campus(land: Land) -> None:
    """Thirty lines of a university end within 2 h before a holiday, most for days."""
    land.settle()
    for person in land.add("KZ", 30, 50, "fixed", regions="A"):
        at = AT + land.rng.uniform(0, 2 * HOUR)
        person.downs.append(Down(at, AT + 60 * HOUR, goodbye=land.rng.random() < 0.5))


def skew_clocks(land: Land) -> None:
    """A third of the clocks are off by up to a day, and so are their reports of a cut."""
    land.settle()
    land.cut(people_of(land), AT, AT + HOUR, 20)
    for person in people_of(land):
        if land.rng.random() < 0.33:
            off = land.rng.uniform(-DAY, DAY)
            line = {"kind": "report", "vantage": person.name, "at": clock(AT + HOUR + 90)}
            span = {"since": clock(AT + off), "until": clock(AT + HOUR + off)}
            person.downs[-1].told = None
            land.faults.append({**line, **span, "alive": True, "online": land.rng.random() < 0.5})


def restart_in_cut(land: Land) -> None:
    """The collector begins again a quarter of an hour into a cut."""
    land.settle()
    land.cut(people_of(land), AT, AT + 2 * HOUR, 20)
    at = AT + 900
    cut_off = {p.name for p in people_of(land)}
    for person in land.people:
        if person.name not in cut_off:
            person.downs.append(Down(at, at + 50 + land.rng.expovariate(1 / 20)))
    fault = {"kind": "fault", "at": clock(at), "until": clock(at + 45), "reason": "restart"}
    land.faults.append(fault)


def lose_broker(land: Land) -> None:
    """The collector stalls for two minutes; half of the agents everywhere reconnect."""
    land.settle()
    for person in land.people:
        if land.rng.random() < 0.5:
            at = AT + land.rng.uniform(45, 60)
            person.downs.append(Down(at, AT + 125 + land.rng.expovariate(1 / 30)))
    fault = {"kind": "fault", "at": clock(AT), "until": clock(AT + 120), "reason": "stalled"}
    land.faults.append(fault)


def cut_two_countries(land: Land) -> None:
    """Two countries are cut in the same minute, for unrelated reasons."""
    land.settle()
    land.cut(people_of(land), AT, AT + 2 * HOUR)
    land.cut(land.select("TR"), AT + 30, AT + 3 * HOUR)


def uninstall(land: Land) -> None:
    """After a scare half of a country's people remove the program in three hours."""
    land.settle()
    for person in people_of(land):
        if land.rng.random() < 0.5:
            at = AT + 3 * HOUR * land.rng.random() ** 1.5
            person.downs.append(Down(at, AT + 90 * HOUR, goodbye=land.rng.random() < 0.7))


def attack_entrance(land: Land) -> None:
    """A flood at our entrance ends a third of all sessions everywhere within 20 min."""
    land.settle()
    for person in land.people:
        if land.rng.random() < 0.35:
            at = AT + land.rng.uniform(0, 1_200)
            person.downs.append(Down(at, at + land.rng.uniform(60, 600)))


def fill_stadium(land: Land) -> None:
    """The masts of a region are overloaded for 2 h: phones are gone for minutes."""
    land.settle(phones=(16, 14))
    phones = land.select(region="A", access="mobile")
    break_sessions(land, phones, 2, first=600, gone=240, here=400)


def allow_lists_by_region(land: Land) -> None:
    """Phones of a region reach listed sites alone, in daytime (Russia, 2025)."""
    land.settle(phones=(18, 15))
    land.cut(land.select(region="B", access="mobile"), AT, AT + 8 * HOUR, 60)


def flood_region(land: Land) -> None:
    """Water takes a region's lines over three hours, its masts later, for days."""
    land.settle()
    for person in land.select(region="C"):
        late = 3 * HOUR if person.access == "fixed" else 6 * HOUR
        if person.access != "hosting":
            at = AT + land.rng.uniform(0, late)
            person.downs.append(Down(at, AT + 70 * HOUR, rebooted=True))


def close_offices(land: Land) -> None:
    """Half of the lines are in offices, which switch off on five evenings."""
    land.settle()
    offices = [p for p in land.select(access="fixed") if land.rng.random() < 0.5]
    for day in range(5):
        for person in offices:
            at = day * DAY + 13 * HOUR + land.rng.gauss(0, 1_800)
            person.downs.append(Down(at, at + 14 * HOUR, goodbye=land.rng.random() < 0.3))


def migrate_subscribers(land: Land) -> None:
    """An operator fails; its phones come back as another's over an evening."""
    land.settle()
    for person in land.select(asn=21):
        at = AT + land.rng.uniform(0, 4 * HOUR)
        person.downs.append(Down(at, at + land.rng.uniform(60, 1_800), asn=20, prefix="KZ-20-0"))


def cut_abroad_only(land: Land) -> None:
    """Domestic sites work, none abroad do, data centers included (Iran, 2019)."""
    land.settle()
    land.cut(land.select(), AT, AT + 5 * HOUR, 100)


def cut_by_minutes(land: Land) -> None:
    """Three cuts of three minutes in an hour, as tests of a long one (Russia, 2024)."""
    land.settle()
    for number in range(3):
        land.cut(people_of(land), AT + number * 1_200, AT + number * 1_200 + 180, 5)
    land.cut(people_of(land), AT + 2 * HOUR, AT + 4 * HOUR, 5)


def fail_cloud(land: Land) -> None:
    """A cloud that carries half of the agents fails site by site (Fastly, 2021)."""
    land.settle()
    for place, country in enumerate(("KZ", "PL", "TR", "ID", "BR")):
        for person in land.select(country):
            if land.rng.random() < 0.5:
                person.entrance = "second"
                since = AT + place * 45 + land.rng.uniform(0, 60)
                until = since + 60 + land.rng.expovariate(1 / 200)
                person.downs.append(Down(since, until, entrance="main"))


def block_entrance(land: Land) -> None:
    """Our address is blocked; two thirds switch entrances in minutes, the rest cannot."""
    land.settle()
    for person in land.select():
        since = AT + land.rng.uniform(0, 30)
        is_stuck = land.rng.random() < 0.33
        until = AT + 4 * HOUR if is_stuck else since + 15 + land.rng.expovariate(1 / 90)
        person.downs.append(Down(since, until, entrance="" if is_stuck else "second"))


SCENES = {
    "a cloud, site by site": Scene(fail_cloud),
    "our entrance": Scene(block_entrance, 8, is_ours=True),
    "summer time ends": Scene(end_summer_time, 150),
    "an update by stages": Scene(update_by_stages),
    "maintenance at night": Scene(
        maintain_operator, 18, (Outage(Scope("KZ", asn=10), NIGHT, 600),)
    ),
    "firmware at night": Scene(push_firmware, 18, right=(Scope("KZ", asn=10),)),
    "a cable, then other routes": Scene(sever_and_reroute, 6, (Outage(Scope("KZ", asn=10)),)),
    "exams": Scene(cut_for_exams, 76, tuple(Outage(COUNTRY, d * DAY + HOUR) for d in (1, 2, 3))),
    "phones held at 2G": Scene(slow_phones),
    "dead resolvers": Scene(lose_resolvers, right=(Scope("KZ", asn=10),)),
    "no IPv6": Scene(lose_ipv6, right=(*PHONES, MOBILE)),
    "other NATs at night": Scene(renumber_nats, 18),
    "a hijacked prefix": Scene(hijack_prefix, right=(Scope("KZ", asn=10),)),
    "a messenger, then all": Scene(cut_after_election, 14, (Outage(COUNTRY, AT + 4 * HOUR),)),
    "load shedding": Scene(shed_load, 15),
    "refugees": Scene(flee, 36),
    "all but satellites": Scene(keep_satellites, 6, (Outage(COUNTRY),)),
    "a campus before holidays": Scene(close_campus, 8, right=(Scope("KZ", asn=50),)),
    "wrong clocks in a cut": Scene(skew_clocks, 5, (Outage(COUNTRY),)),
    "our restart in a cut": Scene(restart_in_cut, 6, (Outage(COUNTRY),)),
    "our journal stands still": Scene(lose_broker),
    "two countries at once": Scene(
        cut_two_countries, 6, (Outage(COUNTRY, AT, 600), Outage(Scope("TR"), AT + 30, 600))
    ),
    "removed after a scare": Scene(uninstall, 10),
    "an attack on us": Scene(attack_entrance),
    "a stadium": Scene(fill_stadium),
    "lists for a region's phones": Scene(
        allow_lists_by_region, 12, (Outage(Scope("KZ", "B", access="mobile"), AT, 300),), (MOBILE,)
    ),
    "a flood": Scene(flood_region, 20, right=(Scope("KZ", "C"),)),
    "offices": Scene(close_offices, 120),
    "another operator's subscribers": Scene(migrate_subscribers, 8, right=(Scope("KZ", asn=21),)),
    "nothing from abroad": Scene(cut_abroad_only, 8, (Outage(COUNTRY),)),
    "minutes, then hours": Scene(cut_by_minutes, 7, (Outage(COUNTRY, AT + 2 * HOUR),), (COUNTRY,)),
}
