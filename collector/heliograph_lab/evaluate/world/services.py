"""Families of blocked and failing services, tested as the default plan does."""

from random import Random

from heliograph.experiments import REGISTRY
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import VoteValue
from heliograph_lab.evaluate.world.figures import DAY, HOUR, MINUTE, draw
from heliograph_lab.evaluate.world.people import COUNTRIES, FIXED, MOBILE, REGIONS
from heliograph_lab.evaluate.world.shapes import shape_step
from heliograph_lab.evaluate.world.world import (
    PlannedTest,
    TruthDetails,
    World,
    create_world,
    spans_of,
)

COUNTRY = COUNTRIES[0]
LAYERS = (("dns", "nxdomain"), ("tcp", "timeout"), ("tls", "timeout"), ("tls", "reset"))
# services of the default plan, and how often it tests each
INTERVALS_S = tuple(
    (name, float(REGISTRY[name].interval_s)) for name in ("telegram", "whatsapp", "viber")
)
LEARN_S = 12 * HOUR  # quiet tests before a block; assumed
LEAST = 5  # vantages of what is blocked: fewer confirm nothing
SIZES = (10, 20, 36, 80)  # vantages of the country; assumed


def add_test(world: World, rng: Random, kind: str = "") -> str:
    """Let all test one service; return its name."""
    intervals_s = dict(INTERVALS_S)
    service = kind if kind in intervals_s else rng.choice(INTERVALS_S)[0]
    world.tests.append(
        PlannedTest(
            service,
            intervals_s[service],
            draw(rng, "test_noise"),
            draw(rng, "unknown"),
            light_s=float(REGISTRY[service].light_interval_s),
        )
    )
    return service


def _draw_scope(rng: Random) -> tuple[Scope, str]:
    return rng.choice(
        (
            (Scope(COUNTRY), "national"),
            (Scope(COUNTRY, access="mobile"), "mobile-only"),
            (Scope(COUNTRY, asn=rng.choice((*MOBILE, *FIXED))), "one-operator"),
        )
    )


def draw_block(rng: Random, seed: int, kind: str) -> World:
    """Draw a block of one service (`kind`) at one layer, for hours to days."""
    lasts_s = draw(rng, "block_lasts")
    at_s = LEARN_S + rng.uniform(0, 3 * HOUR)
    world = create_world("block", seed, rng, at_s + lasts_s + 3 * HOUR, rng.choice(SIZES), 20)
    scope, label = _draw_scope(rng)
    if len(world.members(scope)) < LEAST:
        scope = Scope(COUNTRY)
        label = "national"
    members = world.members(scope)
    layer, method = rng.choice(LAYERS)
    details = TruthDetails("block", scope, label, add_test(world, rng, kind), layer)
    spans = spans_of(members, at_s, shape_step(rng, members, 60), at_s + lasts_s)
    world.trouble(details, spans, VoteValue.BLOCKED, method)
    return world


def draw_partial(rng: Random, seed: int, kind: str) -> World:
    """Draw a messenger that fails some 40 % of a country's tests for a day."""
    world = create_world("partial", seed, rng, LEARN_S + 30 * HOUR, 36, 20)
    members = world.members(Scope(COUNTRY))
    details = TruthDetails(
        "block", Scope(COUNTRY), "national", add_test(world, rng, "telegram"), "tls"
    )
    spans = spans_of(members, LEARN_S, [0.0] * len(members), LEARN_S + 24 * HOUR)
    share = draw(rng, "partial_share")
    world.trouble(details, spans, VoteValue.BLOCKED, "timeout", share)
    return world


def draw_backlog(rng: Random, seed: int, kind: str) -> World:
    """Draw a national block that begins while the judge is minutes to an hour behind."""
    at_s = LEARN_S + rng.uniform(0, HOUR)
    world = create_world("backlog", seed, rng, at_s + 8 * HOUR, 36, 20)
    behind_s = draw(rng, "backlog")
    began_s = at_s - rng.uniform(0, behind_s / 2)
    world.backlogs.append((began_s, began_s + behind_s))
    members = world.members(Scope(COUNTRY))
    details = TruthDetails(
        "block", Scope(COUNTRY), "national", add_test(world, rng, "telegram"), "tls"
    )
    spans = spans_of(members, at_s, shape_step(rng, members, 60), at_s + 6 * HOUR)
    world.trouble(details, spans, VoteValue.BLOCKED, "timeout")
    return world


def draw_service_down(rng: Random, seed: int, kind: str) -> World:
    """Draw a service that fails everywhere for a while: it is down, not blocked."""
    at_s = LEARN_S + rng.uniform(0, HOUR)
    lasts_s = rng.uniform(10 * MINUTE, 3 * HOUR)
    world = create_world("service_down", seed, rng, at_s + lasts_s + 3 * HOUR, 36, 36)
    details = TruthDetails("confounder", Scope(""), "service_down", add_test(world, rng), "tcp")
    offsets = shape_step(rng, world.vantages, 60)
    spans = spans_of(world.vantages, at_s, offsets, at_s + lasts_s)
    seen_by_control = rng.random() < 0.5  # then the judge says down, else blocked; assumed
    value = VoteValue.DOWN if seen_by_control else VoteValue.BLOCKED
    world.trouble(details, spans, value, "timeout", rng.uniform(0.6, 1.0))
    return world


def draw_site_down(rng: Random, seed: int, kind: str) -> World:
    """Draw a failing anycast site of a service, which serves some networks anywhere."""
    at_s = LEARN_S + rng.uniform(0, HOUR)
    lasts_s = rng.uniform(10 * MINUTE, 3 * HOUR)
    world = create_world("site_down", seed, rng, at_s + lasts_s + 3 * HOUR, 36, 36)
    served = {(c, asn) for c in COUNTRIES for asn in (*MOBILE, *FIXED) if rng.random() < 0.3}
    members = [
        v for v in world.vantages if (v.location.country, v.location.asn) in served
    ] or world.members(Scope(COUNTRY, REGIONS[0]))
    details = TruthDetails("confounder", Scope(""), "site_down", add_test(world, rng), "tcp")
    spans = spans_of(members, at_s, shape_step(rng, members, 60), at_s + lasts_s)
    world.trouble(details, spans, VoteValue.BLOCKED, "timeout")
    return world


def draw_tested(rng: Random, seed: int, kind: str) -> World:
    """Draw four days of tests with nothing but their noise; all of these days count."""
    world = create_world("tested", seed, rng, 4 * DAY, 36, 36)
    for service, _ in INTERVALS_S:
        add_test(world, rng, service)
    first_day = world.since_us // 86_400_000_000
    world.risky_days |= {(code, first_day + day) for code in COUNTRIES for day in range(4)}
    return world
