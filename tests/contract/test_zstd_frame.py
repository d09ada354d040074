"""Frames: hostile ones are refused, and those of earlier versions are read."""

import pytest

from heliograph.zstd_frame import (
    ZstdFrameError,
    ZstdFrameSizeError,
    compress_frame,
    decompress_frame,
)
from support.zstd_library import zstd

RAW = b"measurement " * 1_000
EARLIER = "28b52ffd60b0039d0000606d6561737572656d656e74200100a1fc2f49"  # by zstandard 0.25, level 9


@pytest.mark.parametrize("level", [3, 9, 19])
def test_frame_declares_its_size_and_comes_back(level: int) -> None:
    frame = compress_frame(RAW, level)
    assert zstd.get_frame_info(frame).decompressed_size == len(RAW)
    assert decompress_frame(frame, len(RAW)) == RAW
    with pytest.raises(ZstdFrameSizeError):
        decompress_frame(frame, len(RAW) - 1)


def test_frame_of_an_earlier_version_is_read() -> None:
    assert decompress_frame(bytes.fromhex(EARLIER), 2_000) == b"measurement " * 100


@pytest.mark.parametrize(
    "hostile",
    [
        b"",
        b"no frame",
        compress_frame(RAW)[:-1],
        compress_frame(RAW) + b"more",
        compress_frame(RAW) * 2,
    ],
)
def test_anything_but_one_frame_is_refused(hostile: bytes) -> None:
    with pytest.raises(ZstdFrameError):
        decompress_frame(hostile, 1_000_000)
