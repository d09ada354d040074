"""Probe an echo service to detect changes of a request on the path.

`HttpEcho` is a valid request with unusual capitals; the service returns in JSON the request that
it received. `TcpEcho` is an invalid request line; it comes back byte for byte unless a middlebox
tried to parse it.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice

from heliograph_agent.net.probe_message import ProbeReply, ProtocolMismatch

RANDOM_BYTES = 64  # maximum for one message of this module
ECHO = "echo"
OTHER = "http_reply"  # another server answered in place of the service
_END = b"\r\n\r\n"
REQUEST_LINE = "GeT / HTTP/1.1"
_LONG_METHOD = 1_024
_HEADERS = (
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Accept-Charset", "ISO-8859-1,utf-8;q=0.7,*;q=0.3"),
    ("Accept-Encoding", "gzip,deflate,sdch"),
    ("Accept-Language", "en-US,en;q=0.8"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
)
Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class HttpEcho:
    """Send `GeT / HTTP/1.1` with headers in random capitals to the service `host`."""

    host: str
    random_bytes: bytes
    name: str = "http_echo"

    @property
    def headers(self) -> Headers:
        """Return the headers as they are sent."""
        bits = _iter_bits(self.random_bytes)
        headers = (("Host", self.host), *_HEADERS)
        return [(_randomize_case(name, bits), value) for name, value in headers]

    def make_request(self) -> bytes:
        lines = [REQUEST_LINE, *(f"{name}: {value}" for name, value in self.headers)]
        return "\r\n".join(lines).encode("ascii") + _END

    def parse_reply(self, received: bytes) -> ProbeReply | None:
        """Return `echo` and the differences. Raises ProtocolMismatch for another reply."""
        if not (received[:5] == b"HTTP/" or b"HTTP/".startswith(received)):
            raise ProtocolMismatch("no HTTP")
        head, end, body = received.partition(_END)
        if not end:
            return None
        if head.split(b" ", 2)[1:2] != [b"200"]:
            raise ProtocolMismatch("no echo, but a reply of another's")
        description = _parse_object(body)
        if description is None:
            return None
        line, headers = _parse_request(description)
        return ProbeReply(ECHO, list_differences(REQUEST_LINE, self.headers, line, headers))


@dataclass(frozen=True, slots=True)
class TcpEcho:
    """Send bytes that the service returns unchanged."""

    line: bytes
    name: str = "tcp_echo"

    def make_request(self) -> bytes:
        return self.line

    def parse_reply(self, received: bytes) -> ProbeReply | None:
        """Return `echo`, or `http_reply` when a web server answered."""
        if received == self.line:
            return ProbeReply(ECHO)
        if self.line.startswith(received) or b"HTTP/".startswith(received):
            return None
        if received.startswith(b"HTTP/"):
            return ProbeReply(OTHER, (OTHER,))
        if len(received) < len(self.line) and self.line.lower().startswith(received.lower()):
            return None
        return ProbeReply(ECHO, (_classify_change(self.line, received),))


def make_malformed_lines(random_bytes: bytes) -> dict[str, bytes]:
    """Make the invalid request lines by label; `random_bytes` chooses their letters.

    An unknown method, too many fields, a method of 1,024 letters, a version that is not a
    number, and an old request to a Squid cache (OONI's http_invalid_request_line sends the same
    five).
    """
    letters = _iter_letters(random_bytes)
    return {
        "line_method": _take(letters, 4) + b" / HTTP/1.1" + _END,
        "line_fields": b" ".join(_take(letters, 5) for _ in range(4)) + _END,
        "line_long_method": _take(letters, _LONG_METHOD) + b" / HTTP/1.1" + _END,
        "line_version": b"GET / HTTP/" + _take(letters, 3) + _END,
        "line_squid": b"GET cache_object://localhost/ HTTP/1.0" + _END,
    }


def list_differences(sent_line: str, sent: Headers, line: str, headers: Headers) -> tuple[str, ...]:
    """Label the differences between request and echo, in alphabetical order."""
    labels: set[str] = set()
    if line != sent_line:
        is_same = line.lower() == sent_line.lower()
        labels.add("request_line_capitalization" if is_same else "request_line")
    if len(headers) != len(sent):
        labels.add("header_number")
    sent_names = [n for n, _ in sent]
    received_names = [n for n, _ in headers]
    sent_lower = [n.lower() for n in sent_names]
    received_lower = [n.lower() for n in received_names]
    if sorted(sent_lower) != sorted(received_lower):
        labels.add("header_name")
    elif sent_lower != received_lower:
        labels.add("header_order")
    received_by_lower = {name.lower(): name for name in received_names}
    if any(received_by_lower.get(name.lower(), name) != name for name in sent_names):
        labels.add("header_name_capitalization")
    values = {name.lower(): value for name, value in headers}
    if any(values.get(name.lower(), value) != value for name, value in sent):
        labels.add("header_value")
    return tuple(sorted(labels))


def _classify_change(sent: bytes, received: bytes) -> str:
    if sent.lower() == received.lower():
        return "request_line_capitalization"
    return "longer" if received.startswith(sent) else "request_line"


def _parse_object(body: bytes) -> object:
    """Parse the JSON in a body of any transfer coding; None when it is incomplete."""
    start = body.find(b"{")
    if start < 0:
        return None
    try:
        return json.JSONDecoder().raw_decode(body[start:].decode("latin-1"))[0]
    except (ValueError, RecursionError):
        return None


def _parse_request(description: object) -> tuple[str, Headers]:
    """Return the request line and headers in an echo. Raises ProtocolMismatch."""
    match description:
        case {"request_line": str(line), "headers": list(headers)}:
            return line, [_parse_pair(header) for header in headers]
    raise ProtocolMismatch("JSON, but no echo")


def _parse_pair(header: object) -> tuple[str, str]:
    match header:
        case [str(name), str(value)]:
            return name, value
    raise ProtocolMismatch("JSON, but no echo")


def _iter_bits(random_bytes: bytes) -> Iterator[bool]:
    """Yield bits without end; the bytes repeat when they run out."""
    while True:
        for byte in random_bytes or b"\xaa":
            yield from (bool(byte >> bit & 1) for bit in range(8))


def _randomize_case(name: str, bits: Iterator[bool]) -> str:
    """Return `name` in random capitals that differ from the usual spelling."""
    randomized = "".join(c.upper() if next(bits) else c.lower() for c in name)
    return randomized.swapcase() if randomized == name else randomized


def _iter_letters(random_bytes: bytes) -> Iterator[int]:
    """Yield capital letters without end; each repetition of the bytes shifts them."""
    for turn in count():
        for byte in random_bytes or b"\x00":
            yield ord("A") + (byte + turn) % 26


def _take(letters: Iterator[int], size: int) -> bytes:
    return bytes(islice(letters, size))
