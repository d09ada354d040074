"""Vantages in virtual time: churn, cuts and returns as presence signals, tests as votes."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random

from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.incidents.incident import Incident
from heliograph_collector.model.signals import (
    Fault,
    Goodbye,
    OfflineReport,
    ServiceVote,
    VantageArrival,
    VantageLocation,
    VantageLoss,
    VantageRef,
    VoteValue,
)
from heliograph_lab.evaluate.population import (
    BEAT_S,
    LOST_S,
    OPERATORS,
    RETRY_S,
    draw_churn,
    vantages_at,
)

T0 = 1_640_995_200 * SECOND_US  # 1 January 2022
OLD_US = T0 - 60 * DAY_US


def KZ(witness: VantageRef) -> bool:  # noqa: N802 - the code of a country
    return witness.place.country == "KZ"


BLOCKED_TLS = (VoteValue.BLOCKED, "tls", "timeout")
Signals = list[VantageArrival | Goodbye | VantageLoss | Fault | OfflineReport]


@dataclass(frozen=True)
class Cut:
    """Seconds since T0; `where` says who is cut, `jitter` spreads the onset."""

    since_s: float
    until_s: float
    where: Callable[[VantageRef], bool] = field(default=lambda _: True)
    jitter_s: float = 0.0


people = partial(vantages_at, first_us=OLD_US)  # (place, count), each in a network of its own


def country(
    code: str = "KZ", regions: Sequence[str] = ("ALA", "AST", "VOS"), each: int = 2
) -> list[VantageRef]:
    """Three mobile and three fixed operators in every region, `each` vantages of each."""
    return [
        w
        for region in regions
        for asn, access in OPERATORS
        for w in people(VantageLocation(code, region, asn, access), each)
    ]


def world(countries: int = 4, each: int = 1) -> list[VantageRef]:
    """The others, who bear witness."""
    return [w for i in range(countries) for w in country(f"X{chr(65 + i)}", each=each)]


def two_networks(rng: Random) -> tuple[list[VantageRef], list[VantageRef]]:
    """(honest, colluding): 54 in two networks, each in its own prefix; a third of every cell
    colludes."""
    honest, colluding = [], []
    for asn in (1, 2):
        for region in ("ALA", "AST", "VOS"):
            mine = people(VantageLocation("KZ", region, asn, "fixed"), 9)
            rng.shuffle(mine)
            colluding += mine[:3]
            honest += mine[3:]
    return honest, colluding


def live(
    vantages: Iterable[VantageRef],
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
        signals.append(VantageArrival(T0, witness))
        off = [(span.since_s, span.until_s) for span in draw_churn(rng, end, churn)] + [
            (cut.since_s + rng.uniform(0, cut.jitter_s), cut.until_s)
            for cut in cuts
            if cut.where(witness)
        ]
        signals += silences_of(witness, rng, off, end, [c.until_s for c in cuts])
    return signals


def at(seconds: float) -> int:
    return T0 + round(seconds * SECOND_US)


def silences_of(
    witness: VantageRef,
    rng: Random,
    off: list[tuple[float, float]],
    end: float,
    ends: Sequence[float],
) -> Signals:
    signals: Signals = []
    merged: list[tuple[float, float]] = []
    for since, until in sorted(off):
        if merged and since <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(merged[-1][1], until)
        else:
            merged.append((since, until))
    for since, until in merged:
        heard = max(0.0, since - rng.uniform(0, BEAT_S))
        back = until + rng.uniform(0, RETRY_S if until in ends else 3.0)
        if back > heard + LOST_S and heard + LOST_S < end:
            signals.append(VantageLoss(at(heard + LOST_S), witness.nym, at(heard)))
        if since > 0 and back < end:
            signals.append(VantageArrival(at(back), witness))
    return signals


def drop(
    vantages: Iterable[VantageRef], since_s: float, rng: Random, until_s: float | None = None
) -> Signals:
    """All fall silent at once and, with `until_s`, come back within a minute after it."""
    signals: Signals = []
    for vantage in vantages:
        heard_s = since_s - rng.uniform(0, BEAT_S)
        signals.append(VantageLoss(at(heard_s + LOST_S), vantage.nym, at(heard_s)))
        if until_s is not None:
            signals.append(VantageArrival(at(until_s + rng.uniform(0, RETRY_S)), vantage))
    return signals


def service_votes(
    vantages: Iterable[VantageRef],
    rng: Random,
    until_s: float,
    failing: Callable[[VantageRef, float], bool],
    *,
    cause: tuple[VoteValue, str, str] = BLOCKED_TLS,
    noise: float = 0.02,
    noise_cause: tuple[VoteValue, str, str] | None = None,
) -> list[ServiceVote]:
    """Test telegram once a minute; a share of `noise` of the working tests fails by itself."""
    votes = []
    for vantage in vantages:
        now_s = rng.uniform(0, 60)
        while now_s < until_s:
            verdict = (VoteValue.GOOD, "", "")
            if failing(vantage, now_s):
                verdict = cause
            elif rng.random() < noise:
                verdict = noise_cause or cause
            votes.append(ServiceVote(at(now_s), vantage, "telegram", *verdict))
            now_s += 60
    return votes


def confirmed(incidents: Iterable[Incident]) -> list[Incident]:
    return [incident for incident in incidents if incident.confirmed_us is not None]
