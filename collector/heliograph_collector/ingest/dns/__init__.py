"""The door for last words by DNS: answers for its zone alone, and hardly more than it was asked."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

Take: TypeAlias = Callable[[bytes], Awaitable[str]]
"""Sealed bytes → the IPv6 address that proves them taken in, "" where they say nothing to us."""

__all__ = ["Take"]
