"""Describe a ClientHello as filters see it: JA4, size, segments, name's position.

JA4 is FoxIO's fingerprint of a client (github.com/FoxIO-LLC/ja4, technical_details/JA4.md). It
ignores GREASE and the order of suites and extensions, so that it names the program.

>>> describe_hello(record, segment_bytes=1_460).ja4
't13d1516h2_8daaf6152771_e5627efa2ab1'
"""

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypedDict

from heliograph.observation import Tls

SERVER_NAME = 0x0000
_ALPN = 0x0010
_SIGNATURES = 0x000D
_VERSIONS = 0x002B
_BEFORE_RANDOM = 9  # record header (5) and message header (4)
_VERSION_NAMES = {0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3"}
_MOST = 99  # two digits
_EMPTY = "000000000000"
_EXTENSION = struct.Struct(">HH")  # number and size
_REMEMBERED = 64  # JA4s, and lists of numbers


@dataclass(frozen=True, slots=True)
class HelloShape:
    """Hold what a hello looks like on the wire."""

    ja4: str
    bytes: int  # of the record
    segments: int
    name_segment: int  # in which the server name ends, from 1; 0 without a name


class ShapeFacts(TypedDict, total=False):
    """Hold the fields of `Tls` that describe a hello."""

    ja4: str
    hello_bytes: int
    hello_segments: int
    name_segment: int


def add_shape(facts: Tls, record: bytes, segment_bytes: int, *, transport: str = "t") -> Tls:
    """Add to the facts of a handshake what its hello looked like."""
    return replace(facts, **shape_facts(record, segment_bytes, transport=transport))


def shape_facts(record: bytes, segment_bytes: int, *, transport: str = "t") -> ShapeFacts:
    """Say what a hello looked like; nothing of one that cannot be parsed."""
    shape = describe_hello(record, segment_bytes, transport=transport)
    if shape is None:
        return {}
    return {
        "ja4": shape.ja4,
        "hello_bytes": shape.bytes,
        "hello_segments": shape.segments,
        "name_segment": shape.name_segment,
    }


@dataclass(frozen=True, slots=True)
class ParsedHello:
    """Hold the parts of a ClientHello that JA4 uses; numbers without GREASE."""

    legacy_version: int
    suites: tuple[int, ...]
    extensions: dict[int, bytes]
    name_end: int  # offset in the record after the server name; 0 without one


def describe_hello(record: bytes, segment_bytes: int, *, transport: str = "t") -> HelloShape | None:
    """Describe a record that begins with a ClientHello; None when it cannot be parsed."""
    try:
        hello = parse_hello(record)
    except (IndexError, ValueError):
        return None
    return HelloShape(
        ja4=compute_ja4(hello, transport),
        bytes=len(record),
        segments=-(-len(record) // segment_bytes),
        name_segment=-(-hello.name_end // segment_bytes),
    )


def parse_hello(record: bytes) -> ParsedHello:
    """Parse a ClientHello in its record. Raises IndexError or ValueError."""
    if record[0] != 0x16 or record[5] != 0x01:  # handshake, client_hello
        raise ValueError("no ClientHello")
    offset = _BEFORE_RANDOM + 2 + 32
    offset += 1 + record[offset]  # session id
    suites_end = offset + 2 + _read_uint16(record, offset)
    suites = read_numbers(record[offset + 2 : suites_end])
    offset = suites_end + 1 + record[suites_end]  # compression methods
    offset += 2
    extensions: dict[int, bytes] = {}
    name_end = 0
    while offset + 4 <= len(record):
        number, size = _EXTENSION.unpack_from(record, offset)
        end = offset + 4 + size
        if not _is_grease(number):
            extensions[number] = record[offset + 4 : end]
        name_end = end if number == SERVER_NAME else name_end
        offset = end
    return ParsedHello(_read_uint16(record, _BEFORE_RANDOM), suites, extensions, name_end)


def compute_ja4(hello: ParsedHello, transport: str) -> str:
    """Compute JA4; `transport` is t for TCP, q for QUIC."""
    extensions = hello.extensions
    return _format_ja4(
        transport,
        hello.legacy_version,
        hello.suites,
        tuple(extensions),
        extensions.get(_VERSIONS, b""),
        extensions.get(_SIGNATURES, b""),
        extensions.get(_ALPN, b""),
    )


@lru_cache(maxsize=_REMEMBERED)  # a program's hellos differ in what JA4 ignores
def _format_ja4(
    transport: str,
    legacy_version: int,
    suites: tuple[int, ...],
    extensions: tuple[int, ...],
    versions: bytes,
    signatures: bytes,
    alpn: bytes,
) -> str:
    version = max(read_numbers(versions[1:]), default=legacy_version)
    destination = "d" if SERVER_NAME in extensions else "i"
    counts = f"{min(len(suites), _MOST):02}{min(len(extensions), _MOST):02}"
    start = f"{transport}{_VERSION_NAMES.get(version, '00')}{destination}{counts}"
    numbers = _join(sorted(set(extensions) - {SERVER_NAME, _ALPN}))
    signed = _join(read_numbers(signatures[2:]))
    suites_hash = _hash(_join(sorted(suites)))
    extensions_hash = _hash(f"{numbers}_{signed}" if signed else numbers)
    return f"{start}{_summarize_alpn(alpn)}_{suites_hash}_{extensions_hash}"


def _summarize_alpn(extension: bytes) -> str:
    """Return the first protocol's first and last character, of its hex if not text."""
    first = extension[3 : 3 + extension[2]] if len(extension) > 2 else b""
    if not first:
        return "00"
    protocol = first.decode("latin-1")
    is_text = all(
        character.isascii() and character.isalnum() for character in protocol[0] + protocol[-1]
    )
    protocol = protocol if is_text else first.hex()
    return protocol[0] + protocol[-1]


def _hash(joined: str) -> str:
    return hashlib.sha256(joined.encode()).hexdigest()[:12] if joined else _EMPTY


def _join(numbers: Iterable[int]) -> str:
    return ",".join(f"{number:04x}" for number in numbers)


def _is_grease(number: int) -> bool:
    """Tell whether a number is one of 0x0a0a, 0x1a1a … 0xfafa (RFC 8701)."""
    return number & 0x0F0F == 0x0A0A and number >> 8 == number & 0xFF


def _read_uint16(data: bytes, offset: int) -> int:
    return data[offset] << 8 | data[offset + 1]


@lru_cache(maxsize=_REMEMBERED)
def read_numbers(data: bytes) -> tuple[int, ...]:
    """Read numbers of two bytes each, without GREASE."""
    numbers = struct.unpack_from(f">{len(data) // 2}H", data)
    return tuple(number for number in numbers if not _is_grease(number))
