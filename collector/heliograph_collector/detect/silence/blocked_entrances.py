"""Blocks of the collector as operators see them, from the outages that they are."""

from collections.abc import Iterable

from heliograph_collector.detect.silence.entrance_view import UNSEEN
from heliograph_collector.detect.silence.outage import OutageEpisode
from heliograph_collector.model.entrances import BlockedEntrance


def list_blocked(outages: Iterable[OutageEpisode], since_us: int) -> list[BlockedEntrance]:
    """List blocks of the collector that are open, or ended since a time."""
    return [
        BlockedEntrance(
            country=outage.country,
            carriers=outage.blocked_carriers,
            since_us=outage.started.earliest_us,
            is_open=outage.is_open,
            is_seen=UNSEEN not in outage.held,
        )
        for outage in outages
        if outage.is_block and (outage.is_open or (outage.closed_us or 0) >= since_us)
    ]
