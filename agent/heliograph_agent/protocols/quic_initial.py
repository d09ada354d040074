"""Encode and decode Initials of QUIC version 1 (RFC 9000, RFC 9001 section 5).

Everybody on the path can read them: their keys come from the connection id in their header.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from heliograph_agent.protocols import hpke
from heliograph_agent.protocols.ech_config import ByteParser
from heliograph_agent.protocols.hello_message import encode_block

VERSION = (1).to_bytes(4, "big")
TAG_BYTES = 16
FRAME_PADDING = 0x00
FRAME_PING = 0x01
FRAME_CRYPTO = 0x06
_SALT = bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a")  # RFC 9001 section 5.2
_LONG_INITIAL = 0xC0
_TYPE_MASK = 0xF0
_SAMPLE_BYTES = 16
_SAMPLE_AT = 4  # bytes after the beginning of the packet number
_MAX_CRYPTO = 65_536  # offset after which nothing is kept
_ACK_FRAMES = (0x02, 0x03)
_CLOSE_FRAMES = (0x1C, 0x1D)


@dataclass(frozen=True, slots=True)
class InitialKeys:
    """Hold the keys of one side (RFC 9001 section 5.1)."""

    key: bytes
    iv: bytes
    header_key: bytes

    def make_nonce(self, number: int) -> bytes:
        return (int.from_bytes(self.iv, "big") ^ number).to_bytes(len(self.iv), "big")

    def make_mask(self, packet: bytearray, number_at: int) -> bytes:
        """Make the mask of a header by a sample of the sealed bytes (section 5.4)."""
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        sample_at = number_at + _SAMPLE_AT
        # QUIC prescribes ECB, for this one block that is no message (section 5.4.3).
        cipher = Cipher(algorithms.AES(self.header_key), modes.ECB())  # noqa: S305
        return cipher.encryptor().update(packet[sample_at : sample_at + _SAMPLE_BYTES])[:5]


@dataclass(frozen=True, slots=True)
class InitialContent:
    """Hold a server's Initial: pieces of the handshake by offset, or an end."""

    pieces: Mapping[int, bytes]
    error: int | None  # of a CONNECTION_CLOSE


def derive_keys(destination_id: bytes, label: str) -> InitialKeys:
    """Derive the keys of a side; `label` is "client in" or "server in"."""
    secret = hpke.hkdf_expand_label(hpke.hkdf_extract(_SALT, destination_id), label, b"", 32)
    return InitialKeys(
        hpke.hkdf_expand_label(secret, "quic key", b"", 16),
        hpke.hkdf_expand_label(secret, "quic iv", b"", 12),
        hpke.hkdf_expand_label(secret, "quic hp", b"", 16),
    )


