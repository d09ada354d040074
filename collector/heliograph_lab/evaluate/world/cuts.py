"""Families of true cuts: each draws a world in which something was switched off."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from heliograph.units import DAY_US
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import VantageLocation
from heliograph_lab.evaluate.world.figures import DAY, HOUR, MINUTE, draw
from heliograph_lab.evaluate.world.habits import add_habits
from heliograph_lab.evaluate.world.people import (
    FIXED,
    MOBILE,
    REGIONS,
    CountryPlan,
    WorldVantage,
    draw_country_plan,
    draw_vantages,
)
from heliograph_lab.evaluate.world.shapes import (
    shape_fade,
    shape_providers,
    shape_return,
    shape_step,
)
from heliograph_lab.evaluate.world.world import T0_US, Spans, World, create_world, spans_of

COUNTRY = "KZ"
SIZES = (10, 20, 36, 80)  # vantages of the country or cell that is cut; assumed
QUIET_S = 3 * HOUR  # before an event, so that a detector can learn; assumed
AFTER_S = HOUR


def _draw_onset_s(rng: Random) -> float:
    """Draw the onset: on the hour 71 %, on the half 14 % (Destination Unreachable)."""
    hour_s = QUIET_S + HOUR * rng.randrange(0, 24)
    chance = rng.random()
    if chance < 0.706:
        return hour_s
    return hour_s + (30 * MINUTE if chance < 0.848 else rng.uniform(0, HOUR))


def _spared(rng: Random, members: Sequence[WorldVantage]) -> list[WorldVantage]:
    """Leave a remainder out, hosting first: exempt networks stay."""
    share = draw(rng, "remainder")
    order = rng.sample(list(members), len(members))
    order.sort(key=_is_not_hosting)
    return order[round(share * len(order)) :]


def _is_not_hosting(vantage: WorldVantage) -> bool:
    return vantage.location.access != "hosting"


def _national(kind: str, seed: int, rng: Random) -> tuple[World, float, float]:
    """Create a world with room for one cut; return it with the cut's onset and end."""
    onset_s = _draw_onset_s(rng)
    end_s = onset_s + max(2 * HOUR, draw(rng, "cut_lasts"))
    world = create_world(kind, seed, rng, end_s + 4 * HOUR + AFTER_S, rng.choice(SIZES))
    return world, onset_s, end_s


def draw_step(rng: Random, seed: int, kind: str) -> World:
    """Draw a national cut at one moment, with a remainder and a return in parts."""
    world, onset_s, end_s = _national("step", seed, rng)
    members = _spared(rng, world.members(Scope(COUNTRY)))
    offsets = shape_step(rng, members, draw(rng, "step_spread"))
    spans = spans_of(members, onset_s, offsets, end_s, shape_return(rng, members))
    world.cut(Scope(COUNTRY), spans)
    return world


def draw_providers(rng: Random, seed: int, kind: str) -> World:
    """Draw a national cut operator by operator."""
    spread_s = draw(rng, "providers_spread")
    world, onset_s, end_s = _national("providers", seed, rng)
    end_s += spread_s
    world.lasts_s += spread_s
    members = _spared(rng, world.members(Scope(COUNTRY)))
    offsets = shape_providers(rng, members, spread_s)
    world.cut(
        Scope(COUNTRY), spans_of(members, onset_s, offsets, end_s, shape_return(rng, members))
    )
    return world


def draw_fade(rng: Random, seed: int, kind: str) -> World:
    """Draw a national fade: nine tenths are gone after 1 h, 3 h or a swept time.

    `kind` selects it.
    """
    halves = {"1h": 0.5 * HOUR, "3h": 1.4 * HOUR}  # nine tenths after about 1 and 3 h
    half_s = halves.get(kind) or draw(rng, "fade_half")
    world, onset_s, end_s = _national("fade", seed, rng)
    end_s += 3 * half_s
    world.lasts_s += 3 * half_s
    members = _spared(rng, world.members(Scope(COUNTRY)))
    offsets = shape_fade(rng, members, half_s)
    world.cut(
        Scope(COUNTRY), spans_of(members, onset_s, offsets, end_s, shape_return(rng, members))
    )
    return world


