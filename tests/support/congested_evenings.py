"""Votes of evenings with a busy network, and of blocks that spread by vantages.

Written from the physics, apart from the detectors. A queue that is full drops packets of every
service alike, so tests fail by chance, at each vantage, at a rate that swings in minutes and that
differs by line. A block fails each test of one service and leaves the rest alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from heliograph.units import MINUTE_US, SECOND_US
from heliograph_collector.detect.blocking.detector import BlockingDetector
from heliograph_collector.incidents.incident import Incident, IncidentKind
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import (
    ServiceVote,
    VantageLocation,
    VantageRef,
    VoteValue,
)
from support.foreign_world import AT, DAY, HOUR, Land, clock, create_land, seconds_after

MESSENGERS = ("telegram", "whatsapp", "signal", "facebook")
ABROAD = ("bbc", "dw", "github", "wikipedia", "youtube")
DOMESTIC = ("bank", "newspaper", "office")
ALL = MESSENGERS + ABROAD + DOMESTIC
NOISE = 0.02  # of the tests fail on a calm day
EVERY = 480.0
DELIVERY_US = 17 * SECOND_US  # from a test to its vote
COUNTRY = Scope("KZ")
MOBILE = Scope("KZ", access="mobile")


@dataclass(frozen=True)
class Busy:
    """A cell in which tests fail by chance for a time."""

    share: float
    scope: Scope = COUNTRY
    at: float = AT
    lasts: float = 4 * HOUR
    ramp: float = 0.0  # seconds from none to all of it, and back
    services: tuple[str, ...] = ALL
    resets: float = 0.0  # share of the failures that are resets
    layer: str = "tcp"
    doubted: float = 0.0  # share of the failures in which the control fails too
    lines: float = 1.0  # share of the vantages
    always: bool = False  # each test of such a vantage fails: a portal, or no credit

    def chance(self, vantage: VantageRef, service: str, second: float) -> float:
        since = second - self.at
        if not 0 <= since < self.lasts or service not in self.services:
            return 0.0
        if not self.scope.includes(vantage.place) or vantage.place.access == "hosting":
            return 0.0
        if _draw(vantage.nym, self.lines) > self.lines:
            return 0.0
        if self.always:
            return 1.0
        rise = min(1.0, since / self.ramp, (self.lasts - since) / self.ramp) if self.ramp else 1.0
        line = 0.7 + 0.6 * _draw(vantage.nym, "line")
        size = 0.9 + 0.2 * _draw(service, "size")
        minute = 0.75 + 0.5 * _draw(second // 300, self.scope)
        return min(0.95, self.share * rise * line * size * minute)


@dataclass(frozen=True)
class Blocked:
    """A service that fails in a cell: always, or a share of the time."""

    service: str
    scope: Scope = COUNTRY
    at: float = AT
    lasts: float = 4 * HOUR
    share: float = 1.0
    rollout: float = 0.0  # seconds until it has come to all, one vantage after another
    reaches: float = 1.0  # share of the vantages that it comes to
    within_s: float = 420.0

    def holds(self, vantage: VantageRef, turn: float, second: float) -> bool:
        """Return whether it fails; `turn`: the vantage's place in the order, from 0 to 1."""
        begins = self.at + turn * self.rollout
        is_inside = self.scope.includes(vantage.place) and vantage.place.access != "hosting"
        return is_inside and turn < self.reaches and begins <= second < self.at + self.lasts


@dataclass(frozen=True)
class Evening:
    """The congestion and the blocks of one evening; the country has 38 vantages."""

    busy: tuple[Busy, ...] = ()
    blocks: tuple[Blocked, ...] = ()
    hours: float = 7.0
    services: tuple[str, ...] = ALL
    lines: tuple[int, ...] = (14, 10)
    phones: tuple[int, ...] = (8, 6)
    every: float = EVERY


