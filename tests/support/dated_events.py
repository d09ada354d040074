"""Dated events of other years and countries, as a replay reads them.

Written from public reports (the year is named at each), apart from the detectors. Sizes of the
fleet and what no report gives are assumed.
"""

from heliograph_collector.model.scope import Scope
from support.foreign_world import AT, DAY, HOUR, Down, Land
from support.reported_events import (
    COUNTRY,
    LINES,
    MINUTE,
    MOBILE,
    NIGHT,
    PHONES,
    Outage,
    Scene,
    break_sessions,
    fall,
    people_of,
    use_messenger,
)

FIXED = Scope("KZ", access="fixed")


def end_operator(land: Land) -> None:
    """The largest operator is down for 15 hours, lines and phones (Rogers, July 2022)."""
    land.settle(lines=(18, 8), phones=(8, 5))
    gone = [*land.select(asn=10), *land.select(asn=20)]
    for person in gone:
        at = AT + land.rng.uniform(0, 240)
        person.downs.append(Down(at, AT + 15 * HOUR + land.rng.uniform(0, 2 * HOUR), told=False))


def err_in_routing(land: Land) -> None:
    """An operator is dark for 85 minutes at noon (KT, October 2021)."""
    land.settle()
    for asn in (10, 20):
        land.cut(land.select(asn=asn), AT, AT + 85 * MINUTE, 120)


def break_cable(land: Land) -> None:
    """An island's only cable breaks: all but two satellite lines fail (Tonga, 2022)."""
    land.settle(lines=(9, 4), phones=(5,))
    land.add("KZ", 2, 14_593, "fixed", nat=1)
    land.cut([p for p in people_of(land) if p.asn != 14_593], AT, AT + 60 * HOUR, 8)


def cut_by_steps(land: Land) -> None:
    """Phones are cut, a day later lines, for five days (Bangladesh, 2024)."""
    land.settle()
    land.cut(land.select(access="mobile"), AT, AT + 11 * DAY, 1_200)
    land.cut(land.select(access="fixed"), AT + 27 * HOUR, AT + 6 * DAY, 600)


def cut_phones(land: Land) -> None:
    """Mobile data is off within an hour, for four days (Pakistan, May 2023)."""
    land.settle(phones=(10, 9, 8))
    for turn, asn in enumerate((20, 21, 22)):
        since = AT + turn * 1_200
        land.cut(land.select(asn=asn), since, AT + 4 * DAY, 90)


def cut_each_night(land: Land) -> None:
    """All is cut from 01:00 to 09:00 for two weeks of nights (Myanmar, 2021)."""
    land.settle()
    for day in range(1, 15):
        since = day * DAY + 20 * HOUR
        land.cut(people_of(land), since, since + 8 * HOUR, 300)


def cut_each_night_slowly(land: Land) -> None:
    """Nightly cuts that take a quarter of an hour, from the first night on (assumed)."""
    land.settle()
    for day in range(12):
        since = day * DAY + 19 * HOUR
        land.cut(people_of(land), since, since + 9 * HOUR, 900)


def sleep_after_cuts(land: Land) -> None:
    """People switch off each night; in nights 4 to 6 all is cut an hour later."""
    land.settle(phones=(12, 10))
    sleepers = [p for p in people_of(land) if land.rng.random() < 0.65]
    for day in range(13):
        for person in sleepers:
            since = day * DAY + 18 * HOUR + land.rng.gauss(0, 1_500)
            if day not in (3, 4, 5):
                person.downs.append(Down(since, since + 9 * HOUR + land.rng.gauss(0, 1_500)))
        if day in (3, 4, 5):
            land.cut(people_of(land), day * DAY + 19 * HOUR, day * DAY + 28 * HOUR, 20)


def end_curfew(land: Land) -> None:
    """All is cut for six nights; then people switch off at night as usual (assumed)."""
    land.settle(phones=(12, 10))
    sleepers = [p for p in people_of(land) if land.rng.random() < 0.65]
    for day in range(6):
        land.cut(people_of(land), day * DAY + 19 * HOUR, day * DAY + 28 * HOUR, 400)
    for day in range(6, 13):
        for person in sleepers:
            since = day * DAY + 18 * HOUR + land.rng.gauss(0, 1_500)
            person.downs.append(Down(since, since + 9 * HOUR + land.rng.gauss(0, 1_500)))