def draw_part(rng: Random, seed: int, kind: str) -> World:
    """Draw a cut of one region, one operator or all phones (`kind`), for hours."""
    onset_s = _draw_onset_s(rng)
    end_s = onset_s + max(HOUR, draw(rng, "cut_lasts"))
    scope = {
        "region": Scope(COUNTRY, region=rng.choice(REGIONS)),
        "operator": Scope(COUNTRY, asn=rng.choice((*MOBILE, *FIXED))),
        "mobile": Scope(COUNTRY, access="mobile"),
    }[kind]
    parts = {"region": 0.25, "operator": 0.16, "mobile": 0.45}  # of a country; see people.py
    count = round(rng.choice(SIZES) / parts[kind])
    world = create_world(kind, seed, rng, end_s + AFTER_S, min(count, 240))
    members = world.members(scope)
    offsets = shape_step(rng, members, draw(rng, "step_spread"))
    world.cut(scope, spans_of(members, onset_s, offsets, end_s))
    return world


def draw_nat(rng: Random, seed: int, kind: str) -> World:
    """Draw a cut of 28 phones behind one carrier NAT, beside 30 lines."""
    onset_s = _draw_onset_s(rng)
    end_s = onset_s + max(HOUR, draw(rng, "cut_lasts"))
    world = World("nat", seed, rng, end_s + AFTER_S)
    world.vantages = create_world("nat", seed, rng, world.lasts_s, 1).vantages[1:]
    plan = replace(draw_country_plan(rng, COUNTRY, 400), pools=1)
    drawn = draw_vantages(rng, plan, T0_US)
    phones = [v for v in drawn if v.location.asn == MOBILE[0]][:28]
    lines = [v for v in drawn if v.location.access == "fixed"][:30]
    add_habits(rng, [*phones, *lines], world.lasts_s)
    world.vantages += [*phones, *lines]
    offsets = shape_step(rng, phones, draw(rng, "step_spread"))
    world.cut(Scope(COUNTRY, access="mobile"), spans_of(phones, onset_s, offsets, end_s))
    return world


def draw_curfew(rng: Random, seed: int, kind: str) -> World:
    """Draw nightly cuts of phones or of all, with a spread for each operator."""
    nights = round(draw(rng, "curfew_nights"))
    scope = Scope(COUNTRY, access="mobile") if rng.random() < 0.5 else Scope(COUNTRY)
    world = create_world("curfew", seed, rng, (nights + 1) * DAY, rng.choice(SIZES[1:]))
    members = world.members(scope)
    lasts_s = draw(rng, "curfew_lasts")
    spread_s = max(10.0, draw(rng, "curfew_spread"))
    for night in range(nights):
        at_s = night * DAY + 17 * HOUR
        offsets = shape_providers(rng, members, spread_s)
        back = shape_providers(rng, members, spread_s)
        world.cut(scope, spans_of(members, at_s, offsets, at_s + lasts_s, back))
    return world


def draw_drain(rng: Random, seed: int, kind: str) -> World:
    """Draw a country of 36 that loses one vantage after the other down to the last."""
    lasts_s = draw(rng, "drain_lasts")
    onset_s = _draw_onset_s(rng)
    world = create_world("drain", seed, rng, onset_s + lasts_s + 8 * HOUR, 36)
    members = rng.sample(world.members(Scope(COUNTRY)), 35)
    offsets = sorted(rng.uniform(0, lasts_s) for _ in members)
    world.cut(Scope(COUNTRY), spans_of(members, onset_s, offsets, world.lasts_s + HOUR))
    return world


def draw_cable(rng: Random, seed: int, kind: str) -> World:
    """Draw one cable that takes three of five countries for hours."""
    onset_s = _draw_onset_s(rng)
    end_s = onset_s + draw(rng, "cable_lasts")
    world = create_world("cable", seed, rng, end_s + AFTER_S, 36, 36)
    spread_s = draw(rng, "step_spread")
    for code in rng.sample(sorted({v.location.country for v in world.vantages}), 3):
        members = _spared(rng, world.members(Scope(code)))
        world.cut(
            Scope(code), spans_of(members, onset_s, shape_step(rng, members, spread_s), end_s)
        )
    return world


def draw_several(rng: Random, seed: int, kind: str) -> World:
    """Draw independent cuts of two or three countries within an hour."""
    first_s = _draw_onset_s(rng)
    world = create_world("several", seed, rng, first_s + 6 * HOUR, 36, 36)
    codes = rng.sample(sorted({v.location.country for v in world.vantages}), rng.choice((2, 3)))
    for number, code in enumerate(codes):
        onset_s = first_s + (rng.uniform(2 * MINUTE, HOUR) if number else 0)
        members = world.members(Scope(code))
        offsets = shape_step(rng, members, draw(rng, "step_spread"))
        end_s = onset_s + rng.uniform(1, 4) * HOUR
        world.cut(Scope(code), spans_of(members, onset_s, offsets, end_s))
    return world