def list_vantages(evening: Evening, land: Land) -> list[VantageRef]:
    land.settle(evening.lines, evening.phones)
    return [
        VantageRef(
            p.name,
            p.prefix,
            VantageLocation(p.country, p.region, p.asn, p.access),
            round(clock(p.enrolled) * SECOND_US),
        )
        for p in land.people
    ]


def list_votes(evening: Evening, seed: int) -> tuple[list[ServiceVote], list[VantageRef]]:
    """Return the votes in order of time, and the country's vantages in roll-out order."""
    land = create_land(seed, evening.hours)
    vantages = list_vantages(evening, land)
    here = [v for v in vantages if v.place.country == "KZ" and v.place.access != "hosting"]
    land.rng.shuffle(here)
    turns = {v.nym: n / len(here) for n, v in enumerate(here)}
    votes: list[ServiceVote] = []
    for vantage in vantages:
        for service in evening.services:
            turn = turns.get(vantage.nym, 1.0)
            votes += _test(evening, land, vantage, turn, service)
    return sorted(votes, key=lambda vote: vote.at_us), here


def _test(
    evening: Evening, land: Land, vantage: VantageRef, turn: float, service: str
) -> Iterator[ServiceVote]:
    second = land.start + 60 + land.rng.uniform(0, evening.every)
    is_second = False
    while second < land.end:
        vote = _judge(evening, land.rng, vantage, turn, service, second)
        yield vote
        is_second = vote.standing is VoteValue.BLOCKED and not is_second
        usual = evening.every * land.rng.uniform(0.9, 1.1)
        second += land.rng.uniform(10, 40) if is_second else usual


def _judge(
    evening: Evening, rng: Random, vantage: VantageRef, turn: float, service: str, second: float
) -> ServiceVote:
    at_us = round(clock(second) * SECOND_US)
    for block in evening.blocks:
        is_held = service == block.service and block.holds(vantage, turn, second)
        if is_held and rng.random() < block.share:
            return ServiceVote(at_us, vantage, service, VoteValue.BLOCKED, "tls", "timeout")
    for busy in evening.busy:
        if rng.random() < busy.chance(vantage, service, second):
            if rng.random() < busy.doubted:
                return ServiceVote(at_us, vantage, service, VoteValue.UNKNOWN)
            method = "reset" if rng.random() < busy.resets else "timeout"
            return ServiceVote(at_us, vantage, service, VoteValue.BLOCKED, busy.layer, method)
    if rng.random() < NOISE:
        return ServiceVote(at_us, vantage, service, VoteValue.BLOCKED, "tcp", "timeout")
    return ServiceVote(at_us, vantage, service, VoteValue.GOOD)


def _draw(*key: object) -> float:
    """Draw from 0 to 1, the same for the same key."""
    return Random(repr(key)).random()


NIGHTS = tuple(Busy(0.35, at=n * DAY + 14 * HOUR, ramp=1_800) for n in range(4))
BY_NAME = tuple(service for service in ALL if service != "telegram")
FOREIGN = MESSENGERS + ABROAD

