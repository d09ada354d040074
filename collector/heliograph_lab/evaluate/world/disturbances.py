"""Families without a cut: each breaks an assumption that a detector could make."""

from random import Random

from heliograph_collector.model.scope import Scope
from heliograph_lab.evaluate.world.figures import DAY, HOUR, MINUTE, draw
from heliograph_lab.evaluate.world.people import (
    COUNTRIES,
    FIXED,
    MAIN_ENTRANCE,
    REGIONS,
    Silence,
    WorldVantage,
)
from heliograph_lab.evaluate.world.shapes import shape_fade, shape_power
from heliograph_lab.evaluate.world.world import Spans, TruthDetails, World, create_world, spans_of

COUNTRY = COUNTRIES[0]


def _draw_moment_s(rng: Random) -> float:
    return rng.uniform(3, 27) * HOUR


def draw_power(rng: Random, seed: int, kind: str) -> World:
    """Draw a power cut of one, two or all regions; lines fall first, then masts."""
    at_s = _draw_moment_s(rng)
    half_s = draw(rng, "power_back_half")
    world = create_world("power", seed, rng, at_s + 4 * half_s, rng.choice((20, 36, 80)))
    regions = rng.sample(REGIONS, rng.choice((1, 2, len(REGIONS))))
    members = [v for v in world.members(Scope(COUNTRY)) if v.location.region in regions]
    offsets = shape_power(rng, members)
    back = shape_fade(rng, members, half_s)  # the same curve, upward: a recovery that trickles
    spans = spans_of(members, at_s, offsets, at_s + 0.2 * half_s, back)
    world.disturb("power", spans, "power")
    return world


def draw_own_block(rng: Random, seed: int, kind: str) -> World:
    """Draw a block of our main entrance in one country; agents return by another."""
    at_s = _draw_moment_s(rng)
    lasts_s = draw(rng, "own_block_lasts")
    typical_s = draw(rng, "own_block_return")
    world = create_world("own_block", seed, rng, at_s + lasts_s + HOUR, rng.choice((20, 36, 80)))
    home = world.members(Scope(COUNTRY))
    members = [v for v in home if v.ref.carrier == MAIN_ENTRANCE]
    since_s = tuple(at_s + rng.uniform(0, 30) for _ in members)
    until_s = tuple(
        min(since + 5 + rng.expovariate(1 / typical_s), at_s + lasts_s)
        if vantage.has_other_way
        else at_s + lasts_s
        for vantage, since in zip(members, since_s, strict=True)
    )
    world.disturb("own_block", Spans(tuple(members), since_s, until_s), "address")
    return world


def draw_transit(rng: Random, seed: int, kind: str) -> World:
    """Draw a failure of our transit to two or three countries for a few minutes."""
    at_s = _draw_moment_s(rng)
    world = create_world("transit", seed, rng, at_s + 2 * HOUR, 36, 36)
    codes = rng.sample(COUNTRIES, rng.choice((2, 3)))
    members = [v for v in world.vantages if v.location.country in codes]
    offsets = [rng.uniform(0, 5) for _ in members]
    world.disturb(
        "transit", spans_of(members, at_s, offsets, at_s + draw(rng, "transit_lasts")), "transit"
    )
    return world


def draw_crash(rng: Random, seed: int, kind: str) -> World:
    """Draw an undeclared crash-restart of most agents, in all countries at once."""
    at_s = _draw_moment_s(rng)
    share = draw(rng, "crash_share")
    typical_s = draw(rng, "crash_return")
    world = create_world("crash", seed, rng, at_s + 3 * HOUR, 36, 36)
    members = [v for v in world.vantages if rng.random() < share]
    back = [rng.expovariate(1 / typical_s) for _ in members]
    offsets = [rng.uniform(0, 20) for _ in members]
    world.disturb("crash", spans_of(members, at_s, offsets, at_s + 20, back), "killed")
    return world


def draw_evening(rng: Random, seed: int, kind: str) -> World:
    """Draw eight evenings on which most switch off without a goodbye."""
    evenings = 8
    share = draw(rng, "evening_share")
    spread_s = draw(rng, "evening_spread")
    world = create_world("evening", seed, rng, (evenings + 1) * DAY, rng.choice((20, 36)), 36)
    sleepers = [v for v in world.members(Scope(COUNTRY)) if rng.random() < share]
    for evening in range(evenings):
        at_s = evening * DAY + 17 * HOUR  # 22:00 or 23:00 in Kazakhstan
        since_s = tuple(max(1.0, rng.gauss(at_s, spread_s)) for _ in sleepers)
        until_s = tuple(rng.gauss(at_s + 9 * HOUR, HOUR) for _ in sleepers)
        until_s = tuple(max(s + HOUR, u) for s, u in zip(since_s, until_s, strict=True))
        world.disturb("evening", Spans(tuple(sleepers), since_s, until_s), "own")
    return world


