"""Render a world as neutral events, and these as the signals of today's collector."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from operator import attrgetter
from random import Random

from heliograph.units import SECOND_US
from heliograph_collector.model.signals import (
    LIGHT_SOURCE,
    Fault,
    Goodbye,
    OfflineReport,
    ServiceVote,
    VantageArrival,
    VantageLoss,
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
from heliograph_lab.evaluate.world.figures import FIGURES, draw
from heliograph_lab.evaluate.world.people import (
    OTHER_ENTRANCE,
    Silence,
    SilenceCause,
    WorldVantage,
)
from heliograph_lab.evaluate.world.testing import Tester, render_tests
from heliograph_lab.evaluate.world.world import World

BEAT_S = FIGURES["beat"].low
MISSED_BEATS = 2.5  # the collector's rule
ANCHOR_S = 180.0  # between two looks at foreign anchors, in the default plan
REPORTING_SHARE = 0.9  # of returned agents report on the gap; assumed
BROKEN_S = 40.0  # a shorter failure of the path leaves a session whole: TCP sends again
_ALIVE: tuple[SilenceCause, ...] = (
    "cut",
    "path",
    "transit",
    "address",
)  # the agent runs on and measures


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
    events: list[WorldEvent] = list(world.faults)
    testers = []
    for vantage in world.vantages:
        rng = Random(f"{world.name}:{world.seed}:{vantage.ref.nym}")  # noqa: S311 - a simulation
        groups = list(_group(vantage.silences, world.lasts_s))
        events += _render_sessions(vantage, groups, rng, world)
        dark = tuple((g[0].since_s, max(s.until_s for s in g)) for g in groups)
        testers.append(Tester(vantage, dark, rng))
    for test in world.tests:
        events += render_tests(world, test, testers)
    until_us = world.to_us(world.lasts_s)
    return sorted((e for e in events if e.at_us <= until_us), key=attrgetter("at_us"))


def _group(silences: Iterable[Silence], lasts_s: float) -> Iterator[list[Silence]]:
    """Group silences that overlap; a short failure of the path alone is none."""
    group: list[Silence] = []
    until_s = -1.0
    for silence in sorted(silences, key=attrgetter("since_s", "until_s")):
        if silence.since_s >= lasts_s or silence.until_s <= max(0.0, silence.since_s):
            continue
        if silence.cause in ("path", "transit") and silence.until_s - silence.since_s < BROKEN_S:
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
    entrance = vantage.ref.carrier
    yield SessionBegan(world.to_us(0), vantage.ref, entrance, vantage.power)
    for group in groups:
        since_s = group[0].since_s
        last = max(group, key=attrgetter("until_s"))
        heard_s = max(0.0, since_s - rng.uniform(0, BEAT_S))
        yield _end_session(vantage, group[0], heard_s, world)
        if group[0].cause == "address" and vantage.has_other_way:
            yield _tell_by_other_way(vantage, group[0], heard_s, rng, world)
        if any(silence.cause == "address" for silence in group):
            entrance = OTHER_ENTRANCE  # and so it stays, as an agent keeps the way that works
        back_s = last.until_s + _draw_return_s(last, vantage, rng)
        yield from _render_return(vantage, group, (heard_s, back_s), entrance, rng, world)


def _end_session(
    vantage: WorldVantage, silence: Silence, heard_s: float, world: World
) -> SessionEnded:
    """End a session; a charging phone reports failed mains before its mast dies."""
    is_goodbye = silence.cause == "away"
    at_s = silence.since_s if is_goodbye else heard_s + MISSED_BEATS * BEAT_S
    is_phone = vantage.location.access == "mobile"
    return SessionEnded(
        at_us=world.to_us(at_s),
        pseudonym=vantage.ref.nym,
        heard_us=world.to_us(heard_s),
        goodbye=is_goodbye,
        power="battery" if silence.cause == "power" and is_phone else vantage.power,
        prefix=_find_prefix(vantage, heard_s),
        closed_us=world.to_us(silence.since_s) if silence.cause == "killed" else 0,
    )


def _find_prefix(vantage: WorldVantage, second: float) -> str:
    past = [prefix for moved_s, prefix in vantage.moves if moved_s <= second]
    return past[-1] if past else vantage.ref.prefix


def _tell_by_other_way(
    vantage: WorldVantage, silence: Silence, heard_s: float, rng: Random, world: World
) -> GapReport:
    """Tell of a broken session by another entrance, after a look at foreign anchors."""
    at_us = world.to_us(silence.since_s + draw(rng, "word"))
    heard_us = world.to_us(heard_s)
    return GapReport(at_us, vantage.ref.nym, heard_us, at_us, 2, 0, OTHER_ENTRANCE)


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
    is_rebooted = any(silence.cause == "power" for silence in group)
    uptime_s = rng.uniform(20, 200) if is_rebooted and vantage.knows_uptime else None
    prefix = _find_prefix(vantage, back_s)
    ref = replace(vantage.ref, carrier=entrance, prefix=prefix)
    yield SessionBegan(world.to_us(back_s), ref, entrance, vantage.power, uptime_s)
    if longest.cause not in (*_ALIVE, "power") or rng.random() >= REPORTING_SHARE:
        return
    is_open = longest.cause in ("transit", "address")
    tests = 0 if is_rebooted else max(1, int((back_s - heard_s) / ANCHOR_S))
    yield GapReport(
        at_us=world.to_us(back_s + 2),
        pseudonym=vantage.ref.nym,
        since_us=world.to_us(heard_s),
        until_us=world.to_us(back_s),
        foreign_good=tests if is_open else 0,
        foreign_bad=0 if is_open else tests,
        entrance=entrance,
        uptime_s=rng.uniform(20, 200) if is_rebooted else None,
    )


def _length_s(silence: Silence) -> float:
    return silence.until_s - silence.since_s


def _draw_return_s(last: Silence, vantage: WorldVantage, rng: Random) -> float:
    """Draw the time from the end of a silence to the next session."""
    if last.cause == "power":
        return rng.uniform(20, 180)  # start of a machine; assumed
    if last.cause in ("cut", "path", "transit"):  # doubling delays with full jitter
        return rng.uniform(0, min(vantage.retry_limit_s, max(2.0, _length_s(last))))
    return rng.uniform(0, 3)


def _to_signals(event: WorldEvent) -> Iterator[Signal]:
    """Turn an event into the collector's signals."""
    if isinstance(event, SessionBegan):
        uptime_s = None if event.uptime_s is None else round(event.uptime_s)
        yield VantageArrival(event.at_us, event.vantage, _is_on_battery(event.power), uptime_s)
    elif isinstance(event, SessionEnded):
        if event.goodbye:
            yield Goodbye(event.at_us, event.pseudonym)
        else:
            is_on_battery = _is_on_battery(event.power)
            yield VantageLoss(
                event.at_us,
                event.pseudonym,
                event.heard_us,
                is_on_battery,
                event.prefix,
                event.closed_us,
            )
    elif isinstance(event, GapReport):
        yield _to_report(event)
    elif isinstance(event, Fault):
        yield event


def _is_on_battery(power: PowerState) -> bool | None:
    return None if not power else power == "battery"


def _to_report(event: GapReport) -> OfflineReport:
    gap_s = (event.until_us - event.since_us) / SECOND_US
    is_alive = event.uptime_s is None or event.uptime_s > gap_s
    has_measured = event.foreign_good + event.foreign_bad > 0
    return OfflineReport(
        event.at_us,
        event.pseudonym,
        event.since_us,
        event.until_us,
        is_alive,
        event.foreign_good > 0 if has_measured else None,
        event.entrance,
    )


def _to_vote(test: ServiceTested) -> ServiceVote:
    return ServiceVote(
        test.at_us,
        test.vantage,
        test.service,
        test.value,
        test.layer,
        test.method,
        source=test.service + LIGHT_SOURCE if test.is_light else test.service,
        trigger=test.trigger,
    )
