"""Passwords of people: argon2id (RFC 9106), with the salt and the cost inside the kept text."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argon2 import PasswordHasher

LEAST, MOST = 10, 1_024  # characters
_TIMES, _MEMORY_KIB = 3, 32_768  # some 75 ms and 32 MiB a try: twice that much at once is bearable


def hash_password(password: str) -> str:
    return _hasher().hash(password.encode("utf-8", "surrogateescape"))


def matches(kept: str, password: str) -> bool:
    """False also for a `kept` that is empty or not ours, after as long a time."""
    from argon2.exceptions import Argon2Error, InvalidHashError

    try:
        return _hasher().verify(kept or nobodys(), password.encode("utf-8", "surrogateescape"))
    except (Argon2Error, InvalidHashError):
        return False


@cache
def nobodys() -> str:
    """What a password is held against when there is no such person."""
    import secrets

    return hash_password(secrets.token_hex(16))


@cache
def _hasher() -> "PasswordHasher":
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=_TIMES, memory_cost=_MEMORY_KIB, parallelism=1)
