"""Build the script of a simulation from a scenario of `evaluate`."""

from collections.abc import Sequence
from dataclasses import replace

from heliograph.regions import find_region
from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.model.signals import VantageRef, VoteValue
from heliograph_lab.evaluate.population import (
    Interference,
    SilentSpan,
    SimulatedVantage,
    is_only_blocked,
    merge_silences,
)
from heliograph_lab.evaluate.scenario import ScenarioState, simulate_events
from heliograph_lab.evaluate.scenario_model import Scenario
from heliograph_lab.simulate import (
    Actor,
    AgentSilence,
    CollectorRestart,
    ExpectedCut,
    Script,
    ServiceTrouble,
    scale_counts,
)
from heliograph_lab.simulate.script import SilenceKind


def build_script(scenario: Scenario, seed: int, agents: int = 0) -> Script:
    """Build a script from a scenario.

    Args:
        agents: The number of vantages, spread as in the scenario; 0 keeps its number.
    """
    if agents:
        scenario = replace(scenario, vantages=resize_vantages(scenario.vantages, agents))
    state = simulate_events(scenario, seed)
    actors = [_build_actor(i, vantage, scenario) for i, vantage in enumerate(state.vantages)]
    return Script(
        name=scenario.name,
        seconds=scenario.lasts_s,
        actors=actors,
        cuts=_expected_cuts(state, scenario),
        restarts=[CollectorRestart(*span) for span in state.restarts],
        services=[service.name for service in scenario.services],
        measure_every_s=min((s.every_s for s in scenario.services), default=0.0),
        outages=_list_outages(state),
    )


def resize_vantages(vantages: Sequence[VantageRef], total: int) -> tuple[VantageRef, ...]:
    """Scale vantages to a total; each location keeps its share and order."""
    groups_by_location: dict[tuple[object, ...], list[VantageRef]] = {}
    for vantage in vantages:
        groups_by_location.setdefault(
            (vantage.place, vantage.carrier, vantage.first_us), []
        ).append(vantage)
    groups = list(groups_by_location.values())
    counts = scale_counts([len(group) for group in groups], total)
    return tuple(
        _copy_vantage(group, i)
        for group, count in zip(groups, counts, strict=True)
        for i in range(count)
    )


def _copy_vantage(group: Sequence[VantageRef], number: int) -> VantageRef:
    """Return the original, or a copy in its own network unless the group shares one."""
    original = group[number % len(group)]
    if number < len(group):
        return original
    has_own_network = len({vantage.prefix for vantage in group}) == len(group)
    name = f"{original.nym}+{number}"
    return replace(original, nym=name, prefix=name if has_own_network else original.prefix)


def _build_actor(number: int, vantage: SimulatedVantage, scenario: Scenario) -> Actor:
    ref = vantage.ref
    return Actor(
        number=number,
        country=ref.place.country,
        region=find_region(ref.place.country, ref.place.region),  # a scenario's may be any label
        asn=ref.place.asn,
        access=ref.place.access or "unknown",
        network=ref.prefix,
        known_days=max(0.0, (scenario.since_us - ref.first_us) / DAY_US),
        silences=[_build_silence(group) for group in merge_silences(vantage)],
        troubles=[_build_trouble(interference) for interference in vantage.interferences],
    )


def _build_silence(group: Sequence[SilentSpan]) -> AgentSilence:
    first = group[0]
    how: SilenceKind = first.how if first.how in ("away", "killed") else "cut"
    if is_only_blocked(group):
        how = "blocked"
    has_other_way = all(span.other_way for span in group)
    return AgentSilence(
        max(0.0, first.since_s), max(span.until_s for span in group), how, has_other_way
    )


def _build_trouble(interference: Interference) -> ServiceTrouble:
    return ServiceTrouble(
        interference.since_s, interference.until_s, interference.service, interference.share
    )


def _list_outages(state: ScenarioState) -> list[ServiceTrouble]:
    """List worldwide failures of services, which vantages and controls meet."""
    anyone = state.vantages[:1]
    met = [one for vantage in anyone for one in vantage.interferences]
    return [_build_trouble(one) for one in met if one.value is VoteValue.DOWN]


def _expected_cuts(state: ScenarioState, scenario: Scenario) -> list[ExpectedCut]:
    return [
        ExpectedCut(
            (truth.since_us - scenario.since_us) / SECOND_US, truth.scope.country, truth.label
        )
        for truth in state.truths
        if truth.kind == "cut" and truth.scoreable
    ]
