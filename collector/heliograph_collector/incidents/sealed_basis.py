"""Seal an entry's operator part: journal rows and exact times that reproduce it.

Row numbers reveal how many rows came between two entries, and microseconds when an agent's last
message came. So a line of format 2 holds them encrypted (AES-SIV, RFC 5297, which needs no nonce)
with a key that is derived from the log's own: under the same signature and in the same chain, for
readers who have DATA. Lines of format 1 remain as they were signed.
"""

import base64

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import replace

from heliograph.keys import LOG_BASIS, SigningKey
from heliograph.timestamps import format_timestamp, parse_timestamp
from heliograph.units import SECOND_US
from heliograph_collector.incidents.published.incident import EvidenceRows, EvidenceWindow
from heliograph_collector.incidents.published.log import DetectorBody

_PAD = 256  # bytes; sizes are powers of two from here on, to hide how many rows were late; assumed


class SealedBasisError(ValueError):
    """The basis of an entry cannot be opened with this key."""


class _Basis(Struct, frozen=True):
    rows: EvidenceRows
    window: EvidenceWindow
    at: str


def seal_basis(body: DetectorBody, key: SigningKey) -> DetectorBody:
    """Return a body with its rows sealed and its times widened to seconds."""
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

    if body.rows is UNSET:
        return body  # sealed already
    content = msgspec.json.encode(_Basis(body.rows, body.window, body.at))
    size = max(_PAD, 1 << (len(content) - 1).bit_length())
    sealed = AESSIV(key.derive_secret(LOG_BASIS)).encrypt(content.ljust(size), None)
    return replace(
        body,
        rows=UNSET,
        window=EvidenceWindow(
            since=_round_second(body.window.since, 0),
            until=_round_second(body.window.until, SECOND_US - 1),
        ),
        at=_round_second(body.at, 0),
        sealed=base64.b64encode(sealed).decode(),
    )


def open_basis(body: DetectorBody, key: SigningKey) -> DetectorBody:
    """Return a body with its rows and exact times. Raises SealedBasisError."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

    if body.sealed is UNSET:
        return body
    try:
        sealed = base64.b64decode(body.sealed, validate=True)
        content = AESSIV(key.derive_secret(LOG_BASIS)).decrypt(sealed, None)
        basis = msgspec.json.decode(content, type=_Basis)
    except (InvalidTag, ValueError) as error:  # msgspec's and binascii's are ValueErrors too
        raise SealedBasisError("The basis of the entry is sealed to another key.") from error
    return replace(body, rows=basis.rows, window=basis.window, at=basis.at, sealed=UNSET)


def _round_second(timestamp: str, upward_us: int) -> str:
    second_us = (parse_timestamp(timestamp) + upward_us) // SECOND_US * SECOND_US
    return format_timestamp(second_us)
