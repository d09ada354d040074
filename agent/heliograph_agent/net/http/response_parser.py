"""An HTTP/1.1 reply from its bytes (RFC 9112): the head, then how long the body is.

As lenient as a browser, because what it shows to people is what is asked about: a header line that
is none is passed over, a bare LF ends a line. Pure: bytes in, facts out, no waiting.
"""

import re
from dataclasses import dataclass

MAX_HEAD = 65_536
_MAX_LINE = 1_024  # between two chunks, and of a trailer
_STATUS = re.compile(rb"HTTP/(\d\.\d) ([1-9]\d\d)(?: .*)?")
_BLANK = re.compile(rb"\n\r?\n")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")
_DIGITS = re.compile(r"[0-9]{1,18}")


class NotHttpError(ValueError):
    """These bytes are no HTTP reply."""


@dataclass(frozen=True, slots=True)
class Head:
    """The status line and the headers, names in lower case, in the order they came."""

    version: str
    status: int
    fields: tuple[tuple[str, str], ...]

    def first(self, name: str) -> str:
        """Of a repeated header the first one counts; "" when there is none."""
        for each, value in self.fields:
            if each == name:
                return value
        return ""

    def every(self, name: str) -> list[str]:
        return [value for each, value in self.fields if each == name]


def take_head(received: bytearray) -> Head | None:
    """Cut one head off the front; None when more bytes are needed. Raises NotHttpError."""
    if not received.startswith(b"HTTP/") and not b"HTTP/".startswith(received[:5]):
        raise NotHttpError
    end = received.find(b"\r\n\r\n")
    if end >= 0 and received.find(b"\n\n", 0, end) < 0:
        head, rest = bytes(received[:end]), end + 4
    else:
        blank = _BLANK.search(received)
        if blank is None:
            if len(received) > MAX_HEAD:
                raise NotHttpError
            return None
        head, rest = bytes(received[: blank.start()]), blank.end()
    del received[:rest]
    return _head(head)


def _head(data: bytes) -> Head:
    if len(data) > MAX_HEAD:
        raise NotHttpError
    first, *lines = data.split(b"\n")
    status = _STATUS.fullmatch(first.rstrip(b"\r"))
    if status is None:
        raise NotHttpError
    fields: list[tuple[str, str]] = []
    for line in lines:
        if line[:1] in (b" ", b"\t") and fields:  # a folded line goes on with the value above
            name, above = fields[-1]
            fields[-1] = (name, f"{above} {line.decode('latin-1').strip()}")
            continue
        raw, colon, value = line.partition(b":")
        if colon and _NAME.fullmatch(raw):
            fields.append((raw.lower().decode("ascii"), value.decode("latin-1").strip()))
    return Head(status[1].decode("ascii"), int(status[2]), tuple(fields))


class Body:
    """Takes the framing off a body (RFC 9112 section 6.3). `done` when its end has been seen,
    `broken` when a chunk was none."""

    def __init__(self, head: Head, method: str) -> None:
        """Raises NotHttpError when the reply contradicts itself on its length."""
        self.done = False
        self.broken = False
        self._buffer = bytearray()  # a chunk's size line that has not come whole
        self._after_chunk = False
        self._trailers = False
        self._chunked = False
        self._left: int | None = None  # of the body or of the chunk; None: to the end of all
        if method == "HEAD" or head.status < 200 or head.status in (204, 304):
            self._left = 0
        elif codings := head.every("transfer-encoding"):
            self._chunked = codings[-1].rpartition(",")[2].strip().lower() == "chunked"
            self._left = 0 if self._chunked else None
        else:
            self._left = _length(head.every("content-length"))
        self.done = self._left == 0 and not self._chunked

    def feed(self, data: bytes) -> bytes:
        """What of `data` is body."""
        if self.done:
            return b""
        if self._chunked:
            return self._chunks(data)
        if self._left is None:
            return data
        data = data[: self._left]
        self._left -= len(data)
        self.done = not self._left
        return data

    def end(self) -> bool:
        """The connection has ended; whether the body is whole."""
        self.done = self.done or (self._left is None and not self._chunked)
        return self.done

    def _chunks(self, data: bytes) -> bytes:
        found = bytearray()
        self._buffer += data
        while self._buffer and not (self.done or self.broken):
            if self._left:
                part = self._buffer[: self._left]
                del self._buffer[: len(part)]
                found += part
                self._left -= len(part)
            elif not self._next_size():
                break
        return bytes(found)

    def _next_size(self) -> bool:
        """Take the line between two chunks; False when it has not come whole."""
        if self._trailers:
            return self._next_trailer()
        if self._after_chunk:
            if not self._buffer.startswith((b"\r\n", b"\n")):
                return self._incomplete(b"\r\n".startswith(self._buffer))
            del self._buffer[: self._buffer.index(b"\n") + 1]
            self._after_chunk = False
        line = _CHUNK.match(self._buffer)
        if line is None:
            return self._incomplete(b"\n" not in self._buffer)
        self._left = int(line[1], 16)
        self._trailers = not self._left
        self._after_chunk = True
        del self._buffer[: line.end()]
        return True

    def _next_trailer(self) -> bool:
        line, end, _ = self._buffer.partition(b"\n")
        if not end:
            return self._incomplete(possible=True)
        del self._buffer[: len(line) + 1]
        self.done = not line.rstrip(b"\r")
        return True

    def _incomplete(self, possible: bool) -> bool:
        """More bytes are needed to make a line of what is there, if any could."""
        self.broken = not possible or len(self._buffer) > _MAX_LINE
        return False


def _length(announced: list[str]) -> int | None:
    """None when the body goes on to the end of the connection. Raises NotHttpError."""
    if not announced:
        return None
    lengths = {part.strip() for value in announced for part in value.split(",")}
    length = lengths.pop()
    if lengths or not _DIGITS.fullmatch(length):
        raise NotHttpError
    return int(length)
