"""A scenario: who is there and what happens to whom; played with a seed it is a replay.

The truth follows from what happens. README.md says what each word does.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random

from heliograph_collector.incidents.scope import Scope, join, label
from heliograph_collector.model.signals import Fault, Standing, Why, Witness
from heliograph_collector.sources.replay import Replay, Signal, Truth, TruthKind
from heliograph_lab.evaluate.population import (
    ESTABLISHED_US,
    Clock,
    Hindrance,
    How,
    Life,
    Service,
    Spell,
    churn,
    country,
    opinions,
    ordered,
    presence,
    restarted,
)

CUTS = ("cut",)
HINDERS = ("block", "throttle", "messenger_down", "anycast")
SILENCES: dict[str, How] = {  # what makes vantages silent that are not cut
    "power": "power",
    "wifi": "blip",
    "carrier": "blip",
    "probe": "blip",
    "clock_jump": "blip",
    "update": "blip",
    "sleep": "away",
    "lids": "own",
    "prefix_move": "own",
}
FAULTS = {
    "restart": Why.RESTART,
    "update": Why.UPDATE,
    "carrier": Why.CARRIER,
    "probe": Why.PROBE,
    "clock_jump": next((why for why in Why if why.value == "stalled"), Why.PROBE),
}
WORDS = tuple(dict.fromkeys((*CUTS, *HINDERS, *SILENCES, "restart", "restore")))
_STANDINGS = {
    "block": Standing.BLOCKED,
    "throttle": Standing.THROTTLED,
    "anycast": Standing.BLOCKED,
}


@dataclass(frozen=True, slots=True)
class Cell:
    """Whom an event takes: empty fields stand for all, `share` for the first so many of a place."""

    country: str = ""
    region: str = ""
    asn: int = 0
    access: str = ""
    carrier: str = ""
    prefix: str = ""
    beyond: str = ""  # a region that is spared
    share: float = 1.0

    def takes(self, witness: Witness, rank: float) -> bool:
        place = witness.place
        return (
            self.country in ("", place.country)
            and self.region in ("", place.region)
            and self.asn in (0, place.asn)
            and self.access in ("", place.access)
            and self.carrier in ("", witness.carrier)
            and self.prefix in ("", witness.prefix)
            and self.beyond != place.region
            and rank < self.share
        )

    @property
    def scope(self) -> Scope:
        return Scope(self.country, self.region, self.asn, self.access)


@dataclass(frozen=True, slots=True)
class Event:
    """`when`: the earliest and the latest second; a seed draws the moment between them."""

    do: str
    when: tuple[float, float]
    who: tuple[Cell, ...] = (Cell(),)
    id: str = ""
    lasts_s: float = math.inf  # or until a `restore` takes them
    jitter_s: float = 0.0  # the onset of each is spread over so long
    service: str = ""
    layer: str = ""
    method: str = ""
    share: float = 1.0  # of the tests, or of the vantages of `sleep` and `lids`
    declared: bool = True  # whether the collector knows of this fault of ours
    scoreable: bool = True
    scope: Scope | None = None  # of the truth, where `who` does not say it
    label: str = ""

    def takes(self, life: Life, rank: float) -> bool:
        return any(cell.takes(life.witness, rank) for cell in self.who)


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    since_us: int
    lasts_s: float
    vantages: tuple[Witness, ...]
    churn: dict[str, float]  # silences a vantage-day, by country
    events: tuple[Event, ...] = ()
    services: tuple[Service, ...] = ()


def world(since_us: int, countries: int = 4, each: int = 12) -> tuple[Witness, ...]:
    """Other countries, who bear witness."""
    codes = (f"X{chr(65 + i)}" for i in range(countries))
    regions = ("NOR", "SUD")
    return tuple(
        w for code in codes for w in country(code, regions, each, since_us - ESTABLISHED_US)
    )


@dataclass(slots=True)
class Played:
    """A scenario being played: what has been drawn of it, and what befell each vantage."""

    scenario: Scenario
    rng: Random
    lives: list[Life]
    ranks: list[float]
    truths: list[Truth] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    restarts: list[tuple[float, float]] = field(default_factory=list)
    held: dict[tuple[str, int], tuple[float, Event]] = field(default_factory=dict)
    taken: dict[str, tuple[float, Event, set[int]]] = field(default_factory=dict)
    moments: dict[str, int] = field(default_factory=dict)

    @property
    def clock(self) -> Clock:
        return Clock(self.scenario.since_us)


def play(scenario: Scenario, seed: int) -> Replay:
    """The same scenario and seed, the same replay."""
    return _replay(happen(scenario, seed), seed)


def happen(scenario: Scenario, seed: int) -> Played:
    """Who is silent and hindered when: for a replay, or for virtual agents to act out."""
    rng = Random(f"{scenario.name}:{seed}")  # noqa: S311 - a simulation, repeatable
    lives = [Life(w, scenario.churn.get(w.place.country, 4.0)) for w in scenario.vantages]
    for life in lives:
        life.spells += churn(rng, scenario.lasts_s, life.churn)
    run = Played(scenario, rng, lives, _ranks(scenario.vantages))
    drawn = [
        (rng.uniform(*event.when), number, event) for number, event in enumerate(scenario.events)
    ]
    for at_s, number, event in sorted(drawn, key=lambda d: d[:2]):
        named = replace(event, id=event.id or f"{event.do}-{number + 1}")
        run.moments[named.id] = run.clock.at(at_s)
        _happen(run, at_s, named)
    for (what, index), (since_s, event) in run.held.items():
        _hold(run, what, index, since_s, scenario.lasts_s + 3_600, event)
    for event_id in list(run.taken):
        _truth(run, event_id, math.inf)
    return run


def _replay(run: Played, seed: int) -> Replay:
    scenario, clock = run.scenario, run.clock
    signals: Sequence[Signal] = presence(run.lives, run.rng, scenario.lasts_s, clock)
    for since_s, until_s in run.restarts:
        back = {life.witness.nym: _comes_in(run.rng) for life in run.lives}
        signals = restarted(signals, since_s, until_s, back, clock)
    return Replay(
        name=scenario.name,
        seed=seed,
        since_us=scenario.since_us,
        until_us=clock.at(scenario.lasts_s),
        signals=ordered([*signals, *run.faults]),
        opinions=opinions(run.lives, scenario.services, run.rng, scenario.lasts_s, clock),
        truths=tuple(sorted(run.truths, key=lambda t: (t.since_us, t.id))),
        vantages=scenario.vantages,
        moments=run.moments,
    )


def _comes_in(rng: Random) -> float:
    """After a restart of ours most come in within a minute or two, a few much later."""
    return rng.uniform(1, 90) if rng.random() < 0.97 else rng.uniform(600, 3_600)


def _ranks(vantages: Sequence[Witness]) -> list[float]:
    """Where each stands among those of its place, 0 to 1."""
    sizes: dict[tuple[object, ...], int] = {}
    for w in vantages:
        sizes[w.place] = sizes.get(w.place, 0) + 1
    seen: dict[tuple[object, ...], int] = {}
    found = []
    for w in vantages:
        found.append(seen.get(w.place, 0) / sizes[w.place])
        seen[w.place] = seen.get(w.place, 0) + 1
    return found


def _happen(run: Played, at_s: float, event: Event) -> None:
    hit = {i for i, life in enumerate(run.lives) if event.takes(life, run.ranks[i])}
    if event.do == "restore":
        _restore(run, at_s, event, hit)
    elif event.do in ("cut", "block", "throttle"):
        _begin(run, at_s, event, hit)
    else:
        _confound(run, at_s, event, hit)


def _begin(run: Played, at_s: float, event: Event, hit: set[int]) -> None:
    """A true change: it holds them until it is over, or a `restore` takes them out of it."""
    what = "cut" if event.do == "cut" else event.service
    new = {i for i in hit if (what, i) not in run.held}
    if not new:
        return
    run.taken[event.id] = (at_s, event, new)
    for i in sorted(new):
        run.held[what, i] = (at_s + run.rng.uniform(0, event.jitter_s), event)
    if math.isfinite(event.lasts_s):
        _end(run, at_s + event.lasts_s, what, new)


def _restore(run: Played, at_s: float, event: Event, hit: set[int]) -> None:
    for what in (event.service,) if event.service else ("cut", "network"):
        _end(run, at_s, what, hit)


def _end(run: Played, at_s: float, what: str, hit: set[int]) -> None:
    for i in sorted(hit):
        held = run.held.pop((what, i), None)
        if held is not None:
            _hold(run, what, i, held[0], at_s, held[1])
    for event_id, (_, event, new) in list(run.taken.items()):
        mine = "cut" if event.do == "cut" else event.service
        if mine == what and 2 * sum((what, i) in run.held for i in new) < len(new):
            _truth(run, event_id, at_s)


def _hold(run: Played, what: str, index: int, since_s: float, until_s: float, event: Event) -> None:
    life = run.lives[index]
    if what == "cut":
        life.spells.append(Spell(since_s, until_s, "cut"))
    else:
        life.hindrances.append(_hindrance(event, since_s, until_s))


def _hindrance(event: Event, since_s: float, until_s: float) -> Hindrance:
    standing = _STANDINGS.get(event.do, Standing.DOWN if event.declared else Standing.BLOCKED)
    return Hindrance(
        since_s, until_s, event.service, standing, event.layer, event.method, event.share
    )


def _truth(run: Played, event_id: str, until_s: float) -> None:
    """More than half of those whom it took are back: it is over."""
    at_s, event, _ = run.taken.pop(event_id)
    kind: TruthKind = "cut" if event.do == "cut" else "block"
    _record(run, event, at_s, until_s, "throttle" if event.do == "throttle" else kind)


def _record(run: Played, event: Event, at_s: float, until_s: float, kind: TruthKind) -> None:
    ends = until_s < run.scenario.lasts_s
    run.truths.append(
        Truth(
            id=event.id,
            kind=kind,
            scope=event.scope or join(cell.scope for cell in event.who),
            service=event.service,
            since_us=run.clock.at(at_s),
            until_us=run.clock.at(until_s) if ends else None,
            label=event.label or label(cell.scope for cell in event.who),
            scoreable=event.scoreable,
            layer=event.layer,
            spread_s=event.jitter_s,
        )
    )


def _confound(run: Played, at_s: float, event: Event, hit: set[int]) -> None:
    """What is no shutdown."""
    lasts_s = event.lasts_s if math.isfinite(event.lasts_s) else 600.0
    until_s = at_s + lasts_s
    for i in sorted(hit):
        _befall(run, run.lives[i], at_s, until_s, event)
    if event.do == "restart":
        run.restarts.append((at_s, until_s))
    if event.do in FAULTS and event.declared:
        run.faults.append(_fault(run, at_s, until_s, event))
    named = replace(event, label=event.label or event.do)
    _record(run, named, at_s, until_s, "confounder")


def _befall(run: Played, life: Life, at_s: float, until_s: float, event: Event) -> None:
    since_s = at_s + run.rng.uniform(0, event.jitter_s)
    if event.do in HINDERS:
        life.hindrances.append(_hindrance(event, since_s, until_s))
    elif event.do in ("sleep", "lids"):
        if run.rng.random() < event.share:
            life.spells.append(Spell(since_s, until_s, SILENCES[event.do]))
    elif event.do == "prefix_move":
        life.spells.append(Spell(since_s, since_s + run.rng.uniform(25, 50), "own"))
        life.moved = (since_s, f"moved-{life.witness.prefix}")
    elif event.do == "update":
        life.spells.append(Spell(since_s, since_s + run.rng.uniform(10, 90), "blip"))
    elif event.do in SILENCES:
        life.spells.append(Spell(since_s, max(until_s, since_s + 1), SILENCES[event.do]))


def _fault(run: Played, at_s: float, until_s: float, event: Event) -> Fault:
    carriers = {cell.carrier for cell in event.who}
    countries = {cell.country for cell in event.who}
    return Fault(
        run.clock.at(at_s),
        run.clock.at(until_s),
        FAULTS[event.do],
        countries.pop() if len(countries) == 1 else "",
        carriers.pop() if len(carriers) == 1 else "",
    )
