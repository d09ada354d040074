"""Frames that carry messages between `serve` and its processes.

A frame is its length in four bytes, big-endian, and a message as MessagePack.
"""

import msgspec

MAX_FRAME = 268_435_456  # bytes; a block of ten thousand measurements takes about 100 MB
HEADER_BYTES = 4

_ENCODER = msgspec.msgpack.Encoder()


class FrameError(Exception):
    """The other side of the stream sent bytes that are no frame of ours."""


def encode_frame(message: msgspec.Struct | msgspec.Raw) -> bytes:
    """Encode a message, or one that is encoded, with its length. Raises FrameError."""
    body = _ENCODER.encode(message)
    if len(body) > MAX_FRAME:
        raise FrameError(f"a message of {len(body)} bytes is over {MAX_FRAME}")
    return len(body).to_bytes(HEADER_BYTES, "big") + body


def decode_length(header: bytes) -> int:
    """Decode the length of a message. Raises FrameError."""
    length = int.from_bytes(header, "big")
    if length > MAX_FRAME:
        raise FrameError(f"a message of {length} bytes is over {MAX_FRAME}")
    return length
