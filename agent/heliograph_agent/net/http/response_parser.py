"""Parse an HTTP/1.1 response (RFC 9112): its head, then the framing of its body.

The parser is as lenient as a browser, because the question is what a browser would display: it
ignores an invalid header line and accepts a bare LF. Pure: it maps bytes to facts and never
waits.
"""

import re
from dataclasses import dataclass
from urllib.parse import quote

MAX_HEAD = 65_536
_ASCII = "".join(map(chr, range(0x80)))
_MAX_LINE = 1_024  # bytes of a line between two chunks, or of a trailer
_STATUS = re.compile(r"HTTP/([0-9]\.[0-9]) ([1-9][0-9][0-9])(?: .*)?")
_BLANK = re.compile(rb"\n\r?\n")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")
_DIGITS = re.compile(r"[0-9]{1,18}")


class NotHttpError(ValueError):
    """Report bytes that are not an HTTP reply."""


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """Hold the status line and the headers in order, with names in lower case."""

    version: str
    status: int
    fields: tuple[tuple[str, str], ...]

    def first_value(self, name: str) -> str:
        """Return the first value of a header; "" when it is absent."""
        for field_name, value in self.fields:
            if field_name == name:
                return value
        return ""

    def all_values(self, name: str) -> list[str]:
        return [value for field_name, value in self.fields if field_name == name]


def decode_location(value: str) -> str:
    """Decode a Location, read as Latin-1, as browsers do: as UTF-8.

    Bytes that are no UTF-8 are escaped, as Chromium does it (HttpResponseHeaders::IsRedirect).
    """
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return quote(value, safe=_ASCII, encoding="latin-1")


def take_head(received: bytearray) -> ResponseHead | None:
    """Cut one head off the front; None when it is incomplete. Raises NotHttpError."""
    if not received.startswith(b"HTTP/") and not b"HTTP/".startswith(received[:5]):
        raise NotHttpError
    end = received.find(b"\r\n\r\n")
    if end >= 0 and received.find(b"\n\n", 0, end) < 0:
        head = bytes(received[:end])
        rest = end + 4
    else:
        blank = _BLANK.search(received)
        if blank is None:
            if len(received) > MAX_HEAD:
                raise NotHttpError
            return None
        head = bytes(received[: blank.start()])
        rest = blank.end()
    del received[:rest]
    return _parse_head(head)


def _parse_head(data: bytes) -> ResponseHead:
    if len(data) > MAX_HEAD:
        raise NotHttpError
    first, *lines = data.decode("latin-1").split("\n")
    status = _STATUS.fullmatch(first.rstrip("\r"))
    if status is None:
        raise NotHttpError
    fields: list[tuple[str, str]] = []
    for line in lines:
        if line[:1] in (" ", "\t") and fields:  # a folded line continues the value above
            name, previous = fields[-1]
            fields[-1] = (name, f"{previous} {line.strip()}")
            continue
        field_name, colon, value = line.partition(":")
        if colon and _NAME.fullmatch(field_name):
            fields.append((field_name.lower(), value.strip()))
    return ResponseHead(status[1], int(status[2]), tuple(fields))


class ResponseBody:
    """Remove the framing of a body (RFC 9112 section 6.3).

    `is_done` is set at the end of the body, `is_broken` at a malformed chunk.
    """

    def __init__(self, head: ResponseHead, method: str) -> None:
        """Choose the framing. Raises NotHttpError when the headers contradict each other."""
        self.is_done = False
        self.is_broken = False
        self._buffer = bytearray()  # an incomplete line with a chunk's size
        self._is_after_chunk = False
        self._is_in_trailers = False
        self._is_chunked = False
        self._remaining: int | None = None  # of the body or the chunk; None: until the end
        if method == "HEAD" or head.status < 200 or head.status in (204, 304):
            self._remaining = 0
        elif codings := head.all_values("transfer-encoding"):
            self._is_chunked = codings[-1].rpartition(",")[2].strip().lower() == "chunked"
            self._remaining = 0 if self._is_chunked else None
        else:
            self._remaining = _content_length(head.all_values("content-length"))
        self.is_done = self._remaining == 0 and not self._is_chunked

    def feed_data(self, data: bytes) -> bytes:
        """Return the part of `data` that is body."""
        if self.is_done:
            return b""
        if self._is_chunked:
            return self._decode_chunks(data)
        if self._remaining is None:
            return data
        data = data[: self._remaining]
        self._remaining -= len(data)
        self.is_done = not self._remaining
        return data

    def feed_end(self) -> bool:
        """Handle the end of the connection; return whether the body is complete."""
        self.is_done = self.is_done or (self._remaining is None and not self._is_chunked)
        return self.is_done

    def _decode_chunks(self, data: bytes) -> bytes:
        decoded = bytearray()
        self._buffer += data
        while self._buffer and not (self.is_done or self.is_broken):
            if self._remaining:
                part = self._buffer[: self._remaining]
                del self._buffer[: len(part)]
                decoded += part
                self._remaining -= len(part)
            elif not self._parse_size():
                break
        return bytes(decoded)

    def _parse_size(self) -> bool:
        """Parse the line between two chunks; False when it is incomplete."""
        if self._is_in_trailers:
            return self._parse_trailer()
        if self._is_after_chunk:
            if not self._buffer.startswith((b"\r\n", b"\n")):
                return self._mark_incomplete(b"\r\n".startswith(self._buffer))
            del self._buffer[: self._buffer.index(b"\n") + 1]
            self._is_after_chunk = False
        line = _CHUNK.match(self._buffer)
        if line is None:
            return self._mark_incomplete(b"\n" not in self._buffer)
        self._remaining = int(line[1], 16)
        self._is_in_trailers = not self._remaining
        self._is_after_chunk = True
        del self._buffer[: line.end()]
        return True

    def _parse_trailer(self) -> bool:
        line, end, _ = self._buffer.partition(b"\n")
        if not end:
            return self._mark_incomplete(is_possible=True)
        del self._buffer[: len(line) + 1]
        self.is_done = not line.rstrip(b"\r")
        return True

    def _mark_incomplete(self, is_possible: bool) -> bool:
        """Wait for more bytes of a line, or mark the body broken if none can help."""
        self.is_broken = not is_possible or len(self._buffer) > _MAX_LINE
        return False


def _content_length(announced: list[str]) -> int | None:
    """Return the length; None when the connection ends the body. Raises NotHttpError."""
    if not announced:
        return None
    lengths = {part.strip() for value in announced for part in value.split(",")}
    length = lengths.pop()
    if lengths or not _DIGITS.fullmatch(length):
        raise NotHttpError
    return int(length)
