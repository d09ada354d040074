"""Families of ordinary trouble, without cuts: clouds, moves, calendars, schedules."""

import math
from dataclasses import replace
from random import Random

from heliograph.units import DAY_US
from heliograph_collector.model.scope import Scope
from heliograph_lab.evaluate.world.figures import DAY, HOUR, MINUTE, draw
from heliograph_lab.evaluate.world.people import (
    COUNTRIES,
    MOBILE,
    OTHER_ENTRANCE,
    REGIONS,
    Silence,
    WorldVantage,
)
from heliograph_lab.evaluate.world.world import (
    Spans,
    TruthDetails,
    World,
    create_world,
    spans_of,
)

COUNTRY = COUNTRIES[0]
BED_S = 17 * HOUR  # 22:00 in Kazakhstan
OFFICE_OPENS_S = 4 * HOUR  # 9:00
OFFICE_CLOSES_S = 13 * HOUR  # 18:00
CLOCK_SHIFT_S = HOUR  # of the change to summer time


def draw_cloud(rng: Random, seed: int, kind: str) -> World:
    """Draw a failing cloud that serves our second entrance and all of our anchors.

    Its sites fail by country: sessions through it die, and returning agents report dead anchors.
    """
    at_s = rng.uniform(3, 27) * HOUR
    lasts_s = draw(rng, "cloud_lasts")
    world = create_world("cloud", seed, rng, at_s + lasts_s + 2 * HOUR, 36, 36)
    share_by_country = {code: rng.uniform(0.3, 1.0) for code in COUNTRIES}
    behind_cloud = draw(rng, "cloud_share")
    for vantage in world.vantages:
        if rng.random() < behind_cloud:
            vantage.ref = replace(vantage.ref, carrier=OTHER_ENTRANCE)
    members = [
        v
        for v in world.vantages
        if v.ref.carrier == OTHER_ENTRANCE and rng.random() < share_by_country[v.location.country]
    ]
    typical_s = draw(rng, "own_block_return")
    since_s = tuple(at_s + rng.uniform(0, 5 * MINUTE) for _ in members)
    until_s = tuple(
        min(since + 5 + rng.expovariate(1 / typical_s), at_s + lasts_s)
        if vantage.has_other_way
        else at_s + lasts_s
        for vantage, since in zip(members, since_s, strict=True)
    )
    world.disturb("cloud", Spans(tuple(members), since_s, until_s), "path")
    return world


def draw_moved(rng: Random, seed: int, kind: str) -> World:
    """Draw a move of the collector's address, which resolvers learn one by one."""
    at_s = rng.uniform(3, 27) * HOUR
    world = create_world("moved", seed, rng, at_s + 30 * HOUR, 36, 36)
    life_s = draw(rng, "name_life")
    late_share = draw(rng, "name_late_share")
    resolvers = {(v.location.country, v.location.asn) for v in world.vantages}
    learn_s = {
        resolver: draw(rng, "name_late") if rng.random() < late_share else rng.uniform(0, life_s)
        for resolver in sorted(resolvers)
    }
    members = world.members(Scope(""))
    since_s = tuple(at_s + rng.uniform(0, 10) for _ in members)
    until_s = tuple(
        max(since + 5, at_s + learn_s[v.location.country, v.location.asn])
        for v, since in zip(members, since_s, strict=True)
    )
    world.disturb("moved", Spans(tuple(members), since_s, until_s), "transit")
    return world


def draw_nat_moves(rng: Random, seed: int, kind: str) -> World:
    """Draw a night in which an operator moves its phones to other carrier NATs."""
    at_s = DAY + rng.uniform(18, 24) * HOUR
    world = create_world("nat_moves", seed, rng, at_s + 20 * HOUR, rng.choice((36, 80)))
    phones = world.members(Scope(COUNTRY, asn=rng.choice(MOBILE)))
    spread_s = draw(rng, "nat_moves_spread")
    pools = round(draw(rng, "nat_pools"))
    since_s = tuple(at_s + rng.uniform(0, spread_s) for _ in phones)
    until_s = tuple(since + draw(rng, "nat_moves_down") for since in since_s)
    for phone, until in zip(phones, until_s, strict=True):
        phone.moves.append((until, f"{COUNTRY}-new-nat-{rng.randrange(pools)}"))
    world.disturb("nat_moves", Spans(tuple(phones), since_s, until_s), "path")
    return world


