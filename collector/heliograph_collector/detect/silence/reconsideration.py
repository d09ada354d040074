"""Reconsider an outage by what its vantages reported since the last evaluation.

Theory of operation. An outage may turn out to be none (refutation.py). What its vantages tell may
name another kind, leave a cut in doubt, or confirm it again, also long after its end. A kind that
is decided changes only when they decide for another (explanation.py). Reports on a block that come
later than `_TELLING_US` after it was named change nothing, unless all report dead anchors and so
few fell that they may be of one carrier by chance: a part of their network had failed.
"""

from collections.abc import Iterable, Sequence
from math import comb

from heliograph.units import SECOND_US
from heliograph_collector.detect.silence.entrance_view import EntranceView, view_entrances
from heliograph_collector.detect.silence.explanation import are_links_told, weigh_evidence
from heliograph_collector.detect.silence.lapsed_reports import find_lapse, select_current
from heliograph_collector.detect.silence.outage import OutageEpisode
from heliograph_collector.detect.silence.phones_with_lines import have_phones_fallen_with_lines
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.refutation import is_refuted
from heliograph_collector.detect.silence.silence_evidence import SilenceEvidence
from heliograph_collector.detect.silence.switched_off import measure_fallen_lines
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.incidents.incident import HoldReason, IncidentKind, IncidentState

_STANDING = frozenset((HoldReason.UNSEEN, HoldReason.ELSEWHERE))  # which no further report ends …
_STANDING_CUT = _STANDING - {HoldReason.ELSEWHERE}  # … but dead anchors: no fault of ours was it
_TELLING_US = 900 * SECOND_US  # after a block, or an end: later losses are no testimony; assumed
_CARRIER_CHANCE = 1e-3  # of the carriers of those that fell, so that they tell of a block; assumed


def reconsider(
    outage: OutageEpisode,
    presence: PresenceTracker,
    now_us: int,
    others: Iterable[OutageEpisode] = (),
) -> None:
    """Weigh the reports of its vantages; change its kind if they decide for another.

    Args:
        others: Outages that may have been confirmed for the same silences.
    """
    if outage.state is IncidentState.WITHDRAWN and _is_settled(outage, others):
        return
    if is_refuted(outage, presence, now_us):
        _refute(outage, now_us)
        return
    _end_doubts(outage, presence, now_us)
    silenced = outage.list_silenced(presence, now_us)
    named_us = outage.kinds[-1].at_us if outage.kinds else outage.suspected_us
    is_late = outage.is_block and now_us - named_us > _TELLING_US
    is_told = bool(outage.replays) or any(s.tells_cause for s in silenced)
    if not is_told or (is_late and not _are_dead_since_onset(outage)):
        return  # there are no reports, or no new ones
    evidence = _weigh(outage, presence, silenced, now_us)
    kind = evidence.explain(outage.limits)
    is_cut = kind is IncidentKind.SILENCE
    is_dead = is_cut and not evidence.online and _are_dead_since_onset(outage)
    is_dead = is_dead and _may_be_chance(outage, presence, silenced)
    if is_late and not is_dead:
        return
    outage.evidence = evidence
    if evidence.has_stopped(outage.limits) or evidence.was_interrupted(outage.limits):
        outage.close(IncidentState.WITHDRAWN, outage.closed_us or now_us)
        return
    if outage.carrier and is_cut and not is_dead:
        return  # others live there by other carriers: anchors of ours failed as well
    _doubt_cut(outage, silenced, now_us)
    _explain(outage, presence, silenced, kind, now_us)


def _explain(
    outage: OutageEpisode,
    presence: PresenceTracker,
    silenced: Sequence[VantagePresence],
    kind: IncidentKind | None,
    now_us: int,
) -> None:
    """Take the kind that reports decide for, unless what stands already is not theirs to change."""
    standing = _STANDING_CUT if kind is IncidentKind.SILENCE else _STANDING
    is_settled = kind is outage.kind and not standing.isdisjoint(outage.held)
    is_settled |= outage.is_routine and kind is IncidentKind.POWER  # so machines begin each morning
    if kind is None or is_settled or outage.evidence.silent < outage.limits.votes:
        return
    if kind is outage.kind or kind is not IncidentKind.COLLECTOR_BLOCKED:
        outage.explain_as(kind, now_us)
    else:
        _explain_as_block(outage, presence, silenced, now_us)