BUSY = {
    "a fifth of all": Evening((Busy(0.20),)),
    "a third of all, 4 services": Evening((Busy(0.35),), services=MESSENGERS),
    "a third of all": Evening((Busy(0.35),)),
    "a third of all, light tests": Evening((Busy(0.35),), services=MESSENGERS, every=150),
    "a third, by a ramp": Evening((Busy(0.35, ramp=5_400, lasts=6 * HOUR),), hours=8),
    "a third, resets too": Evening((Busy(0.35, resets=0.4),)),
    "a third, controls too": Evening((Busy(0.35, doubted=0.4),)),
    "half of all": Evening((Busy(0.50),)),
    "half of all, 4 services": Evening((Busy(0.50),), services=MESSENGERS),
    "half of all, 2 h": Evening((Busy(0.50, lasts=2 * HOUR, ramp=600),), hours=5),
    "one network, a third": Evening((Busy(0.35, Scope("KZ", asn=10)),)),
    "one network, half": Evening((Busy(0.50, Scope("KZ", asn=10)),)),
    "phones, a third": Evening((Busy(0.35, MOBILE),)),
    "phones, half": Evening((Busy(0.50, MOBILE, lasts=3 * HOUR, ramp=900),)),
    "a region, half": Evening((Busy(0.50, Scope("KZ", "A")),)),
    "four evenings": Evening(NIGHTS, hours=92, services=MESSENGERS),
    "the line abroad, a third": Evening((Busy(0.35, services=FOREIGN),)),
    "the line abroad, half": Evening((Busy(0.50, services=FOREIGN),)),
    "a resolver, names fail": Evening(
        (Busy(0.40, Scope("KZ", asn=10), services=BY_NAME, layer="dns"),)
    ),
    "no credit, a third of phones": Evening((Busy(1, MOBILE, lines=0.33, always=True),)),
    "no credit, half of phones": Evening((Busy(1, MOBILE, lines=0.5, always=True),)),
    "portals, a tenth": Evening((Busy(1, lines=0.1, always=True, layer="http"),)),
    "a third, small fleet": Evening((Busy(0.35),), lines=(5, 3), phones=(3,)),
    "half, small fleet": Evening((Busy(0.5),), lines=(5, 3), phones=(3,)),
    "a third, large fleet": Evening((Busy(0.35),), lines=(60, 40), phones=(30, 30)),
}

LATER = AT + 5_400
BLOCKS = {
    "block, calm": Evening(blocks=(Blocked("telegram"),)),
    "block, calm, 4 services": Evening(blocks=(Blocked("telegram"),), services=MESSENGERS),
    "three at once, 4 services": Evening(
        blocks=tuple(map(Blocked, MESSENGERS[:3])), services=MESSENGERS
    ),
    "all four, 4 services": Evening(blocks=tuple(map(Blocked, MESSENGERS)), services=MESSENGERS),
    "seven of twelve": Evening(blocks=tuple(map(Blocked, ALL[:7]))),
    "one network, three of four": Evening(
        blocks=tuple(Blocked(s, Scope("KZ", asn=10), within_s=600) for s in MESSENGERS[:3]),
        services=MESSENGERS,
    ),
    "phones, three of four": Evening(
        blocks=tuple(Blocked(s, MOBILE, within_s=600) for s in MESSENGERS[:3]),
        services=MESSENGERS,
    ),
    "partial 40": Evening(blocks=(Blocked("telegram", share=0.4, within_s=5_400),)),
    "partial 40, 4 services": Evening(
        blocks=(Blocked("telegram", share=0.4, within_s=5_400),), services=MESSENGERS
    ),
    "two partial 40, 4 services": Evening(
        blocks=tuple(Blocked(s, share=0.4, within_s=5_400) for s in MESSENGERS[:2]),
        services=MESSENGERS,
    ),
    "partial 60": Evening(blocks=(Blocked("telegram", share=0.6, within_s=5_400),)),
    "block while a third fails": Evening(
        (Busy(0.35),), (Blocked("whatsapp", at=LATER, lasts=2 * HOUR, within_s=900),)
    ),
    "block while a third fails, 4 services": Evening(
        (Busy(0.35),),
        (Blocked("whatsapp", at=LATER, lasts=2 * HOUR, within_s=900),),
        services=MESSENGERS,
    ),
    "block while half fails": Evening(
        (Busy(0.5),), (Blocked("whatsapp", at=LATER, lasts=2 * HOUR, within_s=1_800),)
    ),
    "block of a busy network": Evening(
        (Busy(0.35),),
        (Blocked("whatsapp", Scope("KZ", asn=10), LATER, 2 * HOUR, within_s=1_800),),
    ),
    "two blocked while a third fails": Evening(
        (Busy(0.35),),
        tuple(Blocked(s, at=LATER, lasts=2 * HOUR, within_s=1_200) for s in MESSENGERS[:2]),
    ),
    "block while the line abroad is busy": Evening(
        (Busy(0.35, services=FOREIGN),),
        (Blocked("whatsapp", at=LATER, lasts=2 * HOUR, within_s=900),),
    ),
    "block that ends in a busy evening": Evening(
        (Busy(0.35, at=AT + HOUR, lasts=5 * HOUR),),
        (Blocked("whatsapp", lasts=3 * HOUR),),
    ),
}

