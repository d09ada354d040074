"""Cache results by a value's identity, if comparing it costs as much as the work.

A measurement of a messenger has two hundred steps, and its hash would read all of them.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

_Value = TypeVar("_Value")
_Result = TypeVar("_Result")


class IdentityCache(Generic[_Value, _Result]):
    """A function of one value that computes the result of the very same value once.

    An entry holds its value, so that no other object can get the same address while it stands. The
    results of the last `size` / 2 values stand, and `size` at most: then all but the later half
    go at once. `functools.lru_cache` would call the hash and the comparison of a key at each
    question.

    Example:
        @keep_by_identity(1_024)
        def count_steps(measurement: Measurement) -> int: ...
    """

    __slots__ = ("_compute", "_earlier", "_entries", "_half")

    def __init__(self, compute: Callable[[_Value], _Result], size: int) -> None:
        self._compute = compute
        self._entries: dict[int, tuple[_Value, _Result]] = {}
        self._earlier: dict[int, tuple[_Value, _Result]] = {}  # all from before `_entries`
        self._half = max(1, size // 2)

    def __call__(self, value: _Value) -> _Result:
        key = id(value)
        entry = self._entries.get(key) or self._earlier.get(key)
        if entry is not None and entry[0] is value:
            return entry[1]
        result = self._compute(value)
        if len(self._entries) >= self._half:
            self._begin_half()
        self._entries[key] = (value, result)
        return result

    def compute(self, value: _Value) -> _Result:
        """Compute the result, and keep neither it nor the value."""
        return self._compute(value)

    def keep(self, value: _Value, result: _Result) -> None:
        """Keep the result of a value that was computed elsewhere."""
        if len(self._entries) >= self._half:
            self._begin_half()
        self._entries[id(value)] = (value, result)

    def _begin_half(self) -> None:
        self._earlier = self._entries
        self._entries = {}


def keep_by_identity(
    size: int,
) -> Callable[[Callable[[_Value], _Result]], IdentityCache[_Value, _Result]]:
    """Decorate a function whose results are kept, `size` of them at most."""
    return lambda compute: IdentityCache(compute, size)
