"""Testimony of one silent vantage, given at once or after its return.

explanation.py weighs the words, and says what they mean.
"""

from dataclasses import dataclass

from heliograph.units import SECOND_US
from heliograph_collector.detect.silence.vantage_presence import (
    BRIEF_US,
    UPLOAD_WAIT_US,
    VantagePresence,
)
from heliograph_collector.model.signals import OfflineReport
from heliograph_collector.model.thresholds import Thresholds


@dataclass(frozen=True, slots=True)
class Testimony:
    """Testimony of one vantage about its silence."""

    vantage: VantagePresence
    report: OfflineReport | None
    now_us: int
    limits: Thresholds
    told_since_us: int = 0
    until_us: int | None = None  # the end of the outage; None while it lasts

    @property
    def is_lost_again(self) -> bool:
        """Return whether the times of its loss are of a later silence."""
        return self.until_us is not None and self.vantage.lost_us > self.until_us

    @property
    def is_online(self) -> bool:
        return self._has_link and not self._was_brief

    @property
    def is_interrupted(self) -> bool:
        """Return whether its link worked, and its lost carrier soon did too: no block."""
        return self._has_link and self._was_brief

    @property
    def tells_at_return(self) -> bool:
        """Return whether it reported only after its return by the lost carrier."""
        vantage = self.vantage
        if vantage.is_rerouted or not self.is_rejoined or self.report is None:
            return False
        return self.report.at_us >= vantage.rejoined_us

    @property
    def _was_brief(self) -> bool:
        silent_us = self.vantage.rejoined_us - self.vantage.heard_us
        return self.tells_at_return and silent_us <= BRIEF_US

    @property
    def _has_link(self) -> bool:
        report = self.report
        if report is None or not report.online or self._is_elsewhere:
            return False
        return self._stays_away_since(report.measured_us or report.since_us)

    def claims_link(self, *, is_early: bool) -> bool:
        """Return whether it reports a working link while its lost carrier stays dead.

        Args:
            is_early: That has not lasted yet, and its return by another carrier says as much.
        """
        if self.is_rejoined:
            return False
        if not is_early:
            return self.is_online
        if self.report is not None and self.report.online is not None:
            return self.report.online
        return self._came_another_way

    @property
    def reported_carrier(self) -> str:
        """Return the carrier that its report is about: one lost before the report."""
        vantage = self.vantage
        is_old = self.report is not None and self.report.at_us < vantage.lost_us
        return vantage.home if vantage.is_silent and is_old and vantage.home else vantage.lost_by

    def is_settled(self, dark_us: int) -> bool:
        """Return whether it reports a working link of the network where it was lost.

        It is still there; or its session is still dead, as by a satellite it would not be, and it
        measured when half of those that fell were dark (`dark_us`).
        """
        vantage = self.vantage
        if self.report is None or not self.is_online:
            return False
        if vantage.is_live:
            return vantage.lost_in == vantage.place.asn != 0
        return (self.report.measured_us or self.report.until_us) > dark_us

    @property
    def is_back(self) -> bool:
        return self.is_rejoined and self.vantage.is_live

    @property
    def is_offline(self) -> bool:
        return self.offline_told_us > 0

    @property
    def offline_told_us(self) -> int:
        """Return when it told of a dead network in this outage; 0 if it did not."""
        if self.report is not None and self.report.online is False:
            return self.report.at_us
        return self.vantage.offline_told_us if self.was_offline else 0

    @property
    def was_offline(self) -> bool:
        """Return whether it told of a dead network in an earlier silence of the same outage.

        It was back since, and what its machine does in a later night says nothing of the outage. A
        link that works in a later silence does: a cut may become a block.
        """
        if self.report is not None and self.report.online:
            return False
        lost_us = self.vantage.offline_us
        is_earlier = 0 < self.told_since_us <= lost_us < self.vantage.lost_us
        return is_earlier and (self.until_us is None or lost_us <= self.until_us)

    @property
    def is_rerouted(self) -> bool:
        """Return whether it is back by another carrier, and reports no more than power."""
        return self._came_another_way and self._stays_away_since(self.vantage.rerouted_us)

    @property
    def is_evading(self) -> bool:
        """Return whether it is rerouted, where others show that the carrier stays dead."""
        return self.is_rerouted or (self._came_another_way and not self.is_rejoined)

    @property
    def _came_another_way(self) -> bool:
        return self.vantage.is_rerouted and self._tells_no_link

    @property
    def _is_elsewhere(self) -> bool:
        """Return whether it is back by the lost carrier, but in another network.

        So the entrance answers, and what it measured says nothing of the network that it had left.
        """
        networks = {self.vantage.lost_in, self.vantage.place.asn}
        return self.is_rejoined and 0 not in networks and len(networks) > 1

    @property
    def is_rejoined(self) -> bool:
        return self.vantage.rejoined_us > self.vantage.lost_us

    @property
    def _tells_no_link(self) -> bool:
        if self.report is not None:
            return self.report.alive and self.report.online is None
        return not self.vantage.power_failed

    @property
    def is_prompt(self) -> bool:
        """Return whether it has a report, or returned too soon to measure in between."""
        silent_us = self.vantage.rerouted_us - self.vantage.heard_us
        return self.report is not None or silent_us <= 2 * self._retry_us

    @property
    def is_powerless(self) -> bool:
        if self.is_lost_again:  # what is known of its machine since then is of that silence
            since_us = self.told_since_us or self.vantage.lost_us
            return since_us <= self.vantage.powerless_us <= (self.until_us or 0)
        if self.vantage.has_lost_mains(self.told_since_us):
            return True
        if self.was_offline:
            return False
        if self.report is None and self.vantage.may_have_measured(self.now_us):
            return False
        if self.vantage.power_failed or self._is_told(self.vantage.powerless_us):
            return True
        report = self.report
        if report is None or self.vantage.lost_us > report.at_us:
            return False
        return not report.alive and not self.vantage.ran_alone

    @property
    def has_booted(self) -> bool:
        """Return whether its machine began as its line came back."""
        return self._is_told(self.vantage.booted_us) and not self.vantage.has_measured

    @property
    def is_stopped(self) -> bool:
        vantage = self.vantage
        is_back = vantage.is_live and self.is_rejoined and self.report is None
        has_power = vantage.ran_on or vantage.closed_us > 0
        return is_back and has_power and self.now_us - vantage.back_us >= UPLOAD_WAIT_US

    @property
    def is_powered(self) -> bool:
        has_run = self.report is not None and self.report.alive and not self.vantage.rebooted
        return (has_run or self.was_offline) and not self.is_powerless

    @property
    def is_phone(self) -> bool:
        return self.vantage.place.access == "mobile"

    @property
    def has_battery(self) -> bool:
        """Return whether it has one: a machine without one knows nothing of its power."""
        return self.is_phone or self.vantage.on_battery is not None

    def _is_told(self, lost_us: int) -> bool:
        """Return whether its testimony on an earlier silence holds, with nothing newer."""
        latest_us = self.vantage.lost_us
        is_new = self.report is not None and self.report.until_us > self.vantage.heard_us
        return lost_us >= (latest_us if is_new else self.told_since_us or latest_us) > 0

    def _stays_away_since(self, since_us: int) -> bool:
        """Return whether the lost carrier stayed dead longer than a retry and a heartbeat."""
        until_us = self.vantage.rejoined_us if self.is_rejoined else self.now_us
        return until_us - since_us > self._retry_us

    @property
    def _retry_us(self) -> int:
        return int((self.limits.retry_s + self.limits.beat_s) * SECOND_US)
