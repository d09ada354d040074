"""Passwords of people: argon2id (RFC 9106), with the salt and the cost inside the kept text."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argon2 import PasswordHasher

# characters
MIN_LENGTH = 10
MAX_LENGTH = 1_024
# some 75 ms and 32 MiB a try: twice that much at once is bearable
_TIME_COST = 3
_MEMORY_KIB = 32_768


def hash_password(password: str) -> str:
    return _build_hasher().hash(password.encode("utf-8", "surrogateescape"))


def verify_password(stored_hash: str, password: str) -> bool:
    """False also for a `stored_hash` that is empty or not ours, after as long a time."""
    from argon2.exceptions import Argon2Error, InvalidHashError

    try:
        return _build_hasher().verify(
            stored_hash or dummy_hash(), password.encode("utf-8", "surrogateescape")
        )
    except (Argon2Error, InvalidHashError):
        return False


@cache
def dummy_hash() -> str:
    """What a password is held against when there is no such person."""
    import secrets

    return hash_password(secrets.token_hex(16))


@cache
def _build_hasher() -> "PasswordHasher":
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=_TIME_COST, memory_cost=_MEMORY_KIB, parallelism=1)
