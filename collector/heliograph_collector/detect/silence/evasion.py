"""Evasion: agents that found another way before their silence could be confirmed.

Theory of operation. In a cut nobody finds another way to us; past a block of one entrance agents
do, within minutes, and say that their link works. What is known of that grows by stages:

- possible: some evade the one carrier that fell silent, or say that their link works, or it is
  blocked elsewhere in the country, and it is early yet (`BLOCK_DETECTED_US`). No cut is confirmed,
  because it may be a block.
- doubted: too many say so for a cut, though too few for a block (`are_links_told`). No cut is
  confirmed for as long as it is so.
- found: their testimony names a block (explanation.py), which no other country and no control
  shows to be a fault of ours (entrance_view.py). It is confirmed, though few or none are silent.

Cells that fell by carriers of which nobody tells a block are beside it: these stages say nothing of
them (unblocked_carriers.py). Who takes another carrier before its loss was noticed leaves no row of
it, so its move (`note_moves`), or its report of the gap (`tells_unseen_loss`), counts as that loss.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from heliograph.units import SECOND_US
from heliograph_collector.detect.silence import confounders, failing_carriers
from heliograph_collector.detect.silence.entrance_view import EntranceView, view_entrances
from heliograph_collector.detect.silence.explanation import (
    BLOCK_DETECTED_US,
    are_links_told,
    weigh_evidence,
)
from heliograph_collector.detect.silence.outage import OutageEpisode
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.silence_evidence import SilenceEvidence
from heliograph_collector.detect.silence.unblocked_carriers import have_unblocked_carriers_fallen
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import count_hits
from heliograph_collector.detect.silence.voters import CountryVoters
from heliograph_collector.detect.stats.localization import localize
from heliograph_collector.detect.stats.tails import quantile
from heliograph_collector.detect.stats.voting import count_total, count_votes, is_established
from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.model.scope import AffectedCell
from heliograph_collector.model.signals import OfflineReport, VantageLoss
from heliograph_collector.model.thresholds import Thresholds

_RECENT_US = 60 * SECOND_US  # since which one found another way, else they have ceased; assumed
_DARK_SHARE = 0.9  # of those that fell, a few of whom fell by chance and are back; assumed
_APART_CHANCE = 1e-3  # that nobody of a country finds the way that others find; assumed
_FRESH_US = 900 * SECOND_US  # a block: a censor may look for the next entrance; assumed
_EVADERS_SHARE = 0.2  # of those that fell silent, who had come by another way; assumed
_EVADED_SHARE = 0.02  # of those that fell silent; in a cut nobody finds another way; assumed


@dataclass(frozen=True, slots=True)
class Evasion:
    """Block of the collector that agents reported, with its cells."""

    evidence: SilenceEvidence
    cells: tuple[AffectedCell, ...]
    silenced: Sequence[VantagePresence]  # whether or not they are back
    is_seen: bool  # others show that the entrance lives


@dataclass(frozen=True)
class EvasionTest:
    """Test of whether one country's silences since a time are a block, not a cut."""

    presence: PresenceTracker
    country: str
    since_us: int
    reports: Mapping[str, OfflineReport]  # by pseudonym
    now_us: int
    outages: Sequence[OutageEpisode] = ()  # that are published

    @cached_property
    def _silenced(self) -> list[VantagePresence]:
        fallen = self.presence.list_fallen(self.country, self.since_us)
        return [vantage for vantage in fallen if not vantage.is_home]

    @cached_property
    def is_known(self) -> bool:
        """Return whether any vantage reports anything."""
        return bool(self.reports) or any(s.is_rerouted for s in self._silenced)

    @property
    def is_possible(self) -> bool:
        """Return whether a block is still possible, because some report a working link.

        A few who lie delay a cut for as long as a few who come back do.
        """
        is_seen = self.is_doubted or (self._is_evading and self._have_evaded)
        return self.is_early and (is_seen or self._are_evaders or self._may_extend_block)

    @cached_property
    def _may_extend_block(self) -> bool:
        """Return whether an open block in the country, with the same carriers, may grow."""
        blocks = [o for o in self.outages if o.country == self.country and o.is_block and o.is_open]
        lost_by = {vantage.lost_by for vantage in self._silenced} if blocks else set()
        return any(block.explains(lost_by) for block in blocks)

    @cached_property
    def is_doubted(self) -> bool:
        """Return whether too many for a cut, but too few for a block, report a link."""
        return self.is_known and are_links_told(
            self._silenced,
            self.reports,
            self.now_us,
            self.presence.limits,
            is_early=self.is_early,
        )

    def doubts(self, cells: Sequence[AffectedCell], voters: CountryVoters) -> bool:
        """Return whether reports of working links leave a cut of these cells in doubt."""
        is_told = self.is_doubted or self.is_possible
        return is_told and not self._is_beside(cells, voters)

    def _is_beside(self, cells: Sequence[AffectedCell], voters: CountryVoters) -> bool:
        """Return whether cells fell silent beside a block that does not explain them."""
        tellers = [v for v in self._silenced if self._may_tell_link(v)] + self._evaders
        return have_unblocked_carriers_fallen(cells, voters.deciding, tellers)

    def _may_tell_link(self, vantage: VantagePresence) -> bool:
        """Return whether it may report a working link (`are_links_told` asks for more)."""
        report = self.reports.get(vantage.witness.nym)
        if vantage.rejoined_us > vantage.lost_us:
            return False
        return bool(report.online) if report else vantage.is_rerouted

    @property
    def is_early(self) -> bool:
        """Return whether there is time yet to find that it is a block of the collector."""
        return self.now_us - self.since_us <= BLOCK_DETECTED_US

    @cached_property
    def _evaders(self) -> list[VantagePresence]:
        """The established that took another carrier, where one alone fell silent.

        Also those that did so before their loss was noticed.
        """
        carriers = {vantage.lost_by for vantage in self._silenced}
        since_us = self.since_us - _RECENT_US
        if len(carriers) > 1:
            return []
        return [
            v
            for v in self.presence.list_country(self.country)
            if (
                (v.is_rerouted and v.lost_us >= since_us and v.lost_by in carriers)
                or (v.moved_us >= since_us and v.moved_from in carriers)
            )
            and is_established(v.witness, self.now_us, self.presence.limits)
        ]

    @cached_property
    def _are_evaders(self) -> bool:
        """Return whether some had just found this way past a block and may find the next."""
        since_us = self.since_us - _FRESH_US
        evaders = [
            v for v in self._silenced if v.home and v.is_silent and v.left_home_us >= since_us
        ]
        if len(evaders) < self.presence.limits.witnesses:
            return False  # as nearly always; to count the votes of all takes long
        names = {v.witness.nym for v in evaders}
        hits = [v.witness.nym in names for v in self._silenced]
        return count_hits(self._silenced, hits).share >= _EVADERS_SHARE

    @property
    def _is_evading(self) -> bool:
        evaded_us = (max(v.rerouted_us, v.moved_us) for v in self._evaders)
        return max(evaded_us, default=0) >= self.now_us - _RECENT_US

    @property
    def _have_evaded(self) -> bool:
        """Return whether more of the votes that fell are those of evaders than in a cut."""
        evaders = {v.witness.nym for v in self._evaders}
        fallen = [v for v in self._silenced if v.witness.nym not in evaders]
        pairs = [(v.witness, True) for v in self._evaders] + [(v.witness, False) for v in fallen]
        return count_total(pairs, self.presence.limits.nat_votes).share >= _EVADED_SHARE

    @cached_property
    def is_lasting(self) -> bool:
        """Return whether a failing entrance would by now show elsewhere or be repaired."""
        if not self._silenced:
            return False
        first_us = quantile([vantage.heard_us for vantage in self._silenced], 0.1)
        rejoined = sum(vantage.rejoined_us > vantage.lost_us for vantage in self._silenced)
        is_dead = rejoined <= self.presence.limits.alive_share * len(self._silenced)
        return is_dead and self.now_us - first_us > BLOCK_DETECTED_US

    @cached_property
    def apart(self) -> list[str]:
        """The other countries that fell by themselves.

        In a fault of ours people elsewhere would find another way as often as they do here, in the
        same minutes. Of a country that is cut nobody does.
        """
        since_us = self.since_us - int(self.presence.limits.spread_s * SECOND_US)
        fallen = self._list_lost(self.country, since_us)
        moved = sum(v.is_rerouted for v in fallen)
        if moved < self.presence.limits.witnesses:
            return []
        stuck_share = 1.0 - moved / len(fallen)
        others = [other for other in self.presence.countries if other != self.country]
        return [other for other in others if self._fell_apart(other, since_us, stuck_share)]

    def _fell_apart(self, country: str, since_us: int, stuck_share: float) -> bool:
        fallen = self._list_lost(country, since_us)
        is_dark = sum(v.is_silent for v in fallen) >= _DARK_SHARE * len(fallen)
        has_way = any(v.is_rerouted for v in fallen)
        return is_dark and not has_way and stuck_share ** len(fallen) <= _APART_CHANCE

    def _list_lost(self, country: str, since_us: int) -> list[VantagePresence]:
        """List vantages lost since a time, also those back, without reading all others."""
        names = self.presence.tally(country).list_lost(since_us)
        lost = map(self.presence.vantages.__getitem__, names)
        return [vantage for vantage in lost if not vantage.deferred]

    def may_be_transit(self, voters: CountryVoters) -> bool:
        """Return whether our route to several countries may be broken still.

        A cable is known sooner; but some of these live on, or say that they have a network.
        """
        limits = self.presence.limits
        silent_us = self.now_us - self.since_us
        if silent_us <= limits.transit_s * SECOND_US:
            return True
        if silent_us > limits.transit_told_s * SECOND_US:
            return False
        return self.is_doubted or confounders.is_partial(voters.deciding_votes, limits)

    @cached_property
    def _told(self) -> SilenceEvidence | None:
        """Return the testimony, where it names a block."""
        if not self.is_known:
            return None
        limits = self.presence.limits
        evidence = weigh_evidence(
            self._silenced, self.reports, self.now_us, limits, limits.nat_votes
        )
        is_block = evidence.explain(limits) is IncidentKind.COLLECTOR_BLOCKED
        return evidence if is_block else None

    @cached_property
    def is_undecided(self) -> bool:
        """Return whether they tell a block that may soon prove to be a fault of ours."""
        if self._told is None or not self.is_early or self.is_lasting:
            return False
        where = self.presence, self.country, self._block_from_us, self.now_us
        return failing_carriers.are_beginning_elsewhere(
            *where, self._told.lost_by, apart=self.apart
        )

    @property
    def _block_from_us(self) -> int:
        """Return since when an entrance that fails in one country after another is compared."""
        return self.since_us - BLOCK_DETECTED_US

    def find(self, voters: CountryVoters) -> Evasion | None:
        """Find the block that vantages report; None if there is none, or a cut beside it."""
        evidence = self._told
        if evidence is None or self.is_undecided:
            return None
        limits = self.presence.limits
        dark = localize(voters.deciding_votes, limits.confirm_share, limits.votes, limits)
        if self._is_beside(dark, voters):
            return None  # the cut comes first
        where = self.presence, self.country, self._block_from_us, evidence.lost_by
        if failing_carriers.are_failing_elsewhere(*where, apart=self.apart):
            return None
        own = self.presence, self.country, self._silenced
        view = view_entrances(*own, evidence.lost_by, self.since_us)
        if view is EntranceView.FELL:
            return None
        fallen = {vantage.witness.nym for vantage in self._silenced}
        votes = count_votes(
            (v.witness, v.witness.nym in fallen)
            for v in self.presence.list_country(self.country)
            if v.witness.nym in fallen or (v.is_live and v.witness.carrier in evidence.lost_by)
        )
        cells = localize(votes, limits.confirm_share, limits.votes, limits)
        is_seen = view is EntranceView.LIVES
        return Evasion(evidence, cells, self._silenced, is_seen) if cells else None