def draw_renumber(rng: Random, seed: int, kind: str) -> World:
    """Draw three nights on which an operator makes every line reconnect."""
    spread_s = draw(rng, "renumber_spread")
    world = create_world("renumber", seed, rng, 3.5 * DAY, rng.choice((36, 80)))
    lines = world.members(Scope(COUNTRY, asn=rng.choice(FIXED)))
    for night in range(3):
        at_s = night * DAY + 21 * HOUR
        since_s = tuple(at_s + rng.uniform(0, spread_s) for _ in lines)
        until_s = tuple(since + draw(rng, "renumber_down") for since in since_s)
        world.disturb("renumber", Spans(tuple(lines), since_s, until_s), "path")
    return world


def draw_doze(rng: Random, seed: int, kind: str) -> World:
    """Draw two nights on which phones sleep, and wake for minutes between."""
    world = create_world("doze", seed, rng, 2.5 * DAY, rng.choice((36, 80)))
    phones = world.members(Scope(COUNTRY, access="mobile"))
    for night in range(2):
        since_s: list[float] = []
        until_s: list[float] = []
        for phone in phones:
            _add_doze(rng, phone, night * DAY + 17 * HOUR, since_s, until_s)
        world.record(_confounder("doze"), Spans(tuple(phones), tuple(since_s), tuple(until_s)))
    return world


def _add_doze(
    rng: Random, phone: WorldVantage, bed_s: float, since_s: list[float], until_s: list[float]
) -> None:
    """Add one night of a phone: silences of an hour and more, with windows between."""
    first_s = bed_s + rng.gauss(0, HOUR)
    wake_s = first_s + rng.uniform(6, 9) * HOUR
    second = first_s
    gap_s = HOUR
    while second < wake_s:
        phone.silences.append(Silence(second, min(wake_s, second + gap_s), "own"))
        second += gap_s + draw(rng, "doze_window")
        gap_s = min(6 * HOUR, 2 * gap_s)
    since_s.append(first_s)
    until_s.append(wake_s)


def draw_throttled(rng: Random, seed: int, kind: str) -> World:
    """Draw a country whose sessions break for hours, because packets are lost."""
    at_s = _draw_moment_s(rng)
    lasts_s = rng.uniform(3, 24) * HOUR
    loss = draw(rng, "throttle_loss")
    typical_s = draw(rng, "throttle_session")
    world = create_world("throttled", seed, rng, at_s + lasts_s + HOUR, rng.choice((20, 36)))
    members = world.members(Scope(COUNTRY))
    for vantage in members:
        second = at_s + rng.expovariate(1 / typical_s)
        while second < at_s + lasts_s:
            down_s = rng.expovariate((1 - loss) / (loss * typical_s))
            vantage.silences.append(Silence(second, second + down_s, "path"))
            second += down_s + rng.expovariate(1 / typical_s)
    spans = spans_of(members, at_s, [0.0] * len(members), at_s + lasts_s)
    world.record(_confounder("throttled"), spans)
    return world


def draw_update(rng: Random, seed: int, kind: str) -> World:
    """Draw an undeclared update of one country's agents, within minutes or hours."""
    at_s = _draw_moment_s(rng)
    world = create_world("update", seed, rng, at_s + 8 * HOUR, 36, 36)
    members = world.members(Scope(COUNTRY))
    spread_s = rng.choice((10 * MINUTE, 6 * HOUR))
    since_s = tuple(at_s + rng.uniform(0, spread_s) for _ in members)
    until_s = tuple(since + rng.uniform(10, 90) for since in since_s)
    world.disturb("update", Spans(tuple(members), since_s, until_s), "killed")
    return world


def draw_quiet(rng: Random, seed: int, kind: str) -> World:
    """Draw a week of five countries with habits alone; all of its days count."""
    world = create_world("quiet", seed, rng, 7 * DAY)
    first_day = world.since_us // 86_400_000_000
    world.risky_days |= {(code, first_day + day) for code in COUNTRIES for day in range(7)}
    return world


def _confounder(label: str) -> TruthDetails:
    return TruthDetails("confounder", Scope(COUNTRY), label)
