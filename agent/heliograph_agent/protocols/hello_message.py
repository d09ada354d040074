"""Build a TLS 1.3 ClientHello as common browsers do (RFC 8446 section 4.1.2)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SERVER_NAME = 0
SUPPORTED_VERSIONS = 43
KEY_SHARE = 51
ECH = 0xFE0D
TLS12 = 0x0303
TLS13 = 0x0304
_X25519 = 0x001D
_GROUPS = (_X25519, 0x0017, 0x0018)
_SUITES_13 = (0x1301, 0x1302, 0x1303)
_SUITES_12 = (
    0xC02B, 0xC02F, 0xC02C, 0xC030, 0xCCA9, 0xCCA8, 0xC013, 0xC014, 0x009C, 0x009D, 0x002F, 0x0035,
)  # fmt: skip
_SIGNATURES = (0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601)
_CLIENT_HELLO = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsHello:
    """Describe one hello; `grease` is four random bytes that choose GREASE (RFC 8701)."""

    random: bytes
    session_id: bytes
    share: bytes  # X25519 public key
    server_name: str
    alpn: Sequence[str]
    grease: bytes
    is_inner: bool = False  # an inner hello offers only TLS 1.3

    def encode_body(self, ech: bytes | None, *, session_id: bytes | None = None) -> bytes:
        """Encode the hello without message header; `ech` None omits the extension."""
        suites = _SUITES_13 if self.is_inner else (*_SUITES_13, *_SUITES_12)
        extensions = b"".join(
            encode_uint16(number) + encode_block(2, content)
            for number, content in self._extensions(ech)
        )
        return b"".join(
            (
                encode_uint16(TLS12),
                self.random,
                encode_block(1, self.session_id if session_id is None else session_id),
                encode_block(2, encode_uint16_list((self._grease_value(0), *suites))),
                encode_block(1, b"\x00"),
                encode_block(2, extensions),
            )
        )

    def _grease_value(self, index: int) -> int:
        """Return one of 0x0a0a, 0x1a1a … 0xfafa."""
        return 0x0A0A + 0x1010 * (self.grease[index] & 0x0F)

    def _extensions(self, ech: bytes | None) -> Iterable[tuple[int, bytes]]:
        first = self._grease_value(2)
        last = self._grease_value(3)
        yield first, b""
        if self.server_name:
            yield (
                SERVER_NAME,
                encode_block(2, b"\x00" + encode_block(2, self.server_name.encode("ascii"))),
            )
        if not self.is_inner:
            yield 23, b""  # extended_master_secret
            yield 0xFF01, b"\x00"  # renegotiation_info
            yield 11, b"\x01\x00"  # ec_point_formats
            yield 35, b""  # session_ticket
        yield 10, encode_block(2, encode_uint16_list((self._grease_value(1), *_GROUPS)))
        yield 16, encode_block(2, b"".join(encode_block(1, p.encode("ascii")) for p in self.alpn))
        yield 5, b"\x01\x00\x00\x00\x00"  # status_request
        yield 13, encode_block(2, encode_uint16_list(_SIGNATURES))
        yield 18, b""  # signed_certificate_timestamp
        shares = (
            encode_uint16(self._grease_value(1))
            + encode_block(2, b"\x00")
            + encode_uint16(_X25519)
            + encode_block(2, self.share)
        )
        yield KEY_SHARE, encode_block(2, shares)
        yield 45, b"\x01\x01"  # psk_key_exchange_modes
        versions = (TLS13,) if self.is_inner else (TLS13, TLS12)
        yield (
            SUPPORTED_VERSIONS,
            encode_block(1, encode_uint16_list((self._grease_value(2), *versions))),
        )
        yield 27, b"\x02\x00\x02"  # compress_certificate: brotli
        if ech is not None:
            yield ECH, ech
        # The same GREASE extension must not occur twice.
        yield (last if last != first else 0x0A0A + (last - 0x0A0A + 0x1010) % 0x10100), b"\x00"


def encode_message(body: bytes) -> bytes:
    """Encode the body of a hello as a handshake message."""
    return bytes((_CLIENT_HELLO,)) + encode_block(3, body)


def encode_record(handshake: bytes) -> bytes:
    """Encode the TLS record of the first message."""
    return b"\x16\x03\x01" + encode_block(2, handshake)


def encode_block(prefix: int, content: bytes) -> bytes:
    """Encode `content` after its length in `prefix` bytes."""
    return len(content).to_bytes(prefix, "big") + content


def encode_uint16(number: int) -> bytes:
    """Encode a number in two bytes."""
    return number.to_bytes(2, "big")


def encode_uint16_list(numbers: Iterable[int]) -> bytes:
    """Encode numbers in two bytes each, without a length."""
    return b"".join(encode_uint16(number) for number in numbers)
