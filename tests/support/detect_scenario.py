"""A dated event from its YAML file, replayed as signals: moments are drawn from their brackets."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import yaml

from heliograph_collector.model.signals import SECOND_US, Arrival, Opinion, Place, Standing, Witness
from support.dark_world import OLD_US, T0, Signals, at, outages, silences_of

FOLDER = Path(__file__).parents[1] / "scenarios" / "detect"


@dataclass(frozen=True)
class Step:
    id: str
    at_s: float  # drawn; seconds since T0
    state: str
    scoreable: bool
    cells: tuple[dict[str, Any], ...]

    def takes(self, witness: Witness, share: float) -> bool:
        return any(_selects(cell, witness.place, share) for cell in self.cells)


@dataclass(frozen=True)
class Event:
    """`ranks`: where each vantage stands among those of its place, 0 to 1."""

    people: dict[Witness, float]
    steps: dict[str, Step]
    until_s: float

    def states(self, witness: Witness) -> list[tuple[float, str]]:
        rank = self.people[witness]
        taken = [s for s in self.steps.values() if s.takes(witness, rank)]
        return [(s.at_s, s.state) for s in sorted(taken, key=lambda s: s.at_s)]


def load(name: str, rng: Random) -> Event:
    found = yaml.safe_load((FOLDER / name).read_text())
    people: dict[Witness, float] = {}
    for row in found["population"]:
        place = Place(found["country"], row["region"], row["asn"], row["access"])
        for i in range(row["vantages"]):
            nym = f"{place.region}-{place.asn}-{i}"
            people[Witness(nym, nym, place, OLD_US)] = i / row["vantages"]
    steps = {row["id"]: _step(row, rng) for row in found["steps"]}
    return Event(people, steps, _seconds(found["until"]))


def presence(event: Event, rng: Random, churn: float = 4.0) -> Signals:
    """Cut is silence; in any other state a vantage is heard."""
    signals: Signals = []
    for witness in event.people:
        dark, since = [], None
        for at_s, state in [*event.states(witness), (event.until_s, "ok")]:
            if state == "cut" and since is None:
                since = at_s + rng.uniform(0, 5)
            elif state != "cut" and since is not None:
                dark.append((since, at_s))
                since = None
        off = [*outages(rng, event.until_s, churn), *dark]
        signals.append(Arrival(T0, witness))
        signals += silences_of(witness, rng, off, event.until_s, [until for _, until in dark])
    return signals


def opinions(
    event: Event, rng: Random, since_s: float, until_s: float, every_s: float = 60.0
) -> list[Opinion]:
    """Of a messenger and of the network's own speed, where a vantage is heard."""
    found = []
    for witness in event.people:
        states = event.states(witness)
        now = since_s + rng.uniform(0, every_s)
        while now < until_s:
            state = next((s for at_s, s in reversed(states) if at_s <= now), "ok")
            if state != "cut":
                found += _opinions(witness, state, now, rng, states)
            now += every_s
    return found


def _opinions(
    witness: Witness, state: str, now: float, rng: Random, states: list[tuple[float, str]]
) -> list[Opinion]:
    blocked = state == "msgr" or ("msgr" in [s for at_s, s in states if at_s <= now])
    failing = blocked or rng.random() < 0.02
    slow = state == "degraded" or rng.random() < 0.02
    bad = Opinion(at(now), witness, "telegram", Standing.BLOCKED, "tls", "timeout_after_hello")
    good = Opinion(at(now), witness, "telegram", Standing.GOOD)
    lame = Opinion(at(now), witness, "network", Standing.THROTTLED, "http", "throttled")
    fast = Opinion(at(now), witness, "network", Standing.GOOD)
    return [bad if failing else good, lame if slow else fast]


def _step(row: dict[str, Any], rng: Random) -> Step:
    low, high = (_seconds(when) for when in row["when"])
    scoreable = row.get("scoreable", True)
    return Step(row["id"], rng.uniform(low, high), row["state"], scoreable, tuple(row["cells"]))


def _seconds(when: datetime) -> float:
    return when.timestamp() - T0 / SECOND_US


def _selects(cell: dict[str, Any], place: Place, rank: float) -> bool:
    return (
        cell.get("region", place.region) == place.region
        and cell.get("asn", place.asn) == place.asn
        and cell.get("access", place.access) == place.access
        and cell.get("except") != place.region
        and rank < cell.get("share", 1.0)
    )
