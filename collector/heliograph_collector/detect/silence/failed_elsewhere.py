"""Ask whether what the silent share failed in other countries too: a network, or an edition."""

from collections.abc import Iterable, Sequence

from heliograph_collector.detect.silence.cell_members import select_silent
from heliograph_collector.detect.silence.outage import OutageEpisode
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.shared_editions import has_edition_failed
from heliograph_collector.detect.silence.shared_networks import NetworkView, view_network
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import sum_silent
from heliograph_collector.detect.stats.voting import is_established
from heliograph_collector.incidents.incident import HoldReason
from heliograph_collector.model.scope import AffectedCell


def view_elsewhere(
    cells: Sequence[AffectedCell],
    vantages: Sequence[VantagePresence],
    presence: PresenceTracker,
    now_us: int,
) -> NetworkView:
    """Return what other countries show of what the silent of one share.

    Args:
        cells: The cells of one country that fell silent.
        vantages: Those of the country that count, here or silent.
        presence: The vantages of all countries.
        now_us: The time of the evaluation.
    """
    silent = select_silent(cells, vantages)
    if not silent:
        return NetworkView.OWN
    if has_edition_failed(silent, presence, now_us):
        return NetworkView.HELD
    return view_network(cells, silent, presence, now_us)


def confirm_lone_outages(
    outages: Iterable[OutageEpisode], presence: PresenceTracker, now_us: int
) -> None:
    """Confirm outages that failed elsewhere too, if they now last here alone, or are no fault."""
    limits = presence.limits
    for outage in outages:
        if outage.held != (HoldReason.ELSEWHERE,):
            continue
        inside = [
            v
            for v in presence.list_country(outage.country)
            if (v.is_live or (v.is_silent and v.lost_us >= outage.from_us))
            and is_established(v.witness, now_us, limits)
            and outage.holds(v.place)
        ]
        if sum_silent(inside).share < limits.confirm_share:
            continue
        view = view_elsewhere(outage.parts, inside, presence, now_us)
        if view is not NetworkView.HELD:
            outage.is_joint |= view is NetworkView.DEAD
            outage.confirm(now_us)
