"""Compute when the bytes permit a task: by its kind's share, else by the rest.

Shares bind while less than a part of a day's bytes is left (heliograph.byte_shares).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from heliograph_agent.schedule.allowance import Allowance


@dataclass(frozen=True, slots=True)
class Share:
    """Hold a share of the inflow, and the last run of the tasks that have it together."""

    part: float
    last_us: int | None
    cost: int  # of that run, as far as it is known


@dataclass(frozen=True, slots=True)
class ByteBudget:
    """Hold what the bytes permit now."""

    bytes_per_month: int
    allowance: Allowance
    shares: Mapping[str, Share]  # by task key

    def ready_us(self, key: str, now_us: int, *, is_anchor: bool, is_early: bool) -> int:
        """Return when the bytes permit the task."""
        share = self.shares.get(key) if self.bytes_per_month or is_anchor else None
        if share is not None and share.last_us is not None and not is_early:
            return share.last_us + self.allowance.min_interval_us(
                share.cost, share.part, now_us, self.bytes_per_month
            )
        if is_anchor:
            return now_us
        keeps_reserve = share is None and not is_early
        return self.allowance.from_us(now_us, self.bytes_per_month, keeps_reserve=keeps_reserve)


def make_shares(
    keys_by_part: Mapping[float, list[str]],
    other_part: float,
    starts: Mapping[str, int],
    costs: Mapping[str, int],
) -> dict[str, Share]:
    """Make the share of each task.

    Args:
        keys_by_part: Keys of the tasks that have a part together. Parts without tasks are shared.
        other_part: Part of all others, 0 where there are none.
        starts: Last start by task key.
        costs: Bytes of the last run by task key.
    """
    total = sum(part for part, keys in keys_by_part.items() if keys) + other_part
    shares: dict[str, Share] = {}
    for part, keys in keys_by_part.items():
        if keys:
            shares |= dict.fromkeys(keys, _find_share(part / total, keys, starts, costs))
    return shares


def _find_share(
    part: float, keys: Iterable[str], starts: Mapping[str, int], costs: Mapping[str, int]
) -> Share:
    started = {starts[key]: key for key in keys if key in starts}
    last_us = max(started, default=None)
    return Share(part, last_us, 0 if last_us is None else costs.get(started[last_us], 0))
