"""Bytes that routine work may still spend, by a bucket that fills evenly."""

from collections.abc import Mapping
from dataclasses import dataclass

from heliograph.byte_shares import RESERVE, SHARED_BELOW
from heliograph.units import DAY_US

DAYS = 30
MONTH_US = DAYS * DAY_US


@dataclass(frozen=True, slots=True)
class Allowance:
    """Limit the bytes per month by a bucket that fills evenly and holds a day's share.

    In any 30 days all work takes no more than the month's bytes and the bytes of its last tasks.
    `missing_bytes` is the part of the bucket that is not filled at `at_us`. It exceeds the size of
    the bucket after an overdraft.
    """

    at_us: int
    missing_bytes: float = 0.0

    def remaining_bytes(self, now_us: int, bytes_per_month: int) -> float:
        """Return the bytes that routine work may spend now; negative after an overdraft."""
        return _daily_bytes(bytes_per_month) - self._missing_at(now_us, bytes_per_month)

    def spend(self, moved_bytes: int, now_us: int, bytes_per_month: int) -> "Allowance":
        return Allowance(now_us, self._missing_at(now_us, bytes_per_month) + moved_bytes)

    def from_us(self, now_us: int, bytes_per_month: int, *, keeps_reserve: bool = False) -> int:
        """Return when work may start: now, or when enough has flowed in.

        Args:
            keeps_reserve: Whether it leaves the RESERVE of a day's bytes to others.
        """
        reserve = RESERVE * _daily_bytes(bytes_per_month) if keeps_reserve else 0.0
        remaining = self.remaining_bytes(now_us, bytes_per_month) - reserve
        if remaining > 0:
            return now_us
        rate = _bytes_per_us(bytes_per_month)
        return now_us + (int(-remaining / rate) + 1 if rate else MONTH_US)

    def min_interval_us(self, cost: int, share: float, now_us: int, bytes_per_month: int) -> int:
        """Return the least interval of work with a share of the inflow, while bytes lack."""
        rate = _bytes_per_us(bytes_per_month)
        enough = SHARED_BELOW * _daily_bytes(bytes_per_month)
        if not rate or self.remaining_bytes(now_us, bytes_per_month) > enough:
            return 0
        return min(MONTH_US, int(cost / (rate * share)))

    def to_json(self, wall_us: int) -> dict[str, float]:
        """Convert for status.json, as of `at_us`; call spend(0, …) first to update it."""
        return {"wall_us": wall_us, "missing": self.missing_bytes}

    @classmethod
    def from_json(
        cls, stored: Mapping[str, object], now_us: int, wall_us: int, bytes_per_month: int
    ) -> "Allowance":
        """Restore after a restart.

        A damaged file, or a clock that ran backwards, gives an empty bucket.
        """
        missing = stored.get("missing")
        since_us = stored.get("wall_us")
        if not isinstance(missing, int | float) or not isinstance(since_us, int | float):
            return cls(now_us, _daily_bytes(bytes_per_month))
        elapsed_us = min(max(0, int(wall_us - since_us)), MONTH_US)
        return cls(now_us, max(0.0, missing - elapsed_us * _bytes_per_us(bytes_per_month)))

    def _missing_at(self, now_us: int, bytes_per_month: int) -> float:
        return max(0.0, self.missing_bytes - (now_us - self.at_us) * _bytes_per_us(bytes_per_month))


def _daily_bytes(bytes_per_month: int) -> float:
    return bytes_per_month / DAYS


def _bytes_per_us(bytes_per_month: int) -> float:
    """Return the inflow; a full bucket and a month's inflow are a month's bytes."""
    return (bytes_per_month - _daily_bytes(bytes_per_month)) / MONTH_US
