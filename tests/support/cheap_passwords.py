"""Password hashes of no cost, where the cost is not the subject."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from heliograph_collector.fleet import passwords


@contextmanager
def cheap_passwords() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_MEMORY_KIB", 64)
        patch.setattr(passwords, "_TIME_COST", 1)
        _forget()
        yield
    _forget()


def _forget() -> None:
    passwords._build_hasher.cache_clear()
    passwords.dummy_hash.cache_clear()
