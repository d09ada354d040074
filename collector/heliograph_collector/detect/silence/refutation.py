"""Refutation: what is known of an outage later shows that none was."""

from collections.abc import Sequence
from typing import Protocol

from heliograph.units import MINUTE_US, SECOND_US
from heliograph_collector.detect.silence import failing_carriers
from heliograph_collector.detect.silence.entrance_view import FAIL_US
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.steadiness import STEADY_US, has_flapped, have_broken_on
from heliograph_collector.detect.silence.travelers import measure_travelers
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import sum_silent
from heliograph_collector.detect.stats.voting import is_established
from heliograph_collector.incidents.incident import Bracket, IncidentKind, IncidentState
from heliograph_collector.model.scope import AffectedCell
from heliograph_collector.model.signals import VantageLocation
from heliograph_collector.model.thresholds import Thresholds

_YOUNG_US = 60 * MINUTE_US  # in which a cut may turn out to be sessions that flap; assumed
_LOSS_US = 15 * MINUTE_US  # of a cut, which may be how packet loss begins; assumed


class RefutableOutage(Protocol):
    """Attributes of an outage that refutation reads. Implemented by `OutageEpisode`."""

    country: str
    carrier: str  # of a block that only others in its place, by other carriers, show
    parts: tuple[AffectedCell, ...]
    started: Bracket
    from_us: int
    kind: IncidentKind
    state: IncidentState
    closed_us: int | None
    limits: Thresholds

    @property
    def is_open(self) -> bool: ...
    @property
    def is_block(self) -> bool: ...
    @property
    def blocked_carriers(self) -> tuple[str, ...]: ...
    def holds(self, location: VantageLocation) -> bool: ...
    def list_inside(self, presence: PresenceTracker) -> Sequence[VantagePresence]: ...


def is_refuted(outage: RefutableOutage, presence: PresenceTracker, now_us: int) -> bool:
    """Return whether its sessions only flap, or what seemed a block is none.

    It fails in other countries too, or those who lived on beside it fell silent next. Or people of
    its cells only left these.
    """
    where = outage, presence, now_us
    is_seeming = _is_unsteady(*where) or _have_people_traveled(*where)
    return is_seeming or _fails_elsewhere(*where) or _have_others_fallen(*where)


def _is_unsteady(outage: RefutableOutage, presence: PresenceTracker, now_us: int) -> bool:
    """Return whether its sessions keep breaking, also after the end of a brief outage."""
    started_us = outage.started.earliest_us
    is_cut = (outage.state, outage.kind) == (IncidentState.CLOSED, IncidentKind.SILENCE)
    closed_us = outage.closed_us or now_us
    if outage.is_block:
        return False  # resets end each session again, while people report working links
    if outage.is_open and now_us - started_us <= _YOUNG_US:
        return has_flapped(outage.list_inside(presence), started_us)
    if not is_cut or closed_us - started_us > _LOSS_US or now_us - closed_us > STEADY_US:
        return False
    return have_broken_on(outage.list_inside(presence), closed_us)


def _have_people_traveled(outage: RefutableOutage, presence: PresenceTracker, now_us: int) -> bool:
    """Return whether more people than may collude reappeared elsewhere."""
    if outage.kind is not IncidentKind.SILENCE:
        return False
    until_us = outage.closed_us or now_us
    where = outage.country, outage.from_us
    abroad = presence.list_abroad(*where)
    if not abroad and not all(part.scope.region for part in outage.parts):
        return False  # as nearly always; to read all people takes long
    people = (
        vantage
        for vantage in [*presence.list_recent(*where), *abroad]
        if vantage.lost_us <= until_us and is_established(vantage.witness, now_us, outage.limits)
    )
    return measure_travelers(outage.parts, people, outage.from_us) >= outage.limits.told_share


def _fails_elsewhere(outage: RefutableOutage, presence: PresenceTracker, now_us: int) -> bool:
    """Return whether an apparent block soon reaches other countries too."""
    started_us = outage.started.earliest_us
    if not (outage.is_block and outage.is_open and now_us - started_us <= FAIL_US):
        return False
    since_us = started_us - int(outage.limits.spread_s * SECOND_US)
    where = presence, outage.country, since_us
    return failing_carriers.are_failing_elsewhere(*where, outage.blocked_carriers)


def _have_others_fallen(outage: RefutableOutage, presence: PresenceTracker, now_us: int) -> bool:
    """Return whether vantages spared by a block are silent now, as in a starting cut.

    A cut that takes minutes leaves users of one carrier silent and those of others here, by chance.
    Nobody of them finds another way, as hardly all who lose a blocked one fail to do.
    """
    started_us = outage.started.earliest_us
    if not (outage.is_block and outage.carrier and outage.is_open):
        return False
    if now_us - started_us > outage.limits.windows_s[-1] * SECOND_US:
        return False
    inside = [v for v in presence.list_country(outage.country) if outage.holds(v.place)]
    lost = [v for v in inside if v.lost_by == outage.carrier and v.lost_us >= started_us]
    if any(v.is_rerouted for v in lost):
        return False
    others = [
        v
        for v in inside
        if v.witness.carrier != outage.carrier
        and v.place.access != "hosting"
        and (v.is_live or (v.is_silent and v.lost_us >= started_us))
    ]
    count = sum_silent(others)
    return count.votes >= outage.limits.witnesses and count.share >= outage.limits.confirm_share