def block_tunnels(land: Land) -> None:
    """Three fifths use VPNs as a messenger is blocked; later VPNs fail (Iran, 2022)."""
    land.settle(phones=(12, 10))
    for person in people_of(land):
        if land.rng.random() < 0.6:
            at = AT + land.rng.expovariate(1 / 600)
            away = Down(at, at + land.rng.uniform(4, 70), closed=True, country="NL", asn=9_009)
            away.prefix = f"NL-{land.rng.randint(0, 5)}"
            since = AT + 2.5 * HOUR + land.rng.uniform(0, 20)
            home = Down(since, since + land.rng.uniform(60, 1_800), country="KZ", asn=person.asn)
            home.prefix = person.prefix
            person.downs += [away, home]


def fail_grid(land: Land) -> None:
    """A national grid fails at once, masts last for hours; it takes days (Cuba, 2024)."""
    land.settle()
    for person in people_of(land):
        is_line = person.access == "fixed"
        at = AT + (land.rng.uniform(0, 20) if is_line else land.rng.uniform(0.2, 5) * HOUR)
        until = AT + land.rng.uniform(10, 40) * HOUR
        person.downs.append(Down(at, until, rebooted=is_line))


def fail_grid_for_hours(land: Land) -> None:
    """Half are dark at once, more later; regions return in the night (Iberia, 2025)."""
    land.settle()
    for person in people_of(land):
        is_line = person.access == "fixed"
        has_battery = land.rng.random() < 0.25
        quick = is_line and not has_battery
        at = AT + (land.rng.uniform(0, 30) if quick else land.rng.uniform(0.5, 6) * HOUR)
        back = AT + (6 + 3 * "ABC".index(person.region)) * HOUR + land.rng.uniform(0, 2) * HOUR
        person.downs.append(Down(at, back, rebooted=quick))


def crash_machines(land: Land) -> None:
    """A fifth of all machines crash within an hour, worldwide (CrowdStrike, 2024)."""
    land.settle()
    for person in land.people:
        if land.rng.random() < 0.2:
            at = AT + land.rng.uniform(0, 78 * MINUTE)
            person.downs.append(Down(at, at + land.rng.uniform(1, 30) * HOUR, rebooted=True))


def lose_messenger(land: Land) -> None:
    """A messenger is down worldwide for six hours (Facebook, 4 October 2021)."""
    land.settle()
    use_messenger(land, land.people, (AT - HOUR, AT + 8 * HOUR), (AT, AT + 6 * HOUR))


def greet_new_year(land: Land) -> None:
    """At midnight the masts are overloaded for 20 minutes: phones lose minutes."""
    land.settle(phones=(16, 14))
    for person in land.select(access="mobile"):
        if land.rng.random() < 0.8:
            at = 19 * HOUR + land.rng.uniform(0, 300)
            person.downs.append(Down(at, at + 60 + land.rng.expovariate(1 / 300)))


def meet_for_a_day(land: Land) -> None:
    """Sixty newcomers join in one building for six hours, then close their laptops."""
    land.settle()
    for person in land.add("KZ", 60, 60, "fixed", nat=1, regions="A"):
        person.enrolled = AT - 6 * HOUR
        person.downs.append(Down(land.start + 90, AT - 6 * HOUR))
        person.downs.append(Down(AT + land.rng.uniform(0, 300), AT + 20 * DAY))


def cut_in_power_failure(land: Land) -> None:
    """A region is without power; two hours later all is cut off by order (assumed)."""
    land.settle()
    for person in land.select(region="A"):
        if person.access == "fixed":
            at = AT + land.rng.uniform(0, 20)
            person.downs.append(Down(at, AT + 8 * HOUR + land.rng.uniform(0, 600), rebooted=True))
    rest = [p for p in people_of(land) if p.region != "A" or p.access == "mobile"]
    land.cut(rest, AT + 2 * HOUR, AT + 6 * HOUR, 30)


def throttle_then_cut(land: Land) -> None:
    """Lines flap for half an hour, then all is dark (Iran, June 2025)."""
    land.settle()
    for person in people_of(land):
        at = AT + land.rng.uniform(0, 300)
        while at < AT + 1_800:
            lasts = 45 + land.rng.expovariate(1 / 90)
            if at + lasts < AT + 1_790:
                person.downs.append(Down(at, at + lasts))
            at += lasts + 60 + land.rng.expovariate(1 / 200)
    land.cut(people_of(land), AT + 1_800, AT + 6 * HOUR, 60)