def draw_campus(rng: Random, seed: int, kind: str) -> World:
    """Draw a campus of forty vantages in forty prefixes, whose link fails for hours.

    The truth is of the campus alone; its forty weigh as five, because they are one network.
    """
    onset_s = _draw_onset_s(rng)
    end_s = onset_s + rng.uniform(0.5, 4) * HOUR
    world = create_world("campus", seed, rng, end_s + AFTER_S, 30)
    location = VantageLocation(COUNTRY, REGIONS[0], 401, "fixed")
    plan = CountryPlan(COUNTRY, 40, 1, draw(rng, "churn"), draw(rng, "churn_spread"), 0.0, 60.0)
    campus = draw_vantages(rng, plan, T0_US)
    for number, vantage in enumerate(campus):
        name = f"campus-{number}"
        vantage.ref = replace(
            vantage.ref, nym=name, prefix=name, place=location, first_us=T0_US - 60 * DAY_US
        )
        vantage.weight = 5 / len(campus)
    add_habits(rng, campus, world.lasts_s)
    world.vantages += campus
    spans: Spans = spans_of(campus, onset_s, shape_step(rng, campus, 10), end_s)
    world.cut(Scope(COUNTRY, asn=location.asn), spans)
    return world


def draw_exams(rng: Random, seed: int, kind: str) -> World:
    """Draw national cuts in the same hours of each exam day, daily or every other day."""
    days = round(draw(rng, "exam_days"))
    every = rng.choice((1, 2))
    world = create_world("exams", seed, rng, (days * every + 1) * DAY, rng.choice(SIZES[1:]))
    members = _spared(rng, world.members(Scope(COUNTRY)))
    at_s = rng.choice((0, 1)) * HOUR  # 5:00 or 6:00 in Kazakhstan
    lasts_s = draw(rng, "exam_lasts")
    spread_s = draw(rng, "step_spread")
    for day in range(days):
        since_s = (1 + day * every) * DAY + at_s
        offsets = shape_step(rng, members, spread_s)
        back = shape_step(rng, members, spread_s)
        world.cut(Scope(COUNTRY), spans_of(members, since_s, offsets, since_s + lasts_s, back))
    return world


def draw_reroute(rng: Random, seed: int, kind: str) -> World:
    """Draw a cable that takes some operators of two countries; some find another way."""
    onset_s = _draw_onset_s(rng)
    end_s = onset_s + max(2.5 * HOUR, draw(rng, "cable_lasts"))
    world = create_world("reroute", seed, rng, end_s + AFTER_S, 80, 36)
    reroute_share = draw(rng, "reroute_share")
    for code in rng.sample(sorted({v.location.country for v in world.vantages}), 2):
        for asn in rng.sample((*MOBILE, *FIXED), rng.choice((2, 3, 4))):
            members = world.members(Scope(code, asn=asn))
            is_rerouted = rng.random() < reroute_share
            until_s = onset_s + draw(rng, "reroute_after") if is_rerouted else end_s
            offsets = shape_step(rng, members, draw(rng, "step_spread"))
            back = shape_step(rng, members, 2 * MINUTE)
            world.cut(Scope(code, asn=asn), spans_of(members, onset_s, offsets, until_s, back))
    return world


def draw_ipv6(rng: Random, seed: int, kind: str) -> World:
    """Draw a failure of an operator's IPv6, which is the only way of its phones.

    Lines of another operator fall back to IPv4 and come back after a minute.
    """
    onset_s = _draw_onset_s(rng)
    end_s = onset_s + draw(rng, "ipv6_lasts")
    world = create_world("ipv6", seed, rng, end_s + AFTER_S, 80)
    asn = rng.choice(MOBILE)
    share = draw(rng, "ipv6_phones")
    phones = [v for v in world.members(Scope(COUNTRY, asn=asn)) if rng.random() < share]
    offsets = shape_step(rng, phones, draw(rng, "step_spread"))
    world.cut(Scope(COUNTRY, asn=asn), spans_of(phones, onset_s, offsets, end_s))
    lines = world.members(Scope(COUNTRY, asn=rng.choice(FIXED)))
    since_s = tuple(onset_s + rng.uniform(0, MINUTE) for _ in lines)
    until_s = tuple(since + rng.uniform(5, 90) for since in since_s)
    world.disturb("ipv6", Spans(tuple(lines), since_s, until_s), "path")
    return world
