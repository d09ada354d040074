"""Results kept by the identity of a value, where comparing its content costs as much as the work.

A measurement of a messenger has two hundred steps, and its hash would read all of them.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

_Value = TypeVar("_Value")
_Result = TypeVar("_Result")


class IdentityCache(Generic[_Value, _Result]):
    """A function of one value that computes the result of the very same value once.

    An entry holds its value, so that no other object can get the same address while it stands. A
    full cache begins again, and computes once more what is still asked for; `functools.lru_cache`
    would call the hash and the comparison of a key at each question.

    Example:
        @keep_by_identity(1_024)
        def count_steps(measurement: Measurement) -> int: ...
    """

    __slots__ = ("_compute", "_entries", "_size")

    def __init__(self, compute: Callable[[_Value], _Result], size: int) -> None:
        self._compute = compute
        self._entries: dict[int, tuple[_Value, _Result]] = {}
        self._size = size

    def __call__(self, value: _Value) -> _Result:
        entry = self._entries.get(id(value))
        if entry is not None and entry[0] is value:
            return entry[1]
        result = self._compute(value)
        if len(self._entries) >= self._size:
            self._entries.clear()
        self._entries[id(value)] = (value, result)
        return result


def keep_by_identity(
    size: int,
) -> Callable[[Callable[[_Value], _Result]], IdentityCache[_Value, _Result]]:
    """Decorate a function whose results are kept, `size` of them at most."""
    return lambda compute: IdentityCache(compute, size)
