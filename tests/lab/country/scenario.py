"""A drill's script: steps that put places into states of interference. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lab.country.interference import Interference
from lab.country.servers import Abroad
from lab.country.topology import COLLECTOR, Topology

Place = tuple[str, str]  # network, region
States = Mapping[Place, str]
MESSENGERS = ("telegram", "whatsapp", "signal")
DEGRADED_KBIT = 384


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a script, with the states of all places while it lasts.

    `shows` lists the incidents that its beginning must show (incident_check.py), `tells` the
    headlines as regular expressions by the page's path (page_reader.py).
    """

    id: str
    title: str
    at: str
    states: States
    lasts_s: int
    shows: tuple[Mapping[str, str], ...] = ()
    tells: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Script:
    name: str
    steps: tuple[Step, ...]


def script(file: Path, country: Topology) -> Script:
    """Read a script; raise KeyError or ValueError naming step, place or state."""
    said: dict[str, Any] = yaml.safe_load(file.read_text())
    return Script(said["name"], tuple(_steps(said["steps"], country)))


def _steps(said: list[dict[str, Any]], country: Topology) -> Iterator[Step]:
    states: dict[Place, str] = dict.fromkeys(_places("", country), "ok")
    for one in said:
        for change in one.get("set", ()):
            if change["state"] not in STATES:
                known = ", ".join(STATES)
                raise ValueError(f"{one['id']}: no state {change['state']!r}; there are: {known}")
            for where in change["where"]:
                states |= dict.fromkeys(_places(where, country), change["state"])
        lasts_s = 60 * int(one.get("minutes", 1))
        shows = tuple(one.get("shows", ()))
        at, tells = str(one.get("at", "")), dict(one.get("tells", {}))
        yield Step(one["id"], one["title"], at, dict(states), lasts_s, shows, tells)


def _places(where: str, country: Topology) -> list[Place]:
    """Return the places of `kcell`, `kcell/ala`, or "" for all."""
    network, _, region = where.partition("/")
    found = [
        (n.name, r)
        for n in country.networks
        for r in n.agents_by_region
        if network in ("", n.name) and region in ("", r)
    ]
    if not found:
        raise ValueError(f"there is no place {where!r}")
    return found


# Without power, and where a line fades, it is not the gate alone that acts: see `outages.py`.
STATES = ("ok", "messengers", "degraded", "whitelist", "cut", "collector", "powerless", "fading")


def interferences(state: str, region: str, known: Abroad) -> list[Interference]:
    """Return the interference that puts a place into `state`.

    A slow line is the whole network's, whatever the region.
    """
    if state == "messengers":
        return [
            Interference(kind="syn_dropped", region=region, addresses=known.of_service(name))
            for name in MESSENGERS
        ]
    if state == "degraded":
        return [Interference(kind="slow_line", rate_kbit=DEGRADED_KBIT)]
    if state == "collector":
        return [Interference(kind="address_dropped", region=region, addresses=(COLLECTOR,))]
    if state in ("cut", "whitelist"):
        return [Interference(kind=state, region=region)]
    if state == "powerless":  # with the lines: a machine that loses its power closes no session
        return [Interference(kind="cut", region=region)]
    return []
