"""Decode a body's content coding (RFC 9110 section 8.4.1), bounded, as it arrives.

A browser asks for compressed pages, so the agent does too. The decoded body is compared with the
control's page; `BodyContent` also counts the bytes that came.

>>> content = BodyContent("gzip", limit=1_000, keep_bytes=100)
>>> content.add(gzip.compress(b"a page"))
>>> bytes(content.body)
b'a page'
"""

import hashlib
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Protocol

from heliograph.zstd_frame import ZstdError, begin_frame

_ZLIB_OR_GZIP = 32 + zlib.MAX_WBITS  # zlib: the header tells which
_RAW = -zlib.MAX_WBITS
_ZLIB_HEADER = 2  # bytes
_MAX_FRAMES = 64  # of zstd in one body; assumed, a server that flushes often sends a few


class ContentCodingError(ValueError):
    """Report a body that is not in the coding that its header names."""


class ContentDecoder(Protocol):
    """Decode the next bytes of a body."""

    def decode(self, data: bytes, max_bytes: int) -> bytes:
        """Return about `max_bytes` bytes at most; then nothing is decoded any more.

        Raises ContentCodingError.
        """
        ...


class BodyContent:
    """Count, decode and hash the beginning of a body."""

    def __init__(self, coding: str, limit: int, keep_bytes: int) -> None:
        """Begin with nothing; `limit` bounds what is read, `keep_bytes` what is kept."""
        self._decoder = make_decoder(coding)
        self._limit = limit
        self._keep_bytes = keep_bytes
        self._digest = hashlib.sha256()
        self._size = 0
        self._coded_size = 0
        self.is_broken = False  # no such coding from here on
        self.body = bytearray()

    @property
    def is_over(self) -> bool:
        """Tell whether more came than the limit, decoded or as it came."""
        return max(self._size, self._coded_size) > self._limit

    @property
    def size(self) -> int:
        """Return the decoded bytes up to the limit."""
        return min(self._size, self._limit)

    @property
    def received(self) -> int:
        """Return the bytes up to the limit as they came."""
        return min(self._coded_size, self._limit)

    @property
    def coded_size(self) -> int:
        """Return the bytes as they came; 0 without a coding."""
        return 0 if self._decoder is None else self.received

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def add(self, data: bytes) -> None:
        """Add the next bytes of the body as they came."""
        room = self._limit - self._size
        self._coded_size += len(data)
        if room < 0 or self.is_broken:
            return
        if self._decoder is not None:
            try:
                data = self._decoder.decode(data, room + 1)
            except ContentCodingError:
                self.is_broken = True
                return
        self._size += len(data)
        counted = data[:room]
        self._digest.update(counted)
        self.body += counted[: max(0, self._keep_bytes - len(self.body))]


def make_decoder(coding: str) -> ContentDecoder | None:
    """Make the decoder of a Content-Encoding; None where the body is taken as it is."""
    make = _DECODERS.get(coding.strip().lower())
    return make() if make is not None else None


@lru_cache(maxsize=64)
def select_supported(offer: str) -> str:
    """Remove unsupported codings from an Accept-Encoding, which a signed list renews."""
    codings = [coding.strip() for coding in offer.split(",")]
    return ", ".join(coding for coding in codings if coding.lower() in _DECODERS)


class _Inflater:
    """Decode gzip, zlib, and raw deflate, as some servers send it."""

    def __init__(self) -> None:
        self._start: bytes | None = b""
        self._inflater = zlib.decompressobj(_ZLIB_OR_GZIP)

    def decode(self, data: bytes, max_bytes: int) -> bytes:
        if self._start is not None:
            data = self._start + data
            if len(data) < _ZLIB_HEADER:
                self._start = data
                return b""
            self._start = None
            if not _has_header(data):
                self._inflater = zlib.decompressobj(_RAW)
        if self._inflater.eof:
            return b""  # what follows is no part of the page
        try:
            return self._inflater.decompress(data, max_bytes)
        except zlib.error as error:
            raise ContentCodingError from error


def _has_header(data: bytes) -> bool:
    """Tell whether data begins as gzip (RFC 1952) or zlib (RFC 1950 section 2.2)."""
    is_zlib = data[0] & 0x0F == zlib.DEFLATED and int.from_bytes(data[:2], "big") % 31 == 0
    return is_zlib or data.startswith(b"\x1f\x8b")


class _BrotliDecoder:
    """Decode brotli (RFC 7932)."""

    def __init__(self) -> None:
        import brotli

        self._error = brotli.error
        self._decompressor = brotli.Decompressor()

    def decode(self, data: bytes, max_bytes: int) -> bytes:
        if self._decompressor.is_finished():
            return b""
        decoded = bytearray()
        try:
            decoded += self._decompressor.process(data, output_buffer_limit=max_bytes)
            while len(decoded) < max_bytes and not self._decompressor.can_accept_more_data():
                decoded += self._decompressor.process(b"", output_buffer_limit=max_bytes)
        except self._error as error:
            raise ContentCodingError from error
        return bytes(decoded)


class _ZstdDecoder:
    """Decode zstd frames (RFC 8878)."""

    def __init__(self) -> None:
        self._frames = 1
        self._decompressor = begin_frame()

    def decode(self, data: bytes, max_bytes: int) -> bytes:
        decoded = bytearray()
        while data and len(decoded) < max_bytes:
            if self._decompressor.eof:
                self._begin_next()
            try:
                decoded += self._decompressor.decompress(data, max_bytes - len(decoded))
            except ZstdError as error:
                raise ContentCodingError from error
            data = self._decompressor.unused_data if self._decompressor.eof else b""
        return bytes(decoded)

    def _begin_next(self) -> None:
        self._frames += 1
        if self._frames > _MAX_FRAMES:
            raise ContentCodingError
        self._decompressor = begin_frame()


_DECODERS: Mapping[str, Callable[[], ContentDecoder]] = {
    "gzip": _Inflater,
    "x-gzip": _Inflater,
    "deflate": _Inflater,
    "br": _BrotliDecoder,
    "zstd": _ZstdDecoder,
}