SLOWED = Evening(
    blocks=tuple(Blocked(s, lasts=HOUR, share=0.85, within_s=900) for s in MESSENGERS),
    hours=3,
    services=MESSENGERS + DOMESTIC[:2],
)

ROLLOUTS = {
    "to all, 6 h": Evening(
        blocks=(Blocked("telegram", lasts=9 * HOUR, rollout=6 * HOUR),),
        hours=11,
        services=("telegram",),
    ),
    "to all, 2 h": Evening(
        blocks=(Blocked("telegram", lasts=6 * HOUR, rollout=2 * HOUR),),
        hours=8,
        services=("telegram",),
    ),
    "to half, 4 h": Evening(
        blocks=(Blocked("telegram", lasts=9 * HOUR, rollout=8 * HOUR, reaches=0.55),),
        hours=11,
        services=("telegram",),
    ),
    "to half at once": Evening(
        blocks=(Blocked("telegram", lasts=4 * HOUR, reaches=0.55),), hours=6, services=("telegram",)
    ),
    "phones, 4 h": Evening(
        blocks=(Blocked("telegram", MOBILE, lasts=7 * HOUR, rollout=4 * HOUR),),
        hours=9,
        services=("telegram",),
        lines=(16, 12),
        phones=(12, 10),
    ),
    "to all, light tests, 4 h": Evening(
        blocks=(Blocked("telegram", lasts=7 * HOUR, rollout=4 * HOUR),),
        hours=9,
        services=("telegram",),
        every=150,
    ),
}


def find_evening_faults(evening: Evening, incidents: Sequence[Incident]) -> Iterator[str]:
    """Yield a sentence for each fault of the confirmed incidents."""
    told = [i for i in incidents if i.confirmed_us is not None]
    for incident in told:
        if not any(_is_told_by(block, incident) for block in evening.blocks):
            cells = [part.scope for part in incident.parts]
            yield f"wrong: {incident.kind} of {incident.service} in {cells}, {incident.state}"
    for block in evening.blocks:
        delays = [seconds_after(block.at, i.confirmed_us) for i in told if _is_told_by(block, i)]
        if not delays or min(delays) > block.within_s:
            yield f"{block.service} in {block.scope} told after {delays} s"


def _is_told_by(block: Blocked, incident: Incident) -> bool:
    second = seconds_after(block.at, incident.confirmed_us)
    is_inside = all(part.scope.is_within(block.scope) for part in incident.parts)
    is_current = 0 <= second <= block.lasts + 120
    return incident.service == block.service and is_inside and is_current


def list_named(votes: Sequence[ServiceVote]) -> Iterator[tuple[float, Scope, IncidentKind]]:
    """Yield the time at which a block, and a partial one, first names each cell."""
    detector = BlockingDetector(votes[0].at_us // MINUTE_US * MINUTE_US)
    named: set[tuple[Scope, IncidentKind]] = set()
    for vote in votes:
        if detector.close_bins(vote.at_us // MINUTE_US * MINUTE_US):
            cells = {
                (part.scope, incident.kind)
                for incident in detector.incidents()
                if incident.confirmed_us is not None and incident.closed_us is None
                for part in incident.parts
            }
            for scope, kind in sorted(cells - named):
                yield seconds_after(0, detector.since_us), scope, kind
            named |= cells
        detector.add_vote(vote)


def share_blocked(block: Blocked, here: Sequence[VantageRef], scope: Scope, second: float) -> float:
    """Return the share of a cell's vantages that a block has reached.

    `here` is in the order in which the block reaches them.
    """
    reached = [
        block.holds(vantage, turn / len(here), second)
        for turn, vantage in enumerate(here)
        if scope.includes(vantage.place)
    ]
    return sum(reached) / len(reached)
