"""Compress bytes into one zstd frame, and decompress a frame that a stranger sent.

Python has the library since 3.14; before, `backports.zstd` is a copy of it.
"""

import sys

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = [
    "ZstdError",
    "ZstdFrameError",
    "ZstdFrameSizeError",
    "begin_frame",
    "compress_frame",
    "decompress_frame",
]

ZstdError = zstd.ZstdError
# 8 MiB, which RFC 8878 (section 3.1.1.1.2) recommends that every decoder supports, and beyond which
# RFC 9659 lets no content coding go.
_OPTIONS: dict[int, int] = {zstd.DecompressionParameter.window_log_max: 23}


class ZstdFrameError(ValueError):
    """Report bytes that are not exactly one frame."""


class ZstdFrameSizeError(ZstdFrameError):
    """Report a frame that declares too many bytes, or no size."""


def compress_frame(raw: bytes, level: int = 3) -> bytes:
    """Compress into a frame that declares the size of `raw`."""
    return zstd.compress(raw, level)


def decompress_frame(frame: bytes, max_bytes: int) -> bytes:
    """Decompress exactly one frame. Raises ZstdFrameError.

    The declared size is checked before any byte is decompressed, and again as bytes come.
    """
    try:
        size = _read_declared_size(frame)
        if size is None or size > max_bytes:
            raise ZstdFrameSizeError(f"declares {size} bytes")
        decompressor = begin_frame()
        raw = decompressor.decompress(frame, max_length=size + 1)
    except zstd.ZstdError as error:
        raise ZstdFrameError("is no frame") from error
    if len(raw) != size or not decompressor.eof or decompressor.unused_data:
        raise ZstdFrameError("is not exactly one frame")
    return raw


def begin_frame() -> "zstd.ZstdDecompressor":
    """Return a decompressor of one frame, whose window is bounded."""
    return zstd.ZstdDecompressor(options=_OPTIONS)


def _read_declared_size(frame: bytes) -> int | None:
    return zstd.get_frame_info(frame).decompressed_size
