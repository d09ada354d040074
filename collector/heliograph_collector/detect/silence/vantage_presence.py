"""The presence of one vantage: its status, its losses and returns, and its churn."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from enum import Enum

from heliograph.units import DAY_US, HOUR_US, SECOND_US
from heliograph_collector.detect.stats.churn import ChurnRecord
from heliograph_collector.model.signals import (
    Fault,
    LinkTest,
    OfflineReport,
    VantageArrival,
    VantageLocation,
    VantageRef,
    is_other_way,
)

MARGIN_US = 15 * SECOND_US  # a heartbeat: what is measured so near the end of a silence is of none
_POWER_US = 900 * SECOND_US  # from mains to battery to its loss; the longer window of a burst
_EARLY_US = 120 * SECOND_US  # from mains to battery before an outage's first silence; assumed
BOOT_US = 300 * SECOND_US  # from the return of power until a machine and its way work; assumed
UPLOAD_WAIT_US = 600 * SECOND_US  # for a returned vantage to upload its measurements; assumed
# After it nobody may try a lost carrier again, as where the plan names another one first; assumed.
_KEPT_US = 7 * DAY_US
_MAX_STAYS = 8  # countries; in a ninth a vantage stays young; assumed
_RESTART_US = 600 * SECOND_US  # from a goodbye until a program that begins again is back; assumed
LONG_US = HOUR_US  # of an absence that may be sleep; lines that fail are back sooner; assumed
BRIEF_US = 600 * SECOND_US  # of a session that was ended to begin again; assumed
# Operators end sessions after 24 h, or a router does at one time of each night (Padmanabhan et al.,
# IMC 2016). One night may be missed by chance, so two are looked at.
_BREAK_DAYS = 2
_SAME_TIME_US = 900 * SECOND_US  # either way: a step of habits (level/cell_counts.py)
_ROUTINE_DAYS = 7  # that a routine may have: a week, of which two days are free
_MAX_SHUTDOWNS = 16  # assumed, as is the next
_MAX_BREAKS = 16  # of a vantage; one that breaks more often has no such habit; assumed


class PresenceStatus(Enum):
    LIVE = 1
    SILENT = 2
    AWAY = 3  # after a goodbye or a move to another location; it has no vote
    AWAITED = 4  # live before a restart of the collector, not back yet


@dataclass(slots=True, eq=False)
class VantagePresence:
    """The presence and churn of one vantage."""

    witness: VantageRef
    status: PresenceStatus = PresenceStatus.LIVE
    since_us: int = 0  # start of its presence
    heard_us: int = 0
    lost_us: int = 0
    back_us: int = 0  # last return from a silence
    resumed_us: int = 0  # last return of one that was awaited since a start of the collector
    closed_us: int = 0  # as in `VantageLoss`, of its last loss
    lost_in: int = 0  # the network that it was lost in; 0 is unknown
    lost_region: str = ""  # the region that it was lost in
    lost_by: str = ""  # the carrier that it was lost by …
    rejoined_us: int = 0  # … its first return by the same one …
    rerouted_us: int = 0  # … and before that, by another
    moved_us: int = 0  # when it took another carrier before a loss was noticed …
    moved_from: str = ""  # … in place of this one
    home: str = ""  # the carrier that it had before it took another, until it is back by it …
    left_home_us: int = 0  # … when it was lost by it, or left it …
    home_us: int = 0  # … and when it was back by it
    link_us: int = 0  # when it last tested hosts abroad since its return …
    is_link_dead: bool = False  # … and whether none answered
    report: OfflineReport | None = None  # the latest, which may come before its loss is noticed
    on_battery: bool | None = None
    battery_us: int = 0  # when it went from mains to its battery; 0: not so
    tells_power: bool = False  # it said, while it was here, that it went to or from its battery
    unplugged_us: int = 0  # when it went to the battery that it was lost on; 0: it was not
    rebooted: bool = False  # its machine began in its last silence …
    ran_alone: bool = False  # … and ran for an hour before it was back
    powerless_us: int = 0  # when it was lost last in a silence in which its power failed
    booted_us: int = 0  # when it came back last as its machine began
    offline_us: int = 0  # when it was lost last in a silence in which no anchor answered it …
    offline_told_us: int = 0  # … and when it told so
    left_us: int = 0  # its last goodbye
    abroad_us: int = 0  # when it came back from a silence in another country, where it has no vote
    begun_us: int = 0  # when its agent last began again, or came with another edition
    edition: str = ""
    ran_on: bool = False  # its machine is known to have run through its last silence
    deferred: bool = False  # its silence began in a fault of the collector
    floor: float = 0.0  # least chance of its silence, after a fault of the collector
    unheard_us: int = 0  # until then that fault went on, and answers say nothing of what came since
    own: ChurnRecord = field(default_factory=ChurnRecord)
    stays: dict[str, int] = field(default_factory=dict)  # countries, and when it was first in each
    seen_us: int = 0  # its first arrival, or its return from its last long absence
    gone_us: int = 0  # when that absence began; 0: none is known
    breaks: tuple[tuple[int, int], ...] = ()  # (begin, length) of its last brief silences
    shutdowns: tuple[int, ...] = ()  # when its machine was heard last before it was switched off

    @property
    def place(self) -> VantageLocation:
        return self.witness.place

    @property
    def is_live(self) -> bool:
        return self.status is PresenceStatus.LIVE

    @property
    def is_silent(self) -> bool:
        return self.status is PresenceStatus.SILENT

    @property
    def is_abroad(self) -> bool:
        """Return whether it is back from its last silence in another country."""
        return self.status is PresenceStatus.AWAY and self.abroad_us >= self.lost_us > 0

    @property
    def is_expected(self) -> bool:
        return self.status in (PresenceStatus.LIVE, PresenceStatus.AWAITED)

    @property
    def lost_on_battery(self) -> bool:
        """Return whether it went to its battery shortly before its loss."""
        return self.unplugged_us > 0 and self.lost_us - self.unplugged_us <= _POWER_US

    def has_lost_mains(self, since_us: int) -> bool:
        """Return whether it went to its battery in an outage, however late it fell silent.

        A UPS lasts for an hour; what its machine told as the power failed holds for so long.
        """
        return self.lost_on_battery or 0 < since_us - _EARLY_US <= self.unplugged_us

    @property
    def tells_cause(self) -> bool:
        """Return whether its loss or its return gives evidence on the silence."""
        is_of_power = self.unplugged_us > 0 or self.rebooted
        return is_of_power or self.is_rerouted or self.ran_on or self.closed_us > 0

    @property
    def has_measured(self) -> bool:
        """Return whether it measured in its last silence, so that it had power then."""
        report = self.report
        return report is not None and report.alive and report.until_us > self.heard_us

    def may_have_measured(self, now_us: int) -> bool:
        """Return whether pending uploads may show that it measured before its reboot.

        One whose machine began as its way came back is taken for powerless at once.
        """
        is_early = self.rebooted and not self.lost_on_battery and self.booted_us != self.back_us
        return is_early and now_us - self.back_us < UPLOAD_WAIT_US

    @property
    def power_failed(self) -> bool:
        """Return whether it fell silent because its power failed.

        A machine that measured in the silence and began again later was restarted, or switched off
        for a night: in a cut of days nearly all are. One that ran for an hour before its line was
        back would have measured in it, whatever it tells: lines follow the power in minutes.
        """
        is_of_power = self.rebooted and not self.has_measured and not self.ran_alone
        return self.lost_on_battery or is_of_power

    @property
    def telling_us(self) -> int:
        """Return how long after its return its report on the silence may arrive."""
        return 0 if is_other_way(self.witness.carrier, self.lost_by) else UPLOAD_WAIT_US

    @property
    def is_rerouted(self) -> bool:
        """Return whether it came back by another carrier than it was lost by."""
        return self.rerouted_us >= self.lost_us > 0

    @property
    def changed_us(self) -> int:
        """Return when it came, came back or changed its way last."""
        return max(self.since_us, self.back_us, self.moved_us, self.home_us)

    @property
    def is_home(self) -> bool:
        """Return whether it returned from its last loss to the carrier it had left before.

        Agents try that one again, and drop the other for it: that one is not blocked.
        """
        is_other = is_other_way(self.witness.carrier, self.lost_by)
        return is_other and self.home_us > self.heard_us > 0

    def uses(self, carriers: Collection[str]) -> bool:
        """Return whether it uses, or before its loss used, one of the carriers.

        It is True if `carriers` is empty.
        """
        own = {self.witness.carrier, self.lost_by, self.home}
        return not carriers or not own.isdisjoint(carriers)

    def is_kept_from(self, carriers: Collection[str], since_us: int, now_us: int) -> bool:
        """Return whether it left one of the carriers since a time and is not back by it."""
        is_recent = since_us <= self.left_home_us and now_us - self.left_home_us <= _KEPT_US
        return self.home in carriers and is_recent

    def has_stayed(self, now_us: int) -> bool:
        """Return whether it was never long away in the day before its loss, or before now."""
        until_us = self.heard_us if self.is_silent else now_us
        return 0 < self.seen_us <= until_us - DAY_US

    def find_usual_break(self) -> tuple[int, int]:
        """Return start and length of its longest daily break at the time of its loss.

        Only the last `_BREAK_DAYS` days count; it is (0, 0) if it had none at this time of day.
        """
        usual = (0, 0)
        for begin_us, length_us in self.breaks:
            days = count_days(begin_us, self.heard_us)
            if 1 <= days <= _BREAK_DAYS and length_us > usual[1]:
                usual = (begin_us, length_us)
        return usual

    def count_shutdowns(self, at_us: int) -> int:
        """Count the days of the week before a time with a shutdown at that time of day."""
        return len(self.list_shutdown_days(at_us))

    def list_shutdown_days(self, at_us: int) -> set[int]:
        """List the days of the week before a time with a shutdown at that time of day.

        Day 1 is the day before.
        """
        days = {count_days(shutdown_us, at_us) for shutdown_us in self.shutdowns}
        return {number for number in days if 1 <= number <= _ROUTINE_DAYS}

    def mark_silent(self, heard_us: int, at_us: int, closed_us: int = 0) -> None:
        self.status = PresenceStatus.SILENT
        self.heard_us = heard_us
        self.lost_us = at_us
        self.closed_us = closed_us
        self.lost_in = self.place.asn
        self.lost_region = self.place.region
        self.lost_by = self.witness.carrier
        self.unplugged_us = self.battery_us
        self.rebooted = False
        self.ran_alone = False

    def mark_evaded(self, heard_us: int, at_us: int) -> None:
        """Record the loss of a session that one by another carrier has replaced."""
        self.heard_us = heard_us
        self.lost_us = at_us
        self.rerouted_us = at_us
        self.lost_by = self.moved_from
        if self.home == self.moved_from:
            self.left_home_us = at_us

    def date_stay(self, witness: VantageRef, at_us: int) -> VantageRef:
        """Return an arriving witness as no older than its first arrival in its country.

        An agent whose user turns a VPN on in a block is abroad by its address, and suddenly home
        again when the VPN is blocked too: it knows nothing of the country of the VPN.
        """
        self.stays.setdefault(self.place.country, self.witness.first_us)
        since_us = self.stays.get(witness.place.country, at_us)
        if len(self.stays) < _MAX_STAYS:
            self.stays.setdefault(witness.place.country, since_us)
        return replace(witness, first_us=since_us) if since_us > witness.first_us else witness

    def note_return(self, signal: VantageArrival) -> None:
        """Note the way and the power of an arrival, before it changes the status."""
        at_us = signal.at_us
        self._note_home(signal)
        gone_us = self.heard_us if self.is_silent else self.left_us
        if not self.seen_us or (gone_us > self.since_us and at_us - gone_us >= LONG_US):
            self.seen_us = at_us
            self.gone_us = gone_us
        if self.is_live and is_other_way(signal.witness.carrier, self.witness.carrier):
            self.moved_us = at_us
            self.moved_from = self.witness.carrier
        is_away = self.lost_us > 0 and self.rejoined_us < self.lost_us
        if is_away and not is_other_way(signal.witness.carrier, self.lost_by):
            self.rejoined_us = at_us
        elif is_away and self.rerouted_us < self.lost_us:
            self.rerouted_us = at_us
        if self.is_silent:
            self.back_us = at_us
            silent_us = at_us - self.heard_us
            self._note_break(silent_us)
            is_known = signal.uptime_s is not None
            is_rebooted = is_known and (signal.uptime_s or 0) * SECOND_US < silent_us
            self.rebooted = is_rebooted
            self.ran_alone = is_rebooted and (signal.uptime_s or 0) * SECOND_US >= LONG_US
            self.powerless_us = self.lost_us if self.power_failed else self.powerless_us
            if is_rebooted and silent_us > BRIEF_US:
                self._note_shutdown()
            if is_rebooted and (signal.uptime_s or 0) * SECOND_US <= BOOT_US:
                self.booted_us = at_us
            self.ran_on = signal.same_boot or (is_known and not is_rebooted)
        self.note_power(signal.on_battery, at_us)
        self._note_restart(signal)

    def note_report(self, report: OfflineReport) -> None:
        """Store its report; a reboot after a measurement in a silence is no power failure.

        Its return is known before its measurements, and showed a power failure until then.
        """
        self.report = report
        if report.alive and report.online is False:
            self.offline_us = self.lost_us
            self.offline_told_us = report.at_us
        if not report.alive and report.until_us - self.heard_us > BRIEF_US:
            self._note_shutdown()
        elif self.has_measured:
            self.shutdowns = tuple(at_us for at_us in self.shutdowns if at_us != self.heard_us)
        if self.powerless_us == self.lost_us and not self.power_failed:
            self.powerless_us = 0
        if not (report.alive or self.rebooted or self.ran_on):  # no other sign of its machine
            self.powerless_us = self.lost_us

    def note_link_test(self, test: LinkTest) -> bool:
        """Keep a test of hosts abroad; return whether it is its first, or says another thing.

        What was measured before its session lived says nothing of the time since.
        """
        if not self.is_live or test.measured_us < max(self.changed_us + MARGIN_US, self.link_us):
            return False
        is_news = self.link_us < self.changed_us or self.is_link_dead is test.online
        self.link_us = test.measured_us
        self.is_link_dead = not test.online
        return is_news

    def _note_break(self, length_us: int) -> None:
        """Keep a brief silence, which may return at the same time of the next days."""
        if self.deferred or length_us > BRIEF_US:
            return
        since_us = self.heard_us - _BREAK_DAYS * DAY_US - _SAME_TIME_US
        recent = [brief for brief in self.breaks if brief[0] >= since_us]
        self.breaks = (*recent[1 - _MAX_BREAKS :], (self.heard_us, length_us))

    def _note_shutdown(self) -> None:
        """Record when its machine was switched off, to recognize a daily routine."""
        if self.deferred or self.heard_us in self.shutdowns:
            return
        since_us = self.heard_us - _ROUTINE_DAYS * DAY_US - _SAME_TIME_US
        recent = [at_us for at_us in self.shutdowns if at_us >= since_us]
        self.shutdowns = (*recent[1 - _MAX_SHUTDOWNS :], self.heard_us)

    def _note_home(self, signal: VantageArrival) -> None:
        carrier = signal.witness.carrier
        if self.home and not is_other_way(carrier, self.home):
            self.home = ""
            self.home_us = signal.at_us
        elif not self.home and is_other_way(carrier, self.witness.carrier):
            self.home = self.witness.carrier
            self.left_home_us = signal.at_us if self.is_live else max(self.lost_us, self.left_us)

    def _note_restart(self, signal: VantageArrival) -> None:
        if self.status is PresenceStatus.AWAITED:
            self.resumed_us = signal.at_us
        is_new_edition = bool(self.edition) and signal.edition not in ("", self.edition)
        is_away = self.status is PresenceStatus.AWAY
        if is_new_edition or (is_away and 0 < signal.at_us - self.left_us <= _RESTART_US):
            self.begun_us = signal.at_us
        self.edition = signal.edition or self.edition

    def note_power(self, on_battery: bool | None, at_us: int) -> None:
        if on_battery is None:
            return
        self.tells_power |= self.is_live and on_battery is not self.on_battery
        if not on_battery:
            self.battery_us = 0
        elif self.on_battery is False:
            self.battery_us = at_us
        self.on_battery = on_battery


def affects(fault: Fault, vantage: VantagePresence) -> bool:
    """Return whether a fault of the collector affects this vantage."""
    is_in_country = fault.country in ("", vantage.place.country)
    return is_in_country and fault.carrier in ("", vantage.witness.carrier)


def count_days(earlier_us: int, later_us: int) -> int:
    """Return the days between two times at one time of day; 0 if the times differ."""
    days, apart_us = divmod(later_us - earlier_us + _SAME_TIME_US, DAY_US)
    return days if apart_us <= 2 * _SAME_TIME_US else 0