def shake_earth(land: Land) -> None:
    """A region's lines fail at 04:17, masts within a day, for days (Türkiye, 2023)."""
    land.settle()
    for person in land.select(region="A"):
        if person.access == "fixed":
            person.downs.append(Down(NIGHT + land.rng.uniform(0, 40), NIGHT + 5 * DAY))
        elif person.access == "mobile":
            person.downs.append(Down(NIGHT + land.rng.uniform(0.5, 20) * HOUR, NIGHT + 5 * DAY))


def renew_certificates(land: Land) -> None:
    """All agents of one version end in the same second, each six hours, for a minute."""
    land.settle()
    half = [p for p in land.people if land.rng.random() < 0.5]
    for turn in range(4):
        for person in half:
            at = AT + turn * 6 * HOUR + land.rng.uniform(0, 3)
            person.downs.append(Down(at, at + land.rng.uniform(42, 110)))


def move_collector(land: Land) -> None:
    """Our name gets another address: all come back by their resolvers' time to live."""
    land.settle()
    for person in land.people:
        at = AT + land.rng.uniform(0, 15)
        person.downs.append(Down(at, at + 45 + min(land.rng.expovariate(1 / 240), 3_600)))


def flood_lines(land: Land) -> None:
    """An attacked operator's lines lose and regain their sessions for two hours."""
    land.settle()
    break_sessions(land, land.select(asn=10), 2, first=240, gone=120, here=300)


def cut_at_midnight(land: Land) -> None:
    """All is cut at 02:00 on polling day; operators return one by one in 3 days."""
    land.settle()
    for person in land.select(access="mobile"):
        if land.rng.random() < 0.6:
            person.downs.append(Down(NIGHT - land.rng.uniform(1, 3) * HOUR, NIGHT + 5 * HOUR))
    for turn, asn in enumerate((10, 11, 20, 21)):
        land.cut(land.select(asn=asn), NIGHT, NIGHT + 3 * DAY + turn * 5_400, 60)


def cut_capital(land: Land) -> None:
    """Phones of one region are off for a rally of five hours (Moscow, August 2019)."""
    land.settle(phones=(18, 15))
    land.cut(land.select(region="A", access="mobile"), AT, AT + 5 * HOUR, 45)


def cut_few(land: Land) -> None:
    """A small fleet of seven, all cut off for three hours (Gabon, August 2023)."""
    land.settle(lines=(3, 1), phones=(2, 1))
    land.cut(people_of(land), AT, AT + 84 * HOUR, 12)


def lose_wifi(land: Land) -> None:
    """A town's provider cuts its cable: twelve lines of one network are dark."""
    land.settle()
    land.cut(land.add("KZ", 12, 40, "fixed", regions="B"), AT, AT + 5 * HOUR, 6)


def end_campaign(land: Land) -> None:
    """A third of all countries' vantages, joined for a month, leave on its last day."""
    land.settle()
    for person in land.people:
        if land.rng.random() < 0.33:
            person.enrolled = -30 * DAY
            person.downs.append(Down(AT + land.rng.uniform(0, 4 * HOUR), AT + 90 * DAY))


def leak_routes(land: Land) -> None:
    """Routes leak for 40 minutes: half of three countries are dark (Verizon, 2019)."""
    land.settle()
    for country in ("KZ", "TR", "PL"):
        for person in land.select(country):
            if land.rng.random() < 0.5:
                at = AT + land.rng.uniform(0, 90)
                person.downs.append(Down(at, AT + 40 * MINUTE + land.rng.uniform(0, 200)))


def doze_on_holiday(land: Land) -> None:
    """On a holiday offices stay off from the eve on, and phones move abroad."""
    land.settle()
    for person in people_of(land):
        draw = land.rng.random()
        if person.access == "fixed" and draw < 0.5:
            at = 13 * HOUR + land.rng.gauss(0, 2_400)
            person.downs.append(Down(at, at + 62 * HOUR, goodbye=draw < 0.2))
        elif person.access == "mobile" and draw < 0.3:
            at = DAY + land.rng.uniform(2, 10) * HOUR
            person.downs.append(Down(at, at + land.rng.uniform(2, 6) * HOUR, country="TR", asn=102))