def _weigh(
    outage: OutageEpisode,
    presence: PresenceTracker,
    silenced: Sequence[VantagePresence],
    now_us: int,
) -> SilenceEvidence:
    reports = silenced, outage.replays, now_us, outage.limits
    is_grid = HoldReason.POWER in outage.held or outage.kind is IncidentKind.POWER
    is_new = outage.closed_us is None or now_us - outage.closed_us <= _TELLING_US
    is_grid |= is_new and outage.evidence.is_grid  # though the first to report were laptops
    return weigh_evidence(
        *reports,
        is_cut=outage.confirmed_us is not None,
        is_grid=is_grid,
        fallen_lines=measure_fallen_lines(
            presence.list_country(outage.country),
            outage.from_us,
            are_phones=all(v.place.access == "mobile" for v in silenced),
        ),
        since_us=outage.from_us,
        until_us=outage.closed_us,
    )


def _are_dead_since_onset(outage: OutageEpisode) -> bool:
    """Return whether some report dead anchors, and all of these of silences that began with it.

    Who found another way is silent again in a later cut.
    """
    dead = [report for report in outage.replays.values() if report.online is False]
    latest_us = outage.started.latest_us
    return bool(dead) and all(report.since_us <= latest_us for report in dead)


def _may_be_chance(
    outage: OutageEpisode, presence: PresenceTracker, silenced: Sequence[VantagePresence]
) -> bool:
    """Return whether those that fell in their networks may be of one carrier by chance."""
    networks = {vantage.place.asn for vantage in silenced}
    spared = [
        v
        for v in presence.list_country(outage.country)
        if v.place.asn in networks and outage.holds(v.place) and _was_spared(v, outage.from_us)
    ]
    chance = 1.0 / comb(len(silenced) + len(spared), len(silenced))
    return chance > _CARRIER_CHANCE


def _was_spared(vantage: VantagePresence, since_us: int) -> bool:
    return vantage.is_live and vantage.since_us < since_us and vantage.lost_us < since_us


def _is_settled(outage: OutageEpisode, others: Iterable[OutageEpisode]) -> bool:
    """Return whether one that is withdrawn never was, or its people tell of another one."""
    is_gated_or_dropped = outage.is_refuted or outage.ended is None
    return is_gated_or_dropped or any(_holds(other, outage) for other in others)


def _holds(cut: OutageEpisode, part: OutageEpisode) -> bool:
    """Return whether a suspicion that ended lay in a confirmed cut, by its cells and its time."""
    if cut is part or cut.confirmed_us is None or cut.kind is not IncidentKind.SILENCE:
        return False
    begun_us, over_us = max(cut.from_us, part.from_us), part.closed_us or part.from_us
    is_meanwhile = begun_us <= over_us and begun_us <= (cut.closed_us or begun_us)
    return is_meanwhile and cut.country == part.country and cut.contains(part.parts)


def _end_doubts(outage: OutageEpisode, presence: PresenceTracker, now_us: int) -> None:
    """Confirm a cut once phones fell as its lines did, or all its doubters by another way."""
    if have_phones_fallen_with_lines(outage, presence, now_us):
        outage.confirm(outage.confirmed_us or now_us)
    is_open = outage.is_doubted and outage.state is IncidentState.SUSPECTED
    if is_open and (until_us := find_lapse(outage.replays, presence, outage.country, now_us)):
        outage.lapsed_us = until_us
        outage.confirm(now_us)
    outage.replays = select_current(outage.replays, outage.lapsed_us)


def _doubt_cut(outage: OutageEpisode, silenced: Sequence[VantagePresence], now_us: int) -> None:
    """Withdraw confirmation of a cut if too many report that their links work."""
    is_cut = outage.kind is IncidentKind.SILENCE and outage.state is IncidentState.CONFIRMED
    is_cut &= outage.evidence.explain(outage.limits) is None
    testimony = silenced, outage.replays, now_us, outage.limits
    if is_cut and are_links_told(*testimony, is_standing=True):
        outage.state = IncidentState.SUSPECTED
        outage.confirmed_us = None
        outage.held = (HoldReason.CARRIER,)
        outage.is_doubted = True


def _explain_as_block(
    outage: OutageEpisode,
    presence: PresenceTracker,
    silenced: Sequence[VantagePresence],
    now_us: int,
) -> None:
    """Tell a block of the entrance that most lost, unless that fell for controls too."""
    view = view_entrances(
        presence, outage.country, silenced, outage.blocked_carriers, outage.from_us
    )
    is_seen = view is EntranceView.LIVES
    if view is EntranceView.FELL or HoldReason.COMMON in outage.held:  # it lasted for these
        _refute(outage, now_us)
    elif is_seen or outage.state is not IncidentState.WITHDRAWN:
        outage.explain_as(IncidentKind.COLLECTOR_BLOCKED, now_us, is_seen=is_seen)


def _refute(outage: OutageEpisode, now_us: int) -> None:
    outage.is_refuted = True
    outage.close(IncidentState.WITHDRAWN, outage.closed_us or now_us)