def encode_initial(
    destination_id: bytes, source_id: bytes, number: int, number_bytes: int, payload: bytes
) -> bytes:
    """Encode and protect a client's Initial without a token."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    keys = derive_keys(destination_id, "client in")
    size = number_bytes + len(payload) + TAG_BYTES
    header = (
        bytes((_LONG_INITIAL | number_bytes - 1,))
        + VERSION
        + encode_block(1, destination_id)
        + encode_block(1, source_id)
        + b"\x00"
        + (0x4000 | size).to_bytes(2, "big")
    )
    number_at = len(header)
    header += number.to_bytes(number_bytes, "big")
    sealed = AESGCM(keys.key).encrypt(keys.make_nonce(number), payload, header)
    packet = bytearray(header + sealed)
    mask = keys.make_mask(packet, number_at)
    packet[0] ^= mask[0] & 0x0F
    _mask_number(packet, number_at, number_bytes, mask)
    return bytes(packet)


def _mask_number(packet: bytearray, number_at: int, number_bytes: int, mask: bytes) -> None:
    for index in range(number_bytes):
        packet[number_at + index] ^= mask[1 + index]


def header_size(source_id_bytes: int, number_bytes: int) -> int:
    """Return the bytes of a client's Initial before its payload.

    Its destination id has 8 bytes.
    """
    return 1 + len(VERSION) + 1 + 8 + 1 + source_id_bytes + 1 + 2 + number_bytes


def decode_initial(datagram: bytes, keys: InitialKeys) -> InitialContent | None:
    """Decode the server's Initial at the beginning of a datagram.

    None for another packet, and for one that the keys do not open. Raises ValueError when it is
    cut or has frames that no Initial may have.
    """
    parser = ByteParser(datagram)
    if parser.take_number(1) & _TYPE_MASK != _LONG_INITIAL:
        return None
    if parser.take_bytes(4) != VERSION:
        return None
    parser.take_block(1)
    parser.take_block(1)
    parser.take_bytes(take_varint(parser))  # token
    size = take_varint(parser)
    number_at = len(datagram) - parser.remaining
    if size < _SAMPLE_AT + _SAMPLE_BYTES or size > parser.remaining:
        raise ValueError("a packet longer than its datagram")
    payload = _unprotect(bytearray(datagram[: number_at + size]), number_at, keys)
    return None if payload is None else _parse_frames(ByteParser(payload))


def _unprotect(packet: bytearray, number_at: int, keys: InitialKeys) -> bytes | None:
    """Decrypt a packet; None when it is not of this connection."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    mask = keys.make_mask(packet, number_at)
    packet[0] ^= mask[0] & 0x0F
    number_bytes = (packet[0] & 0x03) + 1
    _mask_number(packet, number_at, number_bytes, mask)
    end = number_at + number_bytes
    number = int.from_bytes(packet[number_at:end], "big")
    try:
        sealed = bytes(packet[end:])
        return AESGCM(keys.key).decrypt(keys.make_nonce(number), sealed, bytes(packet[:end]))
    except InvalidTag:
        return None


def _parse_frames(parser: ByteParser) -> InitialContent:
    """Parse the frames that an Initial may have (RFC 9000 section 17.2.2)."""
    pieces: dict[int, bytes] = {}
    error: int | None = None
    while parser.remaining and error is None:
        kind = take_varint(parser)
        if kind == FRAME_CRYPTO:
            offset = take_varint(parser)
            piece = parser.take_bytes(take_varint(parser))
            if offset < _MAX_CRYPTO:
                pieces[offset] = piece
        elif kind in _ACK_FRAMES:
            _skip_ack(parser, has_counts=kind == max(_ACK_FRAMES))
        elif kind in _CLOSE_FRAMES:
            error = take_varint(parser)
        elif kind not in (FRAME_PADDING, FRAME_PING):
            raise ValueError("a frame that no Initial has")
    return InitialContent(pieces, error)


def _skip_ack(parser: ByteParser, *, has_counts: bool) -> None:
    take_varint(parser)
    take_varint(parser)
    ranges = take_varint(parser)
    for _ in range(1 + 2 * min(ranges, parser.remaining)):
        take_varint(parser)
    if has_counts:
        for _ in range(3):
            take_varint(parser)


def take_varint(parser: ByteParser) -> int:
    """Take a number of variable length (RFC 9000 section 16). Raises ValueError."""
    first = parser.take_number(1)
    more_bytes = (1 << (first >> 6)) - 1
    return (first & 0x3F) << 8 * more_bytes | parser.take_number(more_bytes)


def encode_varint(number: int) -> bytes:
    """Encode a number in as few bytes as it needs."""
    for power in range(4):
        size = 1 << power
        if number < 1 << 8 * size - 2:
            return (power << 8 * size - 2 | number).to_bytes(size, "big")
    raise ValueError("a number above 2^62")


def encode_crypto(offset: int, piece: bytes) -> bytes:
    """Encode a CRYPTO frame (RFC 9000 section 19.6)."""
    return bytes((FRAME_CRYPTO,)) + encode_varint(offset) + encode_varint(len(piece)) + piece
