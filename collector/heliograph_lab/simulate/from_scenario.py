"""A scenario as `evaluate` reads it, made into what `simulate` plays for real."""

from collections.abc import Sequence
from dataclasses import replace

from heliograph_collector.model.signals import DAY_US, SECOND_US, Witness
from heliograph_lab.evaluate.population import Life, silences
from heliograph_lab.evaluate.scenario import Played, Scenario, happen
from heliograph_lab.simulate import Actor, Cut, Restart, Silence, Story, Trouble, shares

CONTROLS = 2  # of our own, where services are tested: without them nothing counts as blocked


def story(scenario: Scenario, seed: int, agents: int = 0) -> Story:
    """With `agents` vantages in all, if that is not 0, spread as the scenario's are."""
    if agents:
        scenario = replace(scenario, vantages=resized(scenario.vantages, agents))
    played = happen(scenario, seed)
    actors = [_actor(i, life, scenario) for i, life in enumerate(played.lives)]
    if scenario.services:
        actors += [Actor(len(actors) + i, "ZZ", control=True) for i in range(CONTROLS)]
    return Story(
        name=scenario.name,
        seconds=scenario.lasts_s,
        actors=actors,
        cuts=_cuts(played, scenario),
        restarts=[Restart(*span) for span in played.restarts],
        services=[service.name for service in scenario.services],
        measure_every_s=min((s.every_s for s in scenario.services), default=0.0),
    )


def resized(vantages: Sequence[Witness], total: int) -> tuple[Witness, ...]:
    """As many, each place with its share; every place keeps its order and its networks."""
    places: dict[tuple[object, ...], list[Witness]] = {}
    for witness in vantages:
        places.setdefault((witness.place, witness.carrier, witness.first_us), []).append(witness)
    groups = list(places.values())
    counts = shares([len(group) for group in groups], total)
    return tuple(
        _copy(group, i) for group, count in zip(groups, counts, strict=True) for i in range(count)
    )


def _copy(group: Sequence[Witness], number: int) -> Witness:
    """The original, or a further one: in a network of its own, unless the place shares one."""
    model = group[number % len(group)]
    if number < len(group):
        return model
    alone = len({witness.prefix for witness in group}) == len(group)
    name = f"{model.nym}+{number}"
    return replace(model, nym=name, prefix=name if alone else model.prefix)


def _actor(number: int, life: Life, scenario: Scenario) -> Actor:
    witness = life.witness
    return Actor(
        number=number,
        country=witness.place.country,
        region=witness.place.region,
        asn=witness.place.asn,
        access=witness.place.access or "unknown",
        network=witness.prefix,
        known_days=max(0.0, (scenario.since_us - witness.first_us) / DAY_US),
        silences=[
            Silence(
                max(0.0, group[0].since_s),
                max(spell.until_s for spell in group),
                "away" if group[0].how == "away" else "cut",
            )
            for group in silences(life)
        ],
        troubles=[Trouble(h.since_s, h.until_s, h.service, h.share) for h in life.hindrances],
    )


def _cuts(played: Played, scenario: Scenario) -> list[Cut]:
    return [
        Cut((truth.since_us - scenario.since_us) / SECOND_US, truth.scope.country, truth.label)
        for truth in played.truths
        if truth.kind == "cut" and truth.scoreable
    ]
