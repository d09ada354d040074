"""Scenes of the far world: public events, in fleets shaped like real countries.

A day of history comes first. Each builder gives the truth with its source or physics; a draw gives
the time of day, so that one scene at several seeds is several nights and mornings.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random

from heliograph_collector.incidents.incident import IncidentKind
from support.far_countries import COUNTRIES, Operator, add_vantage, settle_countries
from support.far_truths import BLOCKED, OURS, FarScene, Owed, Who
from support.far_world import DAY, FIRST, HOUR, SECOND, Block, Span, Vantage, World, stamp

Act = Callable[[World], None]
POWER = (IncidentKind.POWER,)


def cut(
    world: World, people: Iterable[Vantage], span: Span, spread: float = 15, slow: float = 60
) -> None:
    for one in people:
        since = span.since + world.rng.uniform(0, spread)
        one.dark.append(Span(since, span.until + world.rng.uniform(0, slow)))


def lose_power(
    world: World, people: Iterable[Vantage], at: float, hours: tuple[float, float], masts: float
) -> None:
    """Cut the power: routers go off at once, masts after at most `masts` seconds."""
    rng = world.rng
    for one in people:
        since, until = at + rng.uniform(0, 400), at + rng.uniform(*hours) * HOUR
        if one.access == "mobile":
            since += rng.uniform(0.3, 1) * masts
        if since < until:
            spans = one.dark if one.has_battery else one.off
            spans.append(Span(since, until))


def bar(world: World, people: Iterable[Vantage], entrance: str, span: Span) -> None:
    for one in people:
        since = span.since + world.rng.uniform(0, 5)
        one.barred.setdefault(entrance, []).append(Span(since, span.until))


def people_of(code: str, **where: object) -> Who:
    def is_one(vantage: Vantage) -> bool:
        is_there = vantage.country == code and vantage.access != "hosting"
        return is_there and all(getattr(vantage, key) == value for key, value in where.items())

    return is_one


def _draw_time(name: str, seed: int) -> float:
    return DAY + Random(f"{name} {seed}").uniform(4, 28) * HOUR


def _cut_off(
    code: str, hours: float, within_s: float, **where: object
) -> Callable[[float], FarScene]:
    """Return a scene in which all of these people are dark for some hours."""

    def create(at: float) -> FarScene:
        span = Span(at, at + hours * HOUR)

        def build(world: World) -> None:
            settle_countries(world, code)
            cut(world, world.select_people(**where), span)

        few = code in ("MH", "TM", "TO")
        owed = Owed(people_of(code, **where), span, within_s, is_suspicion_enough=few)
        return FarScene(span.until / HOUR + 3, build, (owed,))

    return create


def _cut_daily(code: str, hour: float, hours: float, days: range) -> Callable[[float], FarScene]:
    """Return a scene with cuts at one hour of several days (curfews, examinations)."""
    begins = [COUNTRIES[code].find_local(hour, day) for day in days]
    spans = [Span(begin, begin + hours * HOUR) for begin in begins]

    def build(world: World) -> None:
        settle_countries(world, code)
        for span in spans:
            cut(world, world.select_people(), span, 60, 200)

    owed = tuple(Owed(people_of(code), span, 900) for span in spans)
    scene = FarScene(spans[-1].until / HOUR + 3, build, owed)
    return lambda _at: scene


def _quiet(
    code: str,
    size: int,
    act: Callable[[World, float], None],
    *causes: IncidentKind,
    hours: float = 5,
) -> Callable[[float], FarScene]:
    """Return a scene with an event that is no cut, so that no incident is due."""

    def create(at: float) -> FarScene:
        def build(world: World) -> None:
            settle_countries(world, code, size)
            act(world, at)

        return FarScene(at / HOUR + hours, build, causes=causes)

    return create


def _block(
    code: str, size: int, service: str, outcome: dict[str, str], **where: object
) -> Callable[[float], FarScene]:
    """Build a scene with one service blocked for 2.5 h.

    Every vantage tests it and five others once in ten minutes.
    """

    def create(at: float) -> FarScene:
        span = Span(at, at + 2.5 * HOUR)
        who = people_of(code, **where)

        def build(world: World) -> None:
            settle_countries(world, code, size)
            world.tested = Span(at - 2 * HOUR, span.until + HOUR)
            services = ("telegram", "whatsapp", "signal", "youtube", "bank", "newspaper")
            world.plan = dict.fromkeys(services, 600.0)
            world.blocks.append(
                Block(service, span, lambda one, _at: outcome if who(one) else None)
            )

        owed = Owed(who, span, 900, service, BLOCKED)
        return FarScene(span.until / HOUR + 3, build, (owed,), blocked={service: (who, span)})

    return create


def _restart(world: World, at: float) -> None:
    """We restart, as declared: all sessions end, and agents return within two minutes."""
    bar(world, world.vantages, "", Span(at, at + 40))
    fault = {"kind": "fault", "at": stamp(at), "until": stamp(at + 45), "reason": "restart"}
    world.faults.append(dict(fault))


def _crash(world: World, at: float) -> None:
    """Crash one of our hosts with three fifths of the sessions, without notice."""
    for one in world.vantages:
        if world.rng.random() < 0.6:
            bar(world, [one], "", Span(at, at + world.rng.uniform(20, 240)))


def _kill_entrance(world: World, at: float) -> None:
    bar(world, world.vantages, FIRST, Span(at, at + 1_800))


def _spoil_certificate(world: World, at: float) -> None:
    """New sessions fail at an entrance for 25 min; old ones live on."""
    for one in world.vantages:
        late = [span for span in one.flaps if at <= span.until <= at + 1_500]
        one.barred[FIRST] = [Span(span.since, at + 1_500) for span in late]


def _lose_transit(world: World, at: float) -> None:
    for code in ("", *sorted({one.country for one in world.vantages} - {world.home})[:2]):
        bar(world, world.select(code), "", Span(at, at + 180))


def _upgrade(world: World, at: float) -> None:
    for one in world.vantages:
        since = at + world.rng.choice((0, 0, 600)) + world.rng.uniform(0, 400)
        one.gone.append(Span(since, since + world.rng.uniform(10, 120)))


def _fell_hosts(world: World, at: float) -> None:
    """Let a bad update stop a quarter of fixed machines in 90 min (July 2024)."""
    for one in world.vantages:
        if one.access != "mobile" and world.rng.random() < 0.25:
            until = at + world.rng.uniform(2, 12) * HOUR
            one.off.append(Span(at + world.rng.uniform(0, 5_400), until))


def _bar_both(world: World, at: float) -> None:
    """Block our first entrance, 20 min later the second; the anchors still answer."""
    bar(world, world.select_people(), FIRST, Span(at, at + 7 * HOUR))
    bar(world, world.select_people(), SECOND, Span(at + 1_200, at + 7 * HOUR))


def _bar_at_one(world: World, at: float) -> None:
    bar(world, world.select_people(asn=9198), FIRST, Span(at, at + 3 * HOUR))


def _darken_campus(world: World, at: float) -> None:
    """Cut the power of forty lines of a campus network for three hours."""
    for _ in range(40):
        one = add_vantage(world, COUNTRIES["KZ"], Operator(21_177, "fixed", 0))
        one.region = "A"
        one.off.append(Span(at + world.rng.uniform(0, 5), at + 3 * HOUR))


def _send_strangers(world: World, at: float) -> None:
    """Ninety vantages that are two days old, in three networks, vanish at once."""
    for index in range(90):
        asn = (9198, 29355, 21299)[index % 3]
        one = add_vantage(world, COUNTRIES["KZ"], Operator(asn, "fixed", 0))
        one.enrolled = at - 2 * DAY
        one.off.append(Span(at + world.rng.uniform(0, 5), at + 5 * HOUR))


def _darken_region(world: World, at: float) -> None:
    lose_power(world, world.select_people(region="B"), at, (2, 9), 8 * HOUR)


def _darken_grid(world: World, at: float) -> None:
    lose_power(world, world.select_people(), at, (10, 30), 5 * HOUR)


def _cut_in_restart(at: float) -> FarScene:
    span = Span(at + 20, at + 4 * HOUR)

    def build(world: World) -> None:
        settle_countries(world, "KZ", 60)
        _restart(world, at)
        cut(world, world.select_people(), span, 5)

    return FarScene(at / HOUR + 7, build, (Owed(people_of("KZ"), span, 600),))


def _bar_then_cut(at: float) -> FarScene:
    """Block our first entrance; 50 min later cut all off for four hours."""
    span = Span(at + 3_000, at + 3_000 + 4 * HOUR)

    def build(world: World) -> None:
        settle_countries(world, "KZ", 80)
        bar(world, world.select_people(), FIRST, Span(at, span.until + HOUR))
        cut(world, world.select_people(), span)

    return FarScene(at / HOUR + 9, build, (Owed(people_of("KZ"), span, 600),), (OURS,))


def _young_fleet(at: float) -> FarScene:
    """Cut off a fleet that is a week old: it must be suspected, and no more."""
    scene = _cut_off("ET", 5, 400)(at)

    def build(world: World) -> None:
        scene.build(world)
        for one in world.select():
            one.enrolled = at - world.rng.uniform(2, 10) * DAY

    owed = (replace(scene.owed[0], is_suspicion_enough=True),)
    return replace(scene, build=build, owed=owed)


_NAME = {"value": "blocked", "layer": "dns", "method": "nxdomain"}
_RESET = {"value": "blocked", "layer": "tls", "method": "reset"}
_MEDIA = {"value": "partial", "layer": "tcp", "method": "timeout", "functions": "media"}
_QUIC = {"value": "partial", "layer": "quic", "method": "timeout"}
SCENES: dict[str, Callable[[float], FarScene]] = {
    "Iran at once": _cut_off("IR", 6, 240),
    "Turkmenistan at once": _cut_off("TM", 4, 240),
    "Cuba at once": _cut_off("CU", 5, 240),
    "Syria at once": _cut_off("SY", 2, 240),
    "Ethiopia at once": _cut_off("ET", 12, 240),
    "the Marshall Islands' cable": _cut_off("MH", 9, 300),
    "Tonga's cable": _cut_off("TO", 10, 300),
    "phones of Myanmar": _cut_off("MM", 10, 420, access="mobile"),
    "phones of a Russian region": _cut_off("RU", 9, 900, access="mobile", region="B"),
    "a state of India": _cut_off("IN", 20, 1_200, region="C"),
    "an operator of Pakistan": _cut_off("PK", 2, 300, asn=17557),
    "the incumbent of Ethiopia": _cut_off("ET", 1.2, 600, asn=24757),
    "curfews of Myanmar": _cut_daily("MM", 1, 8, range(2, 7)),
    "examinations of Syria": _cut_daily("SY", 4, 3, range(1, 7)),
    "a cut in our restart": _cut_in_restart,
    "our address, then a cut": _bar_then_cut,
    "a young fleet is cut off": _young_fleet,
    "a Ukrainian region without power": _quiet("UA", 110, _darken_region, *POWER, hours=14),
    "the grid of Cuba": _quiet("CU", 50, _darken_grid, *POWER, hours=36),
    "our restart": _quiet("PK", 120, _restart),
    "an undeclared crash": _quiet("IR", 100, _crash),
    "a dead entrance": _quiet("KZ", 80, _kill_entrance, OURS),
    "a wrong certificate": _quiet("PK", 150, _spoil_certificate),
    "our transit to three": _quiet("KZ", 40, _lose_transit),
    "an upgrade of all": _quiet("IR", 120, _upgrade),
    "hosts fall worldwide": _quiet("PK", 150, _fell_hosts, hours=16),
    "each way in turn": _quiet("IR", 80, _bar_both, OURS, hours=10),
    "our address at one operator": _quiet("KZ", 80, _bar_at_one, OURS),
    "a campus goes dark": _quiet("KZ", 80, _darken_campus, *POWER),
    "strangers vanish": _quiet("KZ", 40, _send_strangers),
    "names at one operator": _block("PK", 80, "signal", _NAME, asn=17557),
    "handshakes reset": _block("KZ", 60, "signal", _RESET),
    "QUIC alone": _block("RU", 60, "youtube", _QUIC),
    "media alone": _block("KZ", 60, "whatsapp", _MEDIA),
    "the only operator blocks": _block("CU", 30, "telegram", _RESET),
}


def create_scene(name: str, seed: int) -> FarScene:
    return SCENES[name](_draw_time(name, seed))
