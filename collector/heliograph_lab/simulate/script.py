"""Script of a simulation: actors and their events. Pure.

Seconds count from the start of the script, when all agents are connected.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

SilenceKind = Literal["cut", "away", "killed", "blocked"]


@dataclass(frozen=True, slots=True)
class AgentSilence:
    """A silence of an agent; `cut`: the connection hangs, `away`: after a goodbye.

    `killed`: its program ended, so that its kernel closed the connection. `blocked`: the connection
    hangs, but its line works: it measures, and sends by another way if it has one.
    """

    since_s: float
    until_s: float
    how: SilenceKind = "cut"
    has_other_way: bool = False


@dataclass(frozen=True, slots=True)
class ServiceTrouble:
    """A period in which a share of the tests of `service` fails."""

    since_s: float
    until_s: float
    service: str
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Actor:
    """One virtual agent; its key derives from `number`, a `network` is one /24."""

    number: int
    country: str
    region: str = ""
    asn: int = 0
    access: str = "unknown"
    network: str = ""
    known_days: float = 60.0  # since enrollment, with an own collector
    control: bool = False
    silences: Sequence[AgentSilence] = ()  # in order, without overlaps
    troubles: Sequence[ServiceTrouble] = ()


@dataclass(frozen=True, slots=True)
class CollectorRestart:
    """A kill and a later start of the collector."""

    at_s: float
    until_s: float


@dataclass(frozen=True, slots=True)
class ExpectedCut:
    """A cut that the detectors should find."""

    at_s: float
    country: str
    label: str


@dataclass(frozen=True, slots=True)
class Script:
    """A script of `seconds` with its actors, restarts and expected cuts."""

    name: str
    seconds: float
    actors: Sequence[Actor] = field(repr=False)
    cuts: Sequence[ExpectedCut] = ()
    restarts: Sequence[CollectorRestart] = ()
    services: Sequence[str] = ()  # tested by every actor
    measure_every_s: float = 60.0  # interval of these tests; 0 for no measurements
    outages: Sequence[ServiceTrouble] = ()  # of a service itself: controls meet them too

    @property
    def needs_sight(self) -> bool:
        """Return whether events need a collector that watched from before them."""
        return bool(self.cuts) or any(s.how == "blocked" for a in self.actors for s in a.silences)


def speed_up(script: Script, speed: float) -> Script:
    """Divide every time of a script by `speed`."""
    return replace(
        script,
        seconds=script.seconds / speed,
        measure_every_s=script.measure_every_s / speed,
        cuts=[replace(cut, at_s=cut.at_s / speed) for cut in script.cuts],
        restarts=[CollectorRestart(r.at_s / speed, r.until_s / speed) for r in script.restarts],
        outages=_speed_up_troubles(script.outages, speed),
        actors=[
            replace(
                actor,
                silences=[
                    replace(s, since_s=s.since_s / speed, until_s=s.until_s / speed)
                    for s in actor.silences
                ],
                troubles=_speed_up_troubles(actor.troubles, speed),
            )
            for actor in script.actors
        ],
    )


def _speed_up_troubles(troubles: Sequence[ServiceTrouble], speed: float) -> list[ServiceTrouble]:
    return [replace(t, since_s=t.since_s / speed, until_s=t.until_s / speed) for t in troubles]


def scale_counts(counts: Sequence[int], total: int) -> list[int]:
    """Scale counts so that they add up to `total`, by largest remainders."""
    count_sum = sum(counts)
    exact = [count * total / count_sum for count in counts]
    scaled = [int(x) for x in exact]
    rests = [x - int(x) for x in exact]
    by_rest = sorted(range(len(counts)), key=rests.__getitem__, reverse=True)
    for i in by_rest[: total - sum(scaled)]:
        scaled[i] += 1
    return scaled