def fall_by_regions(land: Land) -> None:
    """Region after region goes dark, half an hour apart (Sudan, 2023)."""
    land.settle()
    for turn, region in enumerate("ABC"):
        people = [p for p in people_of(land) if p.region == region]
        fall(land, people, AT + turn * 1_800, 120, 200 * HOUR)


SCENES = {
    "an operator for a day": Scene(
        end_operator,
        30,
        (Outage(Scope("KZ", asn=10), AT, 300), Outage(Scope("KZ", asn=20), AT, 500)),
    ),
    "an error in routing": Scene(
        err_in_routing, 6, (Outage(Scope("KZ", asn=10), AT, 240),), (Scope("KZ", asn=20),)
    ),
    "an island's cable": Scene(break_cable, 70, (Outage(COUNTRY),)),
    "phones, then lines": Scene(
        cut_by_steps,
        100,
        (Outage(MOBILE, AT, 1_500), Outage(COUNTRY, AT + 27 * HOUR, 900)),
        (*LINES, FIXED, COUNTRY, *PHONES),
    ),
    "phones of all operators": Scene(
        cut_phones,
        110,
        (Outage(Scope("KZ", asn=20)), Outage(MOBILE, AT, 3_000)),
        (*PHONES, Scope("KZ", asn=22)),
    ),
    "cuts for two weeks of nights": Scene(
        cut_each_night,
        360,
        tuple(Outage(COUNTRY, d * DAY + 20 * HOUR, 500, 8 * HOUR) for d in range(1, 15)),
    ),
    "slow cuts night after night": Scene(
        cut_each_night_slowly,
        300,
        tuple(Outage(COUNTRY, d * DAY + 19 * HOUR, 1_800, 9 * HOUR) for d in range(12)),
    ),
    "sleepers": Scene(
        sleep_after_cuts,
        320,
        tuple(Outage(COUNTRY, d * DAY + 19 * HOUR, 180, 9 * HOUR) for d in (3, 4, 5)),
    ),
    "a curfew's end": Scene(
        end_curfew,
        320,
        tuple(Outage(COUNTRY, d * DAY + 19 * HOUR, 1_800, 9 * HOUR) for d in range(6)),
    ),
    "VPNs": Scene(block_tunnels, 8),
    "a grid": Scene(fail_grid, 60, right=(FIXED,)),  # nothing tells it until machines are back
    "a grid for hours": Scene(fail_grid_for_hours, 24, right=(FIXED,)),
    "crashed machines": Scene(crash_machines, 40),
    "a messenger everywhere": Scene(lose_messenger, 10),
    "New Year": Scene(greet_new_year, 14),
    "newcomers for a day": Scene(meet_for_a_day, 24),
    "power, then a cut": Scene(cut_in_power_failure, 12, (Outage(COUNTRY, AT + 2 * HOUR, 600),)),
    "slow, then dark": Scene(throttle_then_cut, 8, (Outage(COUNTRY, AT + 1_800, 400),)),
    "an earthquake": Scene(shake_earth, 40, right=(Scope("KZ", "A"),)),
    "a version's certificates": Scene(renew_certificates, 26),
    "another address of ours": Scene(move_collector),
    "an attack on an operator": Scene(flood_lines),
    "polling day": Scene(cut_at_midnight, 96, (Outage(COUNTRY, NIGHT, 400),)),
    "a rally": Scene(
        cut_capital, 9, (Outage(Scope("KZ", "A", access="mobile"), AT, 300),), (MOBILE,)
    ),
    "a small fleet": Scene(cut_few, 8, (Outage(COUNTRY, AT, 600),)),
    "a town": Scene(lose_wifi, 8, right=(Scope("KZ", asn=40), Scope("KZ", "B"))),
    "a campaign's end": Scene(end_campaign, 12),
    "leaked routes": Scene(
        leak_routes,
        5,
        right=(COUNTRY, Scope("TR"), Scope("PL")),
    ),
    "a holiday": Scene(doze_on_holiday, 80),
    "region by region": Scene(
        fall_by_regions,
        8,
        (Outage(Scope("KZ", "A"), AT, 400), Outage(COUNTRY, AT, 4_500)),
        (COUNTRY,),
    ),
}
