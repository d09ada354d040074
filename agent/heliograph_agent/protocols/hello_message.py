"""Encode the parts of a TLS ClientHello (RFC 8446 section 4.1.2)."""

from collections.abc import Iterable

SERVER_NAME = 0
SUPPORTED_VERSIONS = 43
KEY_SHARE = 51
ECH = 0xFE0D
TLS12 = 0x0303
TLS13 = 0x0304
_CLIENT_HELLO = 1


def encode_message(body: bytes) -> bytes:
    """Encode the body of a hello as a handshake message."""
    return bytes((_CLIENT_HELLO,)) + encode_block(3, body)


def encode_record(handshake: bytes) -> bytes:
    """Encode the TLS record of the first message."""
    return b"\x16\x03\x01" + encode_block(2, handshake)


def encode_server_name(name: str) -> bytes:
    """Encode the content of a server_name extension (RFC 6066 section 3)."""
    return encode_block(2, b"\x00" + encode_block(2, name.encode("ascii")))


def encode_block(prefix: int, content: bytes) -> bytes:
    """Encode `content` after its length in `prefix` bytes."""
    return len(content).to_bytes(prefix, "big") + content


def encode_uint16(number: int) -> bytes:
    """Encode a number in two bytes."""
    return number.to_bytes(2, "big")


def encode_uint16_list(numbers: Iterable[int]) -> bytes:
    """Encode numbers in two bytes each, without a length."""
    return b"".join(encode_uint16(number) for number in numbers)
