"""The collector's time, which follows jumps of the clock only after a trial.

States: *following* (the machine's wall clock and its monotonic clock advance together), *on trial*
(the wall clock jumped: the monotonic clock alone moves the time). A jump that is taken back within
`TRIAL_US` never happened. One that lasts is followed, except a jump far ahead, which is refused
until the collector is started again: retention would delete, and agents' plans would expire.
"""

import logging
import time
from collections import deque
from dataclasses import dataclass
from threading import Lock

from heliograph.clock import Clock, SystemClock
from heliograph.units import DAY_US, MINUTE_US, SECOND_US

STEP_US = MINUTE_US  # assumed: NTP steps of seconds at boot are followed at once
TRIAL_US = MINUTE_US  # assumed: less than a minute is lost by a jump that proves right
MAX_AHEAD_US = 7 * DAY_US  # assumed: a paused virtual machine, not a wrong year
_BOOT_US = 10 * MINUTE_US  # assumed: within it NTP corrects a clock without a battery
_MAX_NOTICES = 8  # assumed: what an operator reads
_OLDEST_US = 1_767_225_600 * SECOND_US  # 2026-01-01, before the first release

log = logging.getLogger("heliograph.clock")


class BootClock(SystemClock):
    """Read this machine's clocks; the monotonic one counts suspended time if it can."""

    def monotonic_us(self) -> int:
        clock_id = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
        suspended_ns = time.clock_gettime_ns(clock_id) - time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        return super().monotonic_us() + suspended_ns // 1_000


@dataclass(frozen=True, slots=True)
class _Trial:
    """A jump on trial: the wall clock minus the monotonic one, and since when."""

    offset_us: int
    since_us: int


class GuardedClock:
    """A Clock that guards another one; safe to read in any thread."""

    def __init__(self, clock: Clock, record_us: int) -> None:
        """Begin with the machine's time.

        Args:
            record_us: The newest time that the journal records, 0 without any. A clock that starts
                before it may jump there at once.
        """
        self._clock = clock
        self._lock = Lock()
        self._started_us = clock.monotonic_us()
        self._offset_us = clock.wall_us() - self._started_us
        self._record_us = max(record_us, _OLDEST_US)
        self._trial: _Trial | None = None
        self._notices: deque[tuple[int, str]] = deque(maxlen=_MAX_NOTICES)
        self._note_start(record_us)

    def monotonic_us(self) -> int:
        return self._clock.monotonic_us()

    def wall_us(self) -> int:
        with self._lock:
            now_us = self._clock.monotonic_us()
            self._examine(self._clock.wall_us() - now_us, now_us)
            return self._offset_us + now_us

    def problems(self) -> list[str]:
        """Return a sentence on a jump that is not followed."""
        self.wall_us()
        with self._lock:
            trial = self._trial
            if trial is None:
                return []
            jump_us = trial.offset_us - self._offset_us
        if jump_us <= MAX_AHEAD_US:
            end = f"follows it unless it is taken back within {TRIAL_US // SECOND_US} s."
        else:
            end = "refuses it: set the clock right, or restart the collector if it is right."
        return [f"{_describe_jump(jump_us)}: the collector keeps its own time and {end}"]

    def notices(self) -> list[str]:
        """List what happened to the clock in the last day of this run, oldest first."""
        since_us = self.monotonic_us() - DAY_US
        return [sentence for at_us, sentence in self._notices if at_us >= since_us]

    def _note_start(self, record_us: int) -> None:
        """Note a start at a time that contradicts the journal.

        Either the clock or the journal's newest entry may be wrong.
        """
        ahead_us = self._offset_us + self._started_us - record_us
        if record_us and ahead_us > MAX_AHEAD_US:
            self._note(
                f"The collector started {ahead_us // DAY_US} days after the newest entry of its "
                "journal: unless it rested for so long, set the machine's clock right and restart."
            )
        elif ahead_us < -STEP_US:
            self._note(
                f"The collector started {-ahead_us // SECOND_US} s before the newest entry of its "
                "journal: the clock was ahead before, or is behind now."
            )

    def _note(self, sentence: str) -> None:
        self._notices.append((self._clock.monotonic_us(), sentence))
        log.warning("%s", sentence)

    def _examine(self, offset_us: int, now_us: int) -> None:
        jump_us = offset_us - self._offset_us
        if abs(jump_us) <= STEP_US or self._is_late_start(offset_us, now_us):
            if self._trial is not None:
                self._note("The machine's clock is back where it was; the jump was not followed.")
            self._follow(offset_us)
            return
        trial = self._trial
        if trial is None or abs(offset_us - trial.offset_us) > STEP_US:
            self._trial = _Trial(offset_us, now_us)
            self._note(f"{_describe_jump(jump_us)}; the collector does not follow it yet.")
        elif now_us - trial.since_us >= TRIAL_US and jump_us <= MAX_AHEAD_US:
            self._note(f"{_describe_jump(jump_us)}, and the collector follows it now.")
            self._follow(offset_us)

    def _follow(self, offset_us: int) -> None:
        self._offset_us = offset_us
        self._trial = None

    def _is_late_start(self, offset_us: int, now_us: int) -> bool:
        """Return whether a clock that started in the past was just set past the record."""
        is_behind = self._offset_us + now_us < self._record_us
        is_corrected = offset_us + now_us >= self._record_us
        return is_behind and is_corrected and now_us - self._started_us < _BOOT_US


def _describe_jump(jump_us: int) -> str:
    direction = "ahead" if jump_us > 0 else "back"
    return f"The machine's clock jumped {direction} by {abs(jump_us) // SECOND_US} s"