def doubts_fall(
    vantages: Iterable[VantagePresence], since_us: int, now_us: int, limits: Thresholds
) -> bool:
    """Return whether too many of the lost report working links for it to be a cut.

    Some may be here by another way since before the fall was seen.
    """
    lost = [vantage for vantage in vantages if vantage.lost_us >= since_us - BLOCK_DETECTED_US]
    return are_links_told(lost, select_reports(lost), now_us, limits)


def select_losses(vantages: Iterable[VantagePresence]) -> list[VantagePresence]:
    """Select vantages that are silent, or are here by another carrier than they lost.

    Where agents are spread over several entrances and find the next within a minute, hardly any
    of those that lost a blocked one are silent at the same time.
    """
    return [v for v in vantages if not v.deferred and (v.is_silent or v.is_rerouted)]


def note_moves(presence: PresenceTracker, country: str, since_us: int) -> None:
    """Mark as lost the vantages that moved to another carrier as their old one fell.

    No row has that loss, and it may tell nothing of it; but who leaves by intent does so alone.
    """
    if len(presence.silence_tally(country).carriers) < 2:  # as nearly always
        return
    carriers = {vantage.lost_by for vantage in presence.list_silent(country, since_us)}
    before_us = since_us - _RECENT_US
    for vantage in list(presence.list_country(country)) if len(carriers) == 1 else ():
        is_here = vantage.is_live and vantage.home_us < vantage.moved_us
        is_unseen = vantage.lost_us < vantage.moved_us >= before_us
        if is_here and is_unseen and vantage.moved_from in carriers:
            moved_us = vantage.moved_us
            presence.on_lost(VantageLoss(moved_us, vantage.witness.nym, moved_us - 1))


