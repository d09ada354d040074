"""How often somebody may try a password: guessing is slow, and nobody is locked out for good.

Tries are counted by where they come from, and for each name over all places together. Whoever
logged in before from this browser, or sits at the collector's own machine, is counted apart:
strangers that try all day long do not keep them out.
"""

from collections import OrderedDict
from dataclasses import dataclass

FREE = 5  # tries without a wait
_FIRST_US, _MOST_US = 2_000_000, 900_000_000  # the wait doubles from one to the other
_FORGET_US = 3_600_000_000
_OF_NAME = 60  # tries an hour at one name from all strange places together
_PLACES = 4_096
HERE = "here"  # the collector's own machine, without a proxy before it


@dataclass(slots=True)
class _Count:
    tries: int = 0
    last_us: int = 0


class Attempts:
    """A try is counted before it is judged, and forgiven when it was right."""

    def __init__(self) -> None:
        self._counts: OrderedDict[tuple[str, str], _Count] = OrderedDict()

    def wait_s(self, name: str, place: str, browser: str, now_us: int) -> int:
        """0: go on, and it was counted. `browser` is a proof of having been in before, or ""."""
        keys = _keys(name, place, browser)
        wait_us = max(self._wait_us(key, now_us) for key in keys)
        if wait_us > 0:
            return wait_us // 1_000_000 + 1
        for key in keys:
            count = self._count(key, now_us)
            count.tries, count.last_us = count.tries + 1, now_us
        return 0

    def was_right(self, name: str, place: str, browser: str) -> None:
        for key in _keys(name, place, browser):
            self._counts.pop(key, None)

    def _wait_us(self, key: tuple[str, str], now_us: int) -> int:
        count = self._count(key, now_us)
        free = _OF_NAME if key[0] == "name" else FREE
        if count.tries < free:
            return 0
        wait_us = min(_MOST_US, _FIRST_US << min(count.tries - free, 16))
        return count.last_us + wait_us - now_us

    def _count(self, key: tuple[str, str], now_us: int) -> _Count:
        count = self._counts.setdefault(key, _Count())
        self._counts.move_to_end(key)
        if now_us - count.last_us > _FORGET_US:
            count.tries = 0
        if len(self._counts) > _PLACES:  # names are few, and forgotten by nobody's crowd
            del self._counts[next(each for each in self._counts if each[0] != "name")]
        return count


def _keys(name: str, place: str, browser: str) -> tuple[tuple[str, str], ...]:
    if browser:
        return (("browser", browser),)
    if place == HERE:  # by name: else who is right by one may guess at another for ever
        return ((place, name),)
    return (("place", place), ("name", name))
