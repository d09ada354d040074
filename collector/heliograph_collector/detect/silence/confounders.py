"""What must not be mistaken for a cut: a fault of ours, of a carrier, of the power."""

from collections import defaultdict
from collections.abc import Sequence
from statistics import median

from heliograph_collector.detect.silence.presence_tracker import Roster, Seat, Status
from heliograph_collector.detect.stats.voting import Tally, count, total
from heliograph_collector.incidents.scope import Part
from heliograph_collector.model.signals import SECOND_US
from heliograph_collector.model.thresholds import Thresholds

COMMON = "common_mode"
CARRIER = "carrier"
POWER = "power"
FEW = "few_votes"


def common_mode(roster: Roster, country: str, since_us: int) -> bool | None:
    """Whether the rest of the world falls silent too; None when nobody is there to tell.

    The median country speaks: another one that is cut at the same hour changes nothing.
    """
    limits = roster.limits
    shares, world = [], Tally()
    for other in roster.countries:
        if other == country:
            continue
        here = _fresh(roster.of(other, lambda seat: _recent(seat, since_us)))
        world.add(here)
        if here.votes >= limits.witnesses:
            shares.append(here.share)
    if world.votes < limits.witnesses:
        return None
    share = median(shares) if len(shares) > 1 else world.share
    return share >= limits.witness_share


def spreading(roster: Roster, country: str, burst_us: int) -> bool:
    """Whether two other countries began to fall silent within a minute of this one.

    It may be us, country after country: then this one waits until the rest is known.
    """
    limits = roster.limits
    apart_us = int(limits.spread_s * SECOND_US)

    def new(seat: Seat) -> bool:
        return seat.status is Status.SILENT and abs(seat.lost_us - burst_us) <= apart_us

    begun = 0
    for other in roster.countries:
        if other != country and len(roster.of(other, new)) >= limits.burst:
            here = roster.of(other, lambda seat: seat.status is Status.LIVE or new(seat))
            begun += _fresh(here).share >= limits.witness_share / 2
    return begun >= 2


def one_carrier(base: Sequence[Seat], limits: Thresholds) -> bool:
    """Whether the silent came by one carrier while those of another are well."""
    by: defaultdict[str, list[Seat]] = defaultdict(list)
    for seat in base:
        by[seat.witness.carrier].append(seat)
    counted = [_fresh(seats) for seats in by.values()]
    dead = [t for t in counted if t.share >= limits.confirm_share]
    well = [t for t in counted if t.votes >= limits.witnesses and t.share <= limits.alive_share]
    return len(dead) == 1 and bool(well) and len(dead) + len(well) == len(counted)


def looks_like_power(parts: Sequence[Part], base: Sequence[Seat], limits: Thresholds) -> bool:
    """One region's fixed lines over several operators, while its mobiles live on.

    Phones have batteries. Who cuts a city's network begins with the mobiles.
    """
    regions = {part.scope.region for part in parts}
    if len(regions) != 1 or regions == {""}:
        return False
    inside = [s for s in base if s.witness.place.region in regions]
    mobile = _fresh([s for s in inside if s.witness.place.access == "mobile"])
    silent = [s for s in inside if s.status is Status.SILENT]
    fixed = {s.witness.place.asn for s in silent if s.witness.place.access != "mobile"}
    return (
        mobile.votes >= limits.witnesses and mobile.share <= limits.alive_share and len(fixed) > 1
    )


def _recent(seat: Seat, since_us: int) -> bool:
    return seat.status is Status.LIVE or (
        seat.status is Status.SILENT and (seat.lost_us >= since_us or seat.deferred)
    )


def _fresh(seats: Sequence[Seat]) -> Tally:
    return total(count((s.witness, s.status is Status.SILENT) for s in seats))
