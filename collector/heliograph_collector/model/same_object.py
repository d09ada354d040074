"""Key of a cache by the identity of a value, where comparing its content costs as much as the work.

A measurement of a messenger has two hundred steps, and its hash would read all of them. The key
holds its value, so that no other object can get the same address while a cache has it.
"""

from typing import Generic, TypeVar

_Value = TypeVar("_Value")


class SameObject(Generic[_Value]):
    """A value that equals itself alone; for `functools.lru_cache`, whose size bounds what it holds.

    Example:
        @lru_cache(1_024)
        def count_steps(kept: SameObject[Measurement]) -> int: ...
    """

    __slots__ = ("value",)

    def __init__(self, value: _Value) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SameObject) and self.value is other.value
