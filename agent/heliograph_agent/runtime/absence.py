"""Remember the last time without the collector, with its reason if it is known.

The status is written each minute at least. Each writing is a sample: the collector answers, or the
anchors answer and it does not, or this machine has no network. A gap between two writings is a time
in which this machine slept or the agent did not run. When the collector answers again after
`LONG_US`, the longest of these is the reason of the absence that `status` shows. If the wall clock
was set in a session, all times move with it: there was no absence.
"""

from collections import Counter
from enum import StrEnum
from typing import NamedTuple, TypedDict

from heliograph.observation import Link

LONG_US = 1_800_000_000  # half an hour; assumed, shorter ones are of no interest to a person
_GAP_US = 300_000_000  # assumed: five writings that did not happen
_SET_US = 60_000_000  # assumed; smaller steps are NTP's


class AbsenceReason(StrEnum):
    """Name why the collector had no answer from this agent."""

    NOT_RUNNING = "not_running"  # the agent was stopped, or the machine off
    ASLEEP = "asleep"
    PAUSED = "paused"
    NO_NETWORK = "no_network"
    NO_RESOLVER = "no_resolver"
    DOMESTIC_ONLY = "domestic_only"
    UNREACHABLE = "unreachable"  # other hosts answered
    UNKNOWN = "unknown"


_REASONS = {
    Link.OFFLINE: AbsenceReason.NO_NETWORK,
    Link.CAPTIVE: AbsenceReason.NO_NETWORK,
    Link.NO_RESOLVER: AbsenceReason.NO_RESOLVER,
    Link.DOMESTIC_ONLY: AbsenceReason.DOMESTIC_ONLY,
    Link.ONLINE: AbsenceReason.UNREACHABLE,
}


class Absence(TypedDict):
    """Describe a time without an answer from the collector; wall clock."""

    since_us: int
    until_us: int  # 0 while it lasts
    reason: str
    results: int  # the most that waited
    lost: int


class StatusSample(NamedTuple):
    """Hold one written status's facts."""

    now_us: int  # wall clock
    link: str
    waiting: int  # results
    dropped: int  # results, since the spool was made
    success_us: int  # the collector's last answer; wall clock
    is_connected: bool
    is_paused: bool
    boot_us: int | None = None  # since the machine's start, sleep included; None if not known


class AbsenceRecorder:
    """Follow the status of one run; the arguments are of the earlier run, else 0."""

    def __init__(self, earlier_us: int = 0, success_us: int = 0, dropped: int = 0) -> None:
        self._sample_us = earlier_us
        self._success_us = success_us
        self._is_first = True
        self._boot_us: int | None = None
        self._was_connected = False
        self._durations: Counter[AbsenceReason] = Counter()
        self._results = 0
        self._dropped = dropped
        self.last: Absence | None = None

    def take_sample(self, sample: StatusSample) -> None:
        """Note what holds now."""
        self._follow_clock(sample)
        elapsed_us = max(sample.now_us - self._sample_us, 0) if self._sample_us else 0
        self._durations[self._classify(sample, elapsed_us)] += elapsed_us
        self._is_first = False
        self._sample_us = sample.now_us
        self._results = max(self._results, sample.waiting)
        answer_us = sample.now_us if sample.is_connected else sample.success_us
        is_over = answer_us > self._success_us
        end_us = answer_us if is_over else sample.now_us
        if self._success_us and end_us - self._success_us >= LONG_US:
            self.last = {
                "since_us": self._success_us,
                "until_us": answer_us if is_over else 0,
                "reason": max(self._durations, key=self._durations.__getitem__).value,
                "results": self._results,
                "lost": max(sample.dropped - self._dropped, 0),
            }
        if is_over:
            self._success_us = answer_us
            self._durations.clear()
            self._results = 0
            self._dropped = sample.dropped

    def _follow_clock(self, sample: StatusSample) -> None:
        """Move the times where the wall clock was set between two writings of one session."""
        if self._boot_us is not None and sample.boot_us is not None:
            elapsed_us = sample.boot_us - self._boot_us
            set_us = sample.now_us - self._sample_us - elapsed_us
            if abs(set_us) > _SET_US and self._was_connected and sample.is_connected:
                self._sample_us += set_us
                self._success_us += set_us
        self._boot_us = sample.boot_us
        self._was_connected = sample.is_connected

    def _classify(self, sample: StatusSample, elapsed_us: int) -> AbsenceReason:
        if elapsed_us > _GAP_US:
            return AbsenceReason.NOT_RUNNING if self._is_first else AbsenceReason.ASLEEP
        if sample.is_paused:
            return AbsenceReason.PAUSED
        if sample.link not in set(Link):
            return AbsenceReason.UNKNOWN
        return _REASONS.get(Link(sample.link), AbsenceReason.UNKNOWN)
