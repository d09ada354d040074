"""Render a world as neutral events, and these as the signals of today's collector."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from operator import attrgetter
from random import Random

from heliograph.units import SECOND_US
from heliograph_collector.model.signals import (
    Fault,
    Goodbye,
    OfflineReport,
    ServiceVote,
    VantageArrival,
    VantageLoss,
    VoteValue,
    sort_signals,
)
from heliograph_collector.sources.replay import Replay, Signal
from heliograph_lab.evaluate.world.events import (
    GapReport,
    PowerState,
    ServiceTested,
    SessionBegan,
    SessionEnded,
    WorldEvent,
)
from heliograph_lab.evaluate.world.figures import FIGURES
from heliograph_lab.evaluate.world.people import Silence, SilenceCause, Trouble, WorldVantage
from heliograph_lab.evaluate.world.world import PlannedTest, World

BEAT_S = FIGURES["beat"].low
MISSED_BEATS = 2.5  # the collector's rule
REPORTING_SHARE = 0.9  # of returned agents report on the gap; assumed
BROKEN_S = 40.0  # a shorter failure of the path leaves a session whole: TCP sends again
MAIN_ENTRANCE = "main"
OTHER_ENTRANCE = "relay"
_ALIVE: tuple[SilenceCause, ...] = ("cut", "path", "address")  # the agent runs on and measures


def render_replay(world: World) -> Replay:
    """Render a world as the replay that detectors get today."""
    events = render_events(world)
    signals = [signal for event in events for signal in _to_signals(event)]
    votes = [_to_vote(event) for event in events if isinstance(event, ServiceTested)]
    return Replay(
        name=world.name,
        seed=world.seed,
        since_us=world.since_us,
        until_us=world.to_us(world.lasts_s),
        signals=sort_signals(signals),
        opinions=votes,
        truths=tuple(sorted(world.truths, key=attrgetter("since_us", "id"))),
        vantages=[v.ref for v in world.vantages],
        backlogs=[
            (world.to_us(since_s), world.to_us(until_s)) for since_s, until_s in world.backlogs
        ],
        weights={v.ref.nym: v.weight for v in world.vantages},
        risky_days=frozenset(world.risky_days),
    )


def render_events(world: World) -> list[WorldEvent]:
    """Render what a collector could learn, in order of time."""
    events: list[WorldEvent] = [*world.faults, *world.power_changes]
    for vantage in world.vantages:
        rng = Random(f"{world.name}:{world.seed}:{vantage.ref.nym}")  # noqa: S311 - a simulation
        groups = list(_group(vantage.silences, world.lasts_s))
        events += _render_sessions(vantage, groups, rng, world)
        for test in world.tests:
            events += _render_tests(vantage, test, groups, rng, world)
    until_us = world.to_us(world.lasts_s)
    return sorted((e for e in events if e.at_us <= until_us), key=attrgetter("at_us"))


def _group(silences: Iterable[Silence], lasts_s: float) -> Iterator[list[Silence]]:
    """Group silences that overlap; a short failure of the path alone is none."""
    group: list[Silence] = []
    until_s = -1.0
    for silence in sorted(silences, key=attrgetter("since_s", "until_s")):
        if silence.since_s >= lasts_s or silence.until_s <= max(0.0, silence.since_s):
            continue
        if silence.cause == "path" and silence.until_s - silence.since_s < BROKEN_S:
            continue
        if group and silence.since_s > until_s + 1:
            yield group
            group = []
        group.append(silence)
        until_s = max(until_s, silence.until_s) if len(group) > 1 else silence.until_s
    if group:
        yield group


def _render_sessions(
    vantage: WorldVantage, groups: Sequence[Sequence[Silence]], rng: Random, world: World
) -> Iterator[WorldEvent]:
    power: PowerState = "battery" if vantage.location.access == "mobile" else "ac"
    yield SessionBegan(world.to_us(0), vantage.ref, power=power)
    entrance = MAIN_ENTRANCE
    for group in groups:
        since_s = group[0].since_s
        last = max(group, key=attrgetter("until_s"))
        heard_s = max(0.0, since_s - rng.uniform(0, BEAT_S))
        if group[0].cause == "away":
            yield _end_session(vantage, since_s, heard_s, world, goodbye=True)
        else:
            yield _end_session(vantage, heard_s + MISSED_BEATS * BEAT_S, heard_s, world)
        if any(silence.cause == "address" for silence in group):
            entrance = OTHER_ENTRANCE  # and so it stays, as an agent keeps the way that works
        back_s = last.until_s + _draw_return_s(last, vantage, rng)
        yield from _render_return(vantage, group, (heard_s, back_s), entrance, rng, world)


def _end_session(
    vantage: WorldVantage, at_s: float, heard_s: float, world: World, *, goodbye: bool = False
) -> SessionEnded:
    return SessionEnded(world.to_us(at_s), vantage.ref.nym, world.to_us(heard_s), goodbye)


def _render_return(
    vantage: WorldVantage,
    group: Sequence[Silence],
    gap_s: tuple[float, float],
    entrance: str,
    rng: Random,
    world: World,
) -> Iterator[WorldEvent]:
    heard_s, back_s = gap_s
    longest = max(group, key=_length_s)
    rebooted = any(silence.cause == "power" for silence in group)
    uptime_s = rng.uniform(5, 60) if rebooted else rng.uniform(1, 400) * 3_600
    is_main = entrance == MAIN_ENTRANCE
    ref = vantage.ref if is_main else replace(vantage.ref, carrier=entrance)
    yield SessionBegan(world.to_us(back_s), ref, entrance=entrance, uptime_s=uptime_s)
    if longest.cause in (*_ALIVE, "power") and rng.random() < REPORTING_SHARE:
        tests = max(1, int((back_s - heard_s) / 480)) if longest.cause in _ALIVE else 0
        is_open = longest.cause == "address"
        yield GapReport(
            at_us=world.to_us(back_s + 2),
            pseudonym=vantage.ref.nym,
            since_us=world.to_us(heard_s),
            until_us=world.to_us(back_s),
            foreign_good=tests if is_open else 0,
            foreign_bad=0 if is_open else tests,
            uptime_s=uptime_s,
        )


def _length_s(silence: Silence) -> float:
    return silence.until_s - silence.since_s


def _draw_return_s(last: Silence, vantage: WorldVantage, rng: Random) -> float:
    """Draw the time from the end of a silence to the next session."""
    if last.cause == "power":
        return rng.uniform(20, 180)  # start of a machine; assumed
    if last.cause in ("cut", "path"):  # doubling delays with full jitter
        return rng.uniform(0, min(vantage.retry_limit_s, max(2.0, _length_s(last))))
    return rng.uniform(0, 3)


def _render_tests(
    vantage: WorldVantage,
    test: PlannedTest,
    groups: Sequence[Sequence[Silence]],
    rng: Random,
    world: World,
) -> Iterator[ServiceTested]:
    dark = [(g[0].since_s, max(s.until_s for s in g)) for g in groups]
    troubles = [t for t in vantage.troubles if t.service == test.service]
    second = rng.uniform(0, test.every_s)
    index = 0
    while second < world.lasts_s:
        while index < len(dark) and dark[index][1] <= second:
            index += 1
        if index == len(dark) or second < dark[index][0]:
            yield _draw_test(vantage, test, troubles, second, rng, world)
        second += test.every_s * rng.uniform(0.9, 1.1)


def _draw_test(
    vantage: WorldVantage,
    test: PlannedTest,
    troubles: Sequence[Trouble],
    second: float,
    rng: Random,
    world: World,
) -> ServiceTested:
    chance = rng.random()
    good = ServiceTested(world.to_us(second), vantage.ref, test.service, VoteValue.GOOD)
    if chance < test.unknown:
        return replace(good, value=VoteValue.UNKNOWN)
    for trouble in troubles:
        if trouble.since_s <= second < trouble.until_s and rng.random() < trouble.share:
            return replace(good, value=trouble.value, layer=trouble.layer, method=trouble.method)
    if chance < test.unknown + test.noise:
        layer, method = rng.choice((("dns", "timeout"), ("tcp", "timeout"), ("tls", "timeout")))
        return replace(good, value=VoteValue.BLOCKED, layer=layer, method=method)
    return good


def _to_signals(event: WorldEvent) -> Iterator[Signal]:
    """Turn an event into today's signals; what they cannot carry is lost."""
    if isinstance(event, SessionBegan):
        yield VantageArrival(event.at_us, event.vantage)
    elif isinstance(event, SessionEnded):
        if event.goodbye:
            yield Goodbye(event.at_us, event.pseudonym)
        else:
            yield VantageLoss(event.at_us, event.pseudonym, event.heard_us)
    elif isinstance(event, GapReport):
        gap_s = (event.until_us - event.since_us) / SECOND_US
        is_alive = event.uptime_s is None or event.uptime_s > gap_s
        yield OfflineReport(event.at_us, event.pseudonym, event.since_us, event.until_us, is_alive)
    elif isinstance(event, Fault):
        yield event


def _to_vote(test: ServiceTested) -> ServiceVote:
    return ServiceVote(test.at_us, test.vantage, test.service, test.value, test.layer, test.method)
