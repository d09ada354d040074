"""The volunteer's bytes per month, as a bucket that fills evenly and holds a day's share.

Whatever 30 days one looks at, all work takes no more than the month's bytes and its last tasks.
"""

from collections.abc import Mapping
from dataclasses import dataclass

DAYS = 30
DAY_US = 86_400_000_000
MONTH_US = DAYS * DAY_US


@dataclass(frozen=True, slots=True)
class Allowance:
    """`missing` bytes of a full bucket at `at_us`; more than the bucket holds when overspent."""

    at_us: int
    missing: float = 0.0

    @classmethod
    def whole(cls, now_us: int) -> "Allowance":
        return cls(now_us)

    def left(self, now_us: int, bytes_per_month: int) -> float:
        """What routine work may spend now; negative after an overdraft."""
        return _share(bytes_per_month) - self._missing(now_us, bytes_per_month)

    def spend(self, moved: int, now_us: int, bytes_per_month: int) -> "Allowance":
        return Allowance(now_us, self._missing(now_us, bytes_per_month) + moved)

    def from_us(self, now_us: int, bytes_per_month: int) -> int:
        """From when on routine work may go on: now, or when the overdraft is made up for."""
        left = self.left(now_us, bytes_per_month)
        if left > 0:
            return now_us
        rate = _rate(bytes_per_month)
        return now_us + (int(-left / rate) + 1 if rate else MONTH_US)

    def spared_us(self, cost: int, now_us: int, bytes_per_month: int) -> int:
        """Least time between two starts of what must go on although the bucket is empty: it takes
        half of what flows in, so that the other half refills it for the rest."""
        rate = _rate(bytes_per_month)
        if not rate or self.left(now_us, bytes_per_month) > 0:
            return 0
        return min(MONTH_US, int(2 * cost / rate))

    def to_json(self, wall_us: int) -> dict[str, float]:
        """To be kept over a restart; as of now, so spend 0 first when some time has passed."""
        return {"wall_us": wall_us, "missing": self.missing}

    @classmethod
    def from_json(
        cls, kept: Mapping[str, object], now_us: int, wall_us: int, bytes_per_month: int
    ) -> "Allowance":
        """What a restart leaves over. A file that makes no sense, or a clock that ran backwards,
        gives nothing away: a bucket that is empty and fills from now on."""
        missing, since_us = kept.get("missing"), kept.get("wall_us")
        if not isinstance(missing, int | float) or not isinstance(since_us, int | float):
            return cls(now_us, _share(bytes_per_month))
        elapsed_us = min(max(0, int(wall_us - since_us)), MONTH_US)
        return cls(now_us, max(0.0, missing - elapsed_us * _rate(bytes_per_month)))

    def _missing(self, now_us: int, bytes_per_month: int) -> float:
        return max(0.0, self.missing - (now_us - self.at_us) * _rate(bytes_per_month))


def _share(bytes_per_month: int) -> float:
    return bytes_per_month / DAYS


def _rate(bytes_per_month: int) -> float:
    """Bytes per microsecond: with a full bucket at its start, a month comes out exactly."""
    return (bytes_per_month - _share(bytes_per_month)) / MONTH_US
