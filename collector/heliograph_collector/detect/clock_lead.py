"""Measure and end a lead of the detectors over the clock, as after a clock jump.

While they lead, no minute is closed and no silence found. A lead that lasts `HOLD_US` is ended: the
detectors begin again at the present time. A clock that is still behind at the start, before NTP
corrects it, ends the lead by itself.
"""

from dataclasses import dataclass

from heliograph.units import MINUTE_US, SECOND_US

MIN_LEAD_US = MINUTE_US  # NTP's steps are smaller; as the steps of the guarded clock
HOLD_US = MINUTE_US  # assumed: systemd-timesyncd corrects a clock within half a minute of the boot
GAP_REASON = "clock"  # of the coverage gap that it leaves


@dataclass(slots=True)
class ClockLead:
    """Lead of the detectors, and of the rows that they read, over the clock."""

    lead_us: int = 0
    held_us: int = 0  # how long the last lead has lasted
    _newest_row_us: int = 0
    _since_us: int | None = None  # monotonic; None while there is no lead

    def note_row(self, received_us: int) -> None:
        """Note the time of a row, which holds back the detectors as their own time does."""
        self._newest_row_us = max(received_us, self._newest_row_us)

    def update(self, evaluated_us: int, now_us: int, monotonic_us: int) -> bool:
        """Measure the lead of the evaluated time; return whether it has lasted too long."""
        self.lead_us = max(evaluated_us, self._newest_row_us) - now_us
        if self.lead_us <= MIN_LEAD_US:
            self._since_us = None
            return False
        if self._since_us is None:
            self._since_us = monotonic_us
        self.held_us = monotonic_us - self._since_us
        return self.held_us >= HOLD_US

    def end(self) -> None:
        """Forget the rows; the detectors have begun again."""
        self.lead_us = self._newest_row_us = 0
        self._since_us = None

    def problems(self) -> list[str]:
        if self.lead_us <= MIN_LEAD_US:
            return []
        wait_s = max(0, HOLD_US - self.held_us) // SECOND_US
        sentence = (
            f"The clock was set back by {self.lead_us // SECOND_US} s: the detectors judge nothing "
            f"and begin again in {wait_s} s; rows with later times stay stored."
        )
        return [sentence]
