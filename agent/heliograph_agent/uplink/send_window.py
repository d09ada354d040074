"""Track sent envelopes that are not settled, and the collector's pauses. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from heliograph.units import MINUTE_US

SIZE = 16  # envelopes under way at the same time
OVERDUE_US = MINUTE_US  # a later receipt is not expected
MAX_HOLD_S = 3_600


@dataclass(slots=True)
class SendWindow:
    """Hold the sequences under way in one session, oldest first."""

    _sent: dict[int, int] = field(default_factory=dict)
    _paused_until_us: int = 0

    def __len__(self) -> int:
        return len(self._sent)

    def __iter__(self) -> Iterator[int]:
        return iter(self._sent)

    def __contains__(self, sequence: int) -> bool:
        return sequence in self._sent

    @property
    def oldest(self) -> int:
        """Return the oldest sequence, 0 when nothing is under way."""
        return next(iter(self._sent), 0)

    def free_slots(self) -> int:
        """Return the slots to fill: none until half the window is settled, then all."""
        return 0 if len(self._sent) > SIZE // 2 else SIZE - len(self._sent)

    def record_sent(self, sequence: int, now_us: int) -> None:
        self._sent[sequence] = now_us

    def remove(self, sequence: int) -> None:
        self._sent.pop(sequence, None)

    def pause(self, now_us: int, seconds: int) -> None:
        """Pause sending; a pause never shortens an earlier one."""
        until_us = now_us + min(max(seconds, 1), MAX_HOLD_S) * 1_000_000
        self._paused_until_us = max(self._paused_until_us, until_us)

    def pause_left_s(self, now_us: int) -> float:
        return max(0.0, (self._paused_until_us - now_us) / 1e6)

    def is_overdue(self, now_us: int) -> bool:
        oldest = next(iter(self._sent.values()), now_us)
        return now_us - oldest > OVERDUE_US
