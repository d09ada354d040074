"""A country of vantages in virtual time: churn, cuts and returns as presence signals.

Numbers of the model are those of the published replay: heartbeats of 15 s, lost after 2½, downtimes
log-normal with a median of 3 minutes and sigma 1.5, waits of at most a minute between two tries.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

from heliograph_collector.model.signals import (
    DAY_US,
    SECOND_US,
    Arrival,
    Fault,
    Goodbye,
    Lost,
    Place,
    Replay,
    Witness,
)

BEAT_S = 15.0
LOST_S = 37.5
RETRY_S = 60.0
T0 = 1_640_995_200 * SECOND_US  # 1 January 2022
OLD_US = T0 - 60 * DAY_US


def KZ(witness: Witness) -> bool:  # noqa: N802 - the code of a country
    return witness.place.country == "KZ"


Signals = list[Arrival | Goodbye | Lost | Fault | Replay]


@dataclass(frozen=True)
class Cut:
    """Seconds since T0; `where` says who is cut, `jitter` spreads the onset."""

    since_s: float
    until_s: float
    where: Callable[[Witness], bool] = field(default=lambda _: True)
    jitter_s: float = 0.0


def people(place: Place, n: int, *, carrier: str = "session", prefix: str = "") -> list[Witness]:
    """`n` vantages, each in a network of its own, unless they share one."""
    name = f"{place.country}{place.region}{place.asn}{place.access}{carrier}{prefix}"
    return [
        Witness(f"{name}-{i}", prefix or f"{name}-{i}", place, OLD_US, carrier) for i in range(n)
    ]


def country(
    code: str = "KZ", regions: Sequence[str] = ("ALA", "AST", "VOS"), each: int = 2
) -> list[Witness]:
    """Three mobile and three fixed operators in every region, `each` vantages of each."""
    operators = [(101, "mobile"), (102, "mobile"), (103, "mobile")]
    operators += [(201, "fixed"), (202, "fixed"), (203, "fixed")]
    return [
        w
        for region in regions
        for asn, access in operators
        for w in people(Place(code, region, asn, access), each)
    ]


def world(countries: int = 4, each: int = 1) -> list[Witness]:
    """The others, who bear witness."""
    return [w for i in range(countries) for w in country(f"X{chr(65 + i)}", each=each)]


def two_networks(rng: Random) -> tuple[list[Witness], list[Witness]]:
    """(honest, colluding): 54 in two networks, each in its own prefix; a third of every cell
    colludes."""
    honest, colluding = [], []
    for asn in (1, 2):
        for region in ("ALA", "AST", "VOS"):
            mine = people(Place("KZ", region, asn, "fixed"), 9)
            rng.shuffle(mine)
            colluding += mine[:3]
            honest += mine[3:]
    return honest, colluding


def live(
    vantages: Iterable[Witness],
    rng: Random,
    hours: float,
    *,
    churn: float = 4.0,
    cuts: Sequence[Cut] = (),
) -> Signals:
    """All that presence would write down from T0 on; `churn` in silences per vantage-day."""
    end = hours * 3_600
    signals: Signals = []
    for witness in vantages:
        signals.append(Arrival(T0, witness))
        off = outages(rng, end, churn) + [
            (cut.since_s + rng.uniform(0, cut.jitter_s), cut.until_s)
            for cut in cuts
            if cut.where(witness)
        ]
        signals += silences_of(witness, rng, off, end, [c.until_s for c in cuts])
    return signals


def at(seconds: float) -> int:
    return T0 + round(seconds * SECOND_US)


def outages(rng: Random, end: float, per_day: float) -> list[tuple[float, float]]:
    """A vantage's own, in seconds; nobody has to do with anybody else's."""
    found, now = [], 0.0
    while per_day > 0:
        now += rng.expovariate(per_day / 86_400)
        if now >= end:
            break
        back = now + math.exp(rng.gauss(math.log(180), 1.5))
        found.append((now, back))
        now = back
    return found


def _merged(off: list[tuple[float, float]]) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for since, until in sorted(off):
        if merged and since <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(merged[-1][1], until)
        else:
            merged.append((since, until))
    return merged


def silences_of(
    witness: Witness,
    rng: Random,
    off: list[tuple[float, float]],
    end: float,
    ends: Sequence[float],
) -> Signals:
    signals: Signals = []
    for since, until in _merged(off):
        heard = max(0.0, since - rng.uniform(0, BEAT_S))
        back = until + rng.uniform(0, RETRY_S if until in ends else 3.0)
        if back > heard + LOST_S and heard + LOST_S < end:
            signals.append(Lost(at(heard + LOST_S), witness.nym, at(heard)))
        if since > 0 and back < end:
            signals.append(Arrival(at(back), witness))
    return signals
