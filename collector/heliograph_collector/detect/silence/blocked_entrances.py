"""Entrances that people or controls do not reach, as operators see them."""

from collections.abc import Iterable

from heliograph.units import DAY_US
from heliograph_collector.detect.silence.control_sessions import ControlTracker
from heliograph_collector.detect.silence.outage import OutageEpisode
from heliograph_collector.incidents.incident import HoldReason
from heliograph_collector.model.entrances import BlockedEntrance

_KEPT_US = 7 * DAY_US  # after which an entrance that no control uses was given up; assumed


def list_blocked(
    outages: Iterable[OutageEpisode], controls: ControlTracker, since_us: int
) -> list[BlockedEntrance]:
    """List open or recently ended blocks of the collector, and dead entrances."""
    blocks = [
        BlockedEntrance(
            country=outage.country,
            carriers=outage.blocked_carriers,
            since_us=outage.started.earliest_us,
            is_open=outage.is_open,
            is_seen=HoldReason.UNSEEN not in outage.held,
        )
        for outage in outages
        if outage.is_block and (outage.is_open or (outage.closed_us or 0) >= since_us)
    ]
    return [*blocks, *_list_fallen(controls, since_us - _KEPT_US)]


def _list_fallen(controls: ControlTracker, since_us: int) -> list[BlockedEntrance]:
    """List entrances that controls lost since a time, and to which none is back."""
    present = [session for session in list(controls.sessions.values()) if session.is_here]
    used = {session.carrier for session in present}
    lost = dict(item for session in present for item in list(session.lost_us.items()))
    return [
        BlockedEntrance(country="", carriers=(carrier,), since_us=at_us, is_open=True)
        for carrier, at_us in sorted(lost.items())
        if carrier not in used and at_us >= since_us
    ]
