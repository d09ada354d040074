"""What collectors keep on servers opens under its own name and purpose alone."""

import pytest

from heliograph_collector.fleet.server_seal import UnsealError, seal, unseal

SECRET = b"s" * 32


def test_a_value_opens_where_it_belongs() -> None:
    sealed = seal(SECRET, b"operators", b"content", b"dana")
    assert b"content" not in sealed
    assert unseal(SECRET, b"operators", sealed, b"dana") == b"content"
    assert seal(SECRET, b"operators", b"content", b"dana") != sealed, "each has a nonce"


@pytest.mark.parametrize(
    ("secret", "purpose", "name"),
    [
        (SECRET, b"operators", b"aliya"),  # a server hands out the value of somebody else
        (SECRET, b"operators", b""),
        (SECRET, b"trail", b"dana"),
        (b"t" * 32, b"operators", b"dana"),
    ],
)
def test_a_value_in_another_place_does_not_open(secret: bytes, purpose: bytes, name: bytes) -> None:
    sealed = seal(SECRET, b"operators", b"content", b"dana")
    with pytest.raises(UnsealError):
        unseal(secret, purpose, sealed, name)


@pytest.mark.parametrize("damaged", [b"", b"short", bytes(64)])
def test_a_damaged_value_does_not_open(damaged: bytes) -> None:
    with pytest.raises(UnsealError):
        unseal(SECRET, b"operators", damaged)
