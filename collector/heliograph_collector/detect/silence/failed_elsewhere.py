"""Ask whether what the silent share failed in other countries too: a network, or an edition."""

from collections.abc import Iterable, Sequence

from heliograph_collector.detect.silence.cell_members import select_silent
from heliograph_collector.detect.silence.outage import OutageEpisode
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.shared_editions import has_edition_failed
from heliograph_collector.detect.silence.shared_networks import has_network_failed
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import sum_silent
from heliograph_collector.detect.stats.voting import is_established
from heliograph_collector.incidents.incident import HoldReason
from heliograph_collector.model.scope import AffectedCell


def have_failed_elsewhere(
    cells: Sequence[AffectedCell],
    vantages: Sequence[VantagePresence],
    presence: PresenceTracker,
    now_us: int,
) -> bool:
    """Return whether the silent have failed by something that other countries share.

    Args:
        cells: The cells of one country that fell silent.
        vantages: Those of the country that count, here or silent.
        presence: The vantages of all countries.
        now_us: The time of the evaluation.
    """
    silent = select_silent(cells, vantages)
    return bool(silent) and (
        has_network_failed(cells, silent, presence, now_us)
        or has_edition_failed(silent, presence, now_us)
    )


def confirm_lone_outages(
    outages: Iterable[OutageEpisode], presence: PresenceTracker, now_us: int
) -> None:
    """Confirm outages that failed elsewhere too, but now last only here."""
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
        is_dark = sum_silent(inside).share >= limits.confirm_share
        if is_dark and not have_failed_elsewhere(outage.parts, inside, presence, now_us):
            outage.confirm(now_us)
