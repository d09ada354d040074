"""Limit rates by token buckets. Pure: the caller gives monotonic microseconds."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

from heliograph.units import SECOND_US

_Key = TypeVar("_Key")


@dataclass(slots=True)
class TokenBucket:
    """Hold at most `capacity` tokens and gain `per_s` a second, which must be over 0."""

    per_s: float
    capacity: float
    level: float
    at_us: int

    def take(self, amount: float, now_us: int) -> float:
        """Take tokens and return 0.0, or take none and return the seconds to wait.

        A clock that runs backwards adds nothing.
        """
        self.level = self.level_at(now_us)
        self.at_us = now_us
        if self.level < amount:
            return (amount - self.level) / self.per_s
        self.level -= amount
        return 0.0

    def level_at(self, now_us: int) -> float:
        gained = max(0, now_us - self.at_us) / SECOND_US * self.per_s
        return min(self.capacity, self.level + gained)


class TokenBuckets(Generic[_Key]):
    """Hold one bucket per key, full at first.

    Above `max_keys` the longest unused one is dropped.
    """

    def __init__(self, *, per_s: float, capacity: float, max_keys: int) -> None:
        self.per_s = per_s
        self.capacity = capacity
        self._max_keys = max_keys
        self._buckets: OrderedDict[_Key, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(
        self, key: _Key, now_us: int, amount: float = 1.0, *, first_level: float | None = None
    ) -> float:
        """Take tokens and return 0.0, or take none and return the seconds to wait.

        Args:
            first_level: Tokens of a new bucket, up to the capacity; None for a full one.
        """
        bucket = self._buckets.get(key)
        if bucket is None:
            level = min(self.capacity, self.capacity if first_level is None else first_level)
            bucket = self._buckets[key] = TokenBucket(self.per_s, self.capacity, level, now_us)
            if len(self._buckets) > self._max_keys:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        return bucket.take(amount, now_us)

    def level(self, key: _Key, now_us: int) -> float | None:
        """Return the tokens of a bucket, None for an unknown key."""
        bucket = self._buckets.get(key)
        return None if bucket is None else bucket.level_at(now_us)

    def drop_unused(self, since_us: int) -> None:
        """Drop the buckets that nobody has used since."""
        while self._buckets and next(iter(self._buckets.values())).at_us <= since_us:
            self._buckets.popitem(last=False)
