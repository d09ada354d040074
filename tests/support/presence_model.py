"""Vantages in virtual time: presence signals of churn and cuts, tests as votes."""

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
    ReplayClock,
    SilentSpan,
    SimulatedVantage,
    draw_churn,
    presence_signals,
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
    """A cut in seconds since T0; `where` selects vantages, `jitter_s` delays them."""

    since_s: float
    until_s: float
    where: Callable[[VantageRef], bool] = field(default=lambda _: True)
    jitter_s: float = 0.0


people = partial(vantages_at, first_us=OLD_US)  # (place, count), each behind another address


def list_people(
    regions: Iterable[str], asns: Sequence[int], access: str, each: int
) -> list[VantageRef]:
    """Return `each` vantages of every operator in every region of Kazakhstan."""
    return [
        vantage
        for region in regions
        for asn in asns
        for vantage in people(VantageLocation("KZ", region, asn, access), each)
    ]


def country(
    code: str = "KZ", regions: Sequence[str] = ("ALA", "AST", "VOS"), each: int = 2
) -> list[VantageRef]:
    """Return `each` vantages of 3 mobile and 3 fixed operators in every region."""
    return [
        w
        for region in regions
        for asn, access in OPERATORS
        for w in people(VantageLocation(code, region, asn, access), each)
    ]


def world(countries: int = 4, each: int = 1) -> list[VantageRef]:
    """Return vantages of other countries as witnesses."""
    return [w for i in range(countries) for w in country(f"X{chr(65 + i)}", each=each)]


def two_networks(rng: Random) -> tuple[list[VantageRef], list[VantageRef]]:
    """Return (honest, colluding): 54 in two networks, a third of every cell colludes.

    Each network has its own prefix.
    """
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
    """Return all presence signals from T0 on; `churn` is silences per vantage and day."""
    end_s = hours * 3_600
    simulated = [SimulatedVantage(vantage) for vantage in vantages]
    for each in simulated:
        each.silences += draw_churn(rng, end_s, churn)
        for cut in cuts:
            if cut.where(each.ref):
                since_s = cut.since_s + rng.uniform(0, cut.jitter_s)
                each.silences.append(SilentSpan(since_s, cut.until_s, "cut"))
    signals = presence_signals(simulated, rng, end_s, ReplayClock(T0))
    return [signal for signal in signals if not isinstance(signal, OfflineReport)]


def at(seconds: float) -> int:
    return ReplayClock(T0).to_us(seconds)


def drop(
    vantages: Iterable[VantageRef], since_s: float, rng: Random, until_s: float | None = None
) -> Signals:
    """Silence all at once; with `until_s`, they come back within a minute after it."""
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
    """Test telegram once a minute; a share `noise` of working tests fails by chance."""
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