def draw_holiday(rng: Random, seed: int, kind: str) -> World:
    """Draw eleven days with offices, evenings, a clock change and a public holiday."""
    days = 11
    holiday = rng.choice((7, 8, 9))  # Monday to Wednesday of the second week
    shift_day = rng.choice((5, 6))  # the clock changes on a weekend
    world = create_world("holiday", seed, rng, days * DAY, rng.choice((20, 36, 80)), 20)
    home = [v for v in world.members(Scope(COUNTRY)) if v.location.access != "hosting"]
    sleeping_share = draw(rng, "evening_share")
    office_share = draw(rng, "office_share")
    spread_s = draw(rng, "evening_spread")
    for vantage in home:
        chance = rng.random()
        if vantage.location.access == "fixed" and chance < office_share:
            _add_office(rng, vantage, days, holiday, shift_day)
        elif chance < sleeping_share:
            _add_evenings(rng, vantage, days, holiday, shift_day, spread_s)
    spans = spans_of(home, 0.0, [0.0] * len(home), days * DAY)
    world.record(TruthDetails("confounder", Scope(COUNTRY), "holiday"), spans)
    return world


def _add_office(
    rng: Random, vantage: WorldVantage, days: int, holiday: int, shift_day: int
) -> None:
    """Let an office machine be here on working days alone."""
    leaves_s = 0.0  # all are here when the world begins
    for day in range(days):
        if day % 7 in (5, 6) or day == holiday:
            continue
        earlier_s = CLOCK_SHIFT_S if day >= shift_day else 0.0
        opens_s = day * DAY + OFFICE_OPENS_S - earlier_s + rng.gauss(0, 20 * MINUTE)
        if day:
            vantage.silences.append(Silence(leaves_s, opens_s, "own"))
        leaves_s = day * DAY + OFFICE_CLOSES_S - earlier_s + rng.gauss(0, 30 * MINUTE)
    vantage.silences.append(Silence(leaves_s, days * DAY, "own"))


def _add_evenings(
    rng: Random, vantage: WorldVantage, days: int, holiday: int, shift_day: int, spread_s: float
) -> None:
    """Silence a vantage each evening: by the new clock, later before a free day."""
    for day in range(days):
        earlier_s = CLOCK_SHIFT_S if day >= shift_day else 0.0
        is_free_next = (day + 1) % 7 in (5, 6) or day + 1 == holiday
        later_s = rng.uniform(0, 2 * HOUR) if is_free_next else 0.0
        since_s = max(1.0, rng.gauss(day * DAY + BED_S - earlier_s + later_s, spread_s))
        until_s = max(since_s + HOUR, rng.gauss((day + 1) * DAY + 2 * HOUR + later_s, HOUR))
        vantage.silences.append(Silence(since_s, until_s, "own"))


def draw_phones(rng: Random, seed: int, kind: str) -> World:
    """Draw four nights of a country of phones, nearly all of which stop in the night."""
    nights = 4
    world = create_world("phones", seed, rng, (nights + 0.5) * DAY, rng.choice((36, 80, 240)), 36)
    phones = world.members(Scope(COUNTRY, access="mobile"))
    names = {v.ref.nym for v in phones}
    world.vantages = [
        v for v in world.vantages if v.location.country != COUNTRY or v.ref.nym in names
    ]
    share = draw(rng, "phones_share")
    spread_s = draw(rng, "evening_spread")
    for night in range(nights):
        sleepers = [v for v in phones if rng.random() < share]
        at_s = night * DAY + BED_S
        since_s = tuple(max(1.0, rng.gauss(at_s, spread_s)) for _ in sleepers)
        until_s = tuple(max(s + HOUR, rng.gauss(at_s + 9 * HOUR, HOUR)) for s in since_s)
        world.disturb("phones", Spans(tuple(sleepers), since_s, until_s), "own")
    return world


def draw_rolling(rng: Random, seed: int, kind: str) -> World:
    """Draw three days of scheduled power cuts by groups, half of the time regions."""
    days = 3
    world = create_world("rolling", seed, rng, days * DAY, rng.choice((36, 80)))
    lines = [v for v in world.members(Scope(COUNTRY)) if v.location.access == "fixed"]
    groups = round(draw(rng, "rolling_groups"))
    is_regional = rng.random() < 0.5
    battery_share = draw(rng, "rolling_battery_share")
    by_group: dict[int, list[WorldVantage]] = {}
    for vantage in lines:
        group = REGIONS.index(vantage.location.region) if is_regional else rng.randrange(groups)
        if rng.random() >= battery_share:  # others have a battery that lasts a slot
            by_group.setdefault(group, []).append(vantage)
    slot_s = rng.choice((2, 4)) * HOUR
    shed_at_once = rng.choice((1, 2))
    count = len(REGIONS) if is_regional else groups
    for slot in range(1, math.floor(days * DAY / slot_s)):
        for number in range(shed_at_once):
            members = by_group.get((slot * shed_at_once + number) % count, [])
            offsets = [draw(rng, "rolling_spread") for _ in members]
            lasts_s = slot_s + rng.uniform(0, 0.5) * HOUR
            spans = spans_of(members, slot * slot_s, offsets, slot * slot_s + lasts_s)
            if members:
                world.disturb("power", spans, "power")
    first_day = world.since_us // DAY_US
    world.risky_days |= {(COUNTRY, first_day + day) for day in range(days)}
    return world