def have_moved(presence: PresenceTracker, country: str, since_us: int) -> bool:
    """Return whether several lost vantages are here by another carrier."""
    fallen = presence.list_fallen(country, since_us)
    return sum(v.is_live and v.is_rerouted for v in fallen) >= presence.limits.witnesses


def collect_reports(
    presence: PresenceTracker, country: str, since_us: int
) -> dict[str, OfflineReport]:
    """Collect reports of vantages lost since a time, even from before it was noticed."""
    names = presence.tally(country).list_lost(since_us)
    return select_reports(presence.vantages[name] for name in names)


def select_reports(lost: Iterable[VantagePresence]) -> dict[str, OfflineReport]:
    """Select the reports of lost vantages on their last silence, by pseudonym."""
    return {
        vantage.witness.nym: vantage.report
        for vantage in lost
        if (vantage.is_silent or vantage.is_rerouted)
        and vantage.report is not None
        and vantage.report.until_us > vantage.heard_us
    }


def tells_unseen_loss(vantage: VantagePresence, report: OfflineReport) -> bool:
    """Return whether a report is of a broken session that another one replaced.

    By the other carrier it was back before the loss was noticed, so no row has that. An agent that
    changes its carrier by intent has no gap to report; one that returns to the carrier it had left
    drops the other for it.
    """
    moved_us = vantage.moved_us
    is_of_move = report.since_us < moved_us <= min(report.until_us + _RECENT_US, report.at_us)
    is_known = vantage.lost_us >= moved_us
    is_home = vantage.home_us >= moved_us
    return vantage.is_live and bool(report.online) and is_of_move and not is_known and not is_home
