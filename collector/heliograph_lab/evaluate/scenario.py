"""Play: a scenario, played with a seed as a replay.

The truths follow from the events. README.md describes every event.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter, itemgetter
from random import Random
from typing import cast

from heliograph.units import SECOND_US
from heliograph_collector.model.scope import enclosing_scope, scope_label
from heliograph_collector.model.signals import (
    Fault,
    VantageRef,
    VoteValue,
    sort_signals,
)
from heliograph_collector.sources.replay import Replay, Signal, Truth, TruthKind
from heliograph_lab.evaluate.population import (
    Interference,
    ReplayClock,
    SilentSpan,
    SimulatedVantage,
    apply_restart,
    draw_churn,
    draw_votes,
    presence_signals,
)
from heliograph_lab.evaluate.scenario_model import (
    FAULTS,
    INTERFERENCES,
    SILENCES,
    VOTE_VALUES,
    Scenario,
    ScenarioEvent,
)
from heliograph_lab.evaluate.world.shapes import shape_fade, shape_providers, shape_step


@dataclass(slots=True)
class ScenarioState:
    """The state of a scenario being played: drawn times and affected vantages."""

    scenario: Scenario
    rng: Random
    vantages: list[SimulatedVantage]
    ranks: list[float]
    truths: list[Truth] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    restarts: list[tuple[float, float]] = field(default_factory=list)
    active_effects: dict[tuple[str, int], tuple[float, ScenarioEvent]] = field(default_factory=dict)
    open_events: dict[str, tuple[float, ScenarioEvent, set[int]]] = field(default_factory=dict)
    event_times_us: dict[str, int] = field(default_factory=dict)
    # of each true event: seconds since and until for each vantage, by its number
    spans_by_event: dict[str, dict[int, tuple[float, float]]] = field(default_factory=dict)

    @property
    def clock(self) -> ReplayClock:
        return ReplayClock(self.scenario.since_us)


def play_scenario(scenario: Scenario, seed: int) -> Replay:
    """Play a scenario; the same scenario and seed give the same replay."""
    return _build_replay(simulate_events(scenario, seed), seed)


def simulate_events(scenario: Scenario, seed: int) -> ScenarioState:
    """Simulate silences and interference, for a replay or for virtual agents."""
    rng = Random(f"{scenario.name}:{seed}")  # noqa: S311 - a simulation, repeatable
    vantages = [
        SimulatedVantage(w, scenario.churn.get(w.place.country, 4.0)) for w in scenario.vantages
    ]
    for vantage in vantages:
        vantage.silences += draw_churn(rng, scenario.lasts_s, vantage.churn)
    state = ScenarioState(scenario, rng, vantages, _rank_vantages(scenario.vantages))
    drawn = [
        (rng.uniform(*event.when), number, event) for number, event in enumerate(scenario.events)
    ]
    for at_s, number, event in sorted(drawn, key=itemgetter(0, 1)):
        named_event = replace(event, id=event.id or f"{event.do}-{number + 1}")
        state.event_times_us[named_event.id] = state.clock.to_us(at_s)
        _apply_event(state, at_s, named_event)
    for (target, index), (since_s, event) in state.active_effects.items():
        _add_effect(state, target, index, since_s, scenario.lasts_s + 3_600, event)
    for event_id in list(state.open_events):
        _close_truth(state, event_id, math.inf)
    state.truths = [_add_members(state, truth) for truth in state.truths]
    return state


def _add_members(state: ScenarioState, truth: Truth) -> Truth:
    """Tell of each vantage when it was affected, where the event has a shape."""
    spans = state.spans_by_event.get(truth.id, {})
    if not any(e.shape for e in state.scenario.events):
        return truth
    members = {
        state.vantages[i].ref.nym: (state.clock.to_us(since_s), state.clock.to_us(until_s))
        for i, (since_s, until_s) in spans.items()
    }
    onsets = [since_us for since_us, _ in members.values()]
    spread_s = (max(onsets) - truth.since_us) / SECOND_US if onsets else truth.spread_s
    return replace(truth, members=members, spread_s=spread_s)


def _build_replay(state: ScenarioState, seed: int) -> Replay:
    scenario = state.scenario
    clock = state.clock
    signals: Sequence[Signal] = presence_signals(state.vantages, state.rng, scenario.lasts_s, clock)
    for since_s, until_s in state.restarts:
        return_delays_s = {vantage.ref.nym: _draw_return_s(state.rng) for vantage in state.vantages}
        signals = apply_restart(signals, since_s, until_s, return_delays_s, clock)
    return Replay(
        name=scenario.name,
        seed=seed,
        since_us=scenario.since_us,
        until_us=clock.to_us(scenario.lasts_s),
        signals=sort_signals([*signals, *state.faults]),
        opinions=draw_votes(state.vantages, scenario.services, state.rng, scenario.lasts_s, clock),
        truths=tuple(sorted(state.truths, key=attrgetter("since_us", "id"))),
        vantages=scenario.vantages,
        moments=state.event_times_us,
    )


def _draw_return_s(rng: Random) -> float:
    """Draw the return after a restart in seconds: 97 % within 90 s; assumed."""
    return rng.uniform(1, 90) if rng.random() < 0.97 else rng.uniform(600, 3_600)


def _rank_vantages(vantages: Sequence[VantageRef]) -> list[float]:
    """Return the rank of each vantage among those of its location, in [0, 1)."""
    sizes: dict[tuple[object, ...], int] = {}
    for w in vantages:
        sizes[w.place] = sizes.get(w.place, 0) + 1
    counted: dict[tuple[object, ...], int] = {}
    ranks = []
    for w in vantages:
        ranks.append(counted.get(w.place, 0) / sizes[w.place])
        counted[w.place] = counted.get(w.place, 0) + 1
    return ranks


def _apply_event(state: ScenarioState, at_s: float, event: ScenarioEvent) -> None:
    affected = {
        i for i, vantage in enumerate(state.vantages) if event.affects(vantage, state.ranks[i])
    }
    if event.do == "restore":
        _restore_vantages(state, at_s, event, affected)
    elif event.do in ("cut", "block", "throttle"):
        _begin_event(state, at_s, event, affected)
    else:
        _apply_confounder(state, at_s, event, affected)


def _begin_event(
    state: ScenarioState, at_s: float, event: ScenarioEvent, affected: set[int]
) -> None:
    """Begin a true event, which lasts for `lasts_s` or until a `restore`."""
    target = "cut" if event.do == "cut" else event.service
    newly_affected = {i for i in affected if (target, i) not in state.active_effects}
    if not newly_affected:
        return
    state.open_events[event.id] = (at_s, event, newly_affected)
    order = sorted(newly_affected)
    for i, offset_s in zip(order, _draw_offsets(state, event, order), strict=True):
        state.active_effects[target, i] = (at_s + offset_s, event)
    if math.isfinite(event.lasts_s):
        _end_event(state, at_s + event.lasts_s, target, newly_affected)


def _draw_offsets(state: ScenarioState, event: ScenarioEvent, order: Sequence[int]) -> list[float]:
    """Draw the seconds from an event's beginning to each vantage's fall or return."""
    if event.shape is None:
        return [state.rng.uniform(0, event.jitter_s) for _ in order]
    draw_shape = {"step": shape_step, "providers": shape_providers, "fade": shape_fade}
    members = [state.vantages[i] for i in order]
    return draw_shape[event.shape.shape](state.rng, members, event.shape.span_s)


def _restore_vantages(
    state: ScenarioState, at_s: float, event: ScenarioEvent, affected: set[int]
) -> None:
    for target in (event.service,) if event.service else ("cut", "network"):
        _end_event(state, at_s, target, affected, event)


def _end_event(
    state: ScenarioState,
    at_s: float,
    target: str,
    affected: set[int],
    restoration: ScenarioEvent | None = None,
) -> None:
    order = [i for i in sorted(affected) if (target, i) in state.active_effects]
    offsets_s = [0.0] * len(order)
    if restoration is not None and restoration.shape is not None:
        offsets_s = _draw_offsets(state, restoration, order)
    for i, offset_s in zip(order, offsets_s, strict=True):
        since_s, event = state.active_effects.pop((target, i))
        _add_effect(state, target, i, since_s, max(since_s + 1, at_s + offset_s), event)
    at_s += sorted(offsets_s)[(len(order) - 1) // 2] if order else 0.0
    for event_id, (_, event, members) in list(state.open_events.items()):
        event_target = "cut" if event.do == "cut" else event.service
        if event_target == target and 2 * sum(
            (target, i) in state.active_effects for i in members
        ) < len(members):
            _close_truth(state, event_id, at_s)


def _add_effect(
    state: ScenarioState,
    target: str,
    index: int,
    since_s: float,
    until_s: float,
    event: ScenarioEvent,
) -> None:
    vantage = state.vantages[index]
    state.spans_by_event.setdefault(event.id, {})[index] = (since_s, until_s)
    if target == "cut":
        vantage.silences.append(SilentSpan(since_s, until_s, "cut"))
    else:
        vantage.interferences.append(_interference(event, since_s, until_s))


def _interference(event: ScenarioEvent, since_s: float, until_s: float) -> Interference:
    value = VOTE_VALUES.get(event.do, VoteValue.DOWN if event.declared else VoteValue.BLOCKED)
    return Interference(
        since_s, until_s, event.service, value, event.layer, event.method, event.share
    )


def _close_truth(state: ScenarioState, event_id: str, until_s: float) -> None:
    at_s, event, _ = state.open_events.pop(event_id)
    _record_truth(state, event, at_s, until_s, cast("TruthKind", event.do))


def _record_truth(
    state: ScenarioState, event: ScenarioEvent, at_s: float, until_s: float, kind: TruthKind
) -> None:
    has_ended = until_s < state.scenario.lasts_s
    state.truths.append(
        Truth(
            id=event.id,
            kind=kind,
            scope=event.scope or enclosing_scope(cell.scope for cell in event.cells),
            service=event.service,
            since_us=state.clock.to_us(at_s),
            until_us=state.clock.to_us(until_s) if has_ended else None,
            label=event.label or scope_label(cell.scope for cell in event.cells),
            scoreable=event.scoreable,
            layer=event.layer,
            spread_s=event.jitter_s,
        )
    )


def _apply_confounder(
    state: ScenarioState, at_s: float, event: ScenarioEvent, affected: set[int]
) -> None:
    """Apply an event that is no shutdown, and record it as a confounder."""
    lasts_s = event.lasts_s if math.isfinite(event.lasts_s) else 600.0
    until_s = at_s + lasts_s
    for i in sorted(affected):
        _affect_vantage(state, state.vantages[i], at_s, until_s, event)
    if event.do == "restart":
        state.restarts.append((at_s, until_s))
    if event.do in FAULTS and event.declared:
        state.faults.append(_fault(state, at_s, until_s, event))
    named_event = replace(event, label=event.label or event.do)
    _record_truth(state, named_event, at_s, until_s, "confounder")


def _affect_vantage(
    state: ScenarioState,
    vantage: SimulatedVantage,
    at_s: float,
    until_s: float,
    event: ScenarioEvent,
) -> None:
    since_s = at_s + state.rng.uniform(0, event.jitter_s)
    if event.do in INTERFERENCES:
        vantage.interferences.append(_interference(event, since_s, until_s))
    elif event.do in ("sleep", "lids"):
        if state.rng.random() < event.share:
            vantage.silences.append(SilentSpan(since_s, until_s, SILENCES[event.do]))
    elif event.do == "prefix_move":
        vantage.silences.append(SilentSpan(since_s, since_s + state.rng.uniform(25, 50), "own"))
        vantage.moved = (since_s, f"moved-{vantage.ref.prefix}")
    elif event.do == "update":
        lasts_s = state.rng.uniform(10, 90)
        vantage.silences.append(SilentSpan(since_s, since_s + lasts_s, SILENCES[event.do]))
    elif event.do == "own_block":
        has_other_way = state.rng.random() < event.share
        vantage.silences.append(SilentSpan(since_s, until_s, SILENCES[event.do], has_other_way))
    elif event.do in SILENCES:
        vantage.silences.append(SilentSpan(since_s, max(until_s, since_s + 1), SILENCES[event.do]))


def _fault(state: ScenarioState, at_s: float, until_s: float, event: ScenarioEvent) -> Fault:
    carriers = {cell.carrier for cell in event.cells}
    countries = {cell.country for cell in event.cells}
    return Fault(
        state.clock.to_us(at_s),
        state.clock.to_us(until_s),
        FAULTS[event.do],
        countries.pop() if len(countries) == 1 else "",
        carriers.pop() if len(carriers) == 1 else "",
    )
