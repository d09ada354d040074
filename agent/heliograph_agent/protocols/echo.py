"""What is said to an echo service to find out who changes it on the way, and how.

`HttpEcho` is a request that any server understands, in capitals that no browser uses; the service
says in JSON what reached it. `TcpEcho` is a request line that no server understands; it comes back
byte for byte unless somebody in between tried to make sense of it.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from heliograph_agent.net.probe_message import NotThisProtocol, Reply

CHANCE = 64  # bytes of chance that a speech of this module takes at most
ECHO = "echo"
OTHER = "http_reply"  # somebody answered in the service's place
_END = b"\r\n\r\n"
_LONG = 1_024
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
    """`GeT / HTTP/1.1` with headers in capitals by chance; `host` is the service's own."""

    host: str
    chance: bytes
    name: str = "http_echo"

    @property
    def request_line(self) -> str:
        return "GeT / HTTP/1.1"

    @property
    def headers(self) -> Headers:
        """As they are sent."""
        coins = _coins(self.chance)
        return [(_tossed(name, coins), value) for name, value in (("Host", self.host), *_HEADERS)]

    def opening(self) -> bytes:
        lines = [self.request_line, *(f"{name}: {value}" for name, value in self.headers)]
        return "\r\n".join(lines).encode("ascii") + _END

    def heard(self, received: bytes) -> Reply | None:
        """`echo` and the differences; a reply that describes no request is NotThisProtocol."""
        if not (received[:5] == b"HTTP/" or b"HTTP/".startswith(received)):
            raise NotThisProtocol("no HTTP")
        head, end, body = received.partition(_END)
        if not end:
            return None
        if head.split(b" ", 2)[1:2] != [b"200"]:
            raise NotThisProtocol("no echo, but a reply of another's")
        told = _object(body)
        if told is None:
            return None
        line, headers = _request(told)
        return Reply(ECHO, differences(self.request_line, self.headers, line, headers))


@dataclass(frozen=True, slots=True)
class TcpEcho:
    """Bytes that come back as they are."""

    line: bytes
    name: str = "tcp_echo"

    def opening(self) -> bytes:
        return self.line

    def heard(self, received: bytes) -> Reply | None:
        """`echo`, or `http_reply` when somebody answered as a web server does."""
        if received == self.line:
            return Reply(ECHO)
        if self.line.startswith(received) or b"HTTP/".startswith(received):
            return None
        if received.startswith(b"HTTP/"):
            return Reply(OTHER, (OTHER,))
        if len(received) < len(self.line) and self.line.lower().startswith(received.lower()):
            return None
        return Reply(ECHO, (_change(self.line, received),))


def malformed_lines(chance: bytes) -> dict[str, bytes]:
    """By name, the request lines that no server expects; `chance` makes their random letters.

    A method nobody knows, too many fields, a method of 1,024 letters, a version that is no number,
    and the old way to speak to a Squid cache (OONI's http_invalid_request_line asks the same five).
    """
    letters = _letters(chance)
    return {
        "line_method": letters(4) + b" / HTTP/1.1" + _END,
        "line_fields": b" ".join(letters(5) for _ in range(4)) + _END,
        "line_long_method": letters(_LONG) + b" / HTTP/1.1" + _END,
        "line_version": b"GET / HTTP/" + letters(3) + _END,
        "line_squid": b"GET cache_object://localhost/ HTTP/1.0" + _END,
    }


def differences(sent_line: str, sent: Headers, line: str, headers: Headers) -> tuple[str, ...]:
    """Words for how what arrived differs from what was sent, in alphabetical order."""
    words: set[str] = set()
    if line != sent_line:
        same = line.lower() == sent_line.lower()
        words.add("request_line_capitalization" if same else "request_line")
    if len(headers) != len(sent):
        words.add("header_number")
    ours, theirs = [n for n, _ in sent], [n for n, _ in headers]
    lower, arrived = [n.lower() for n in ours], [n.lower() for n in theirs]
    if sorted(lower) != sorted(arrived):
        words.add("header_name")
    elif lower != arrived:
        words.add("header_order")
    spelt = {name.lower(): name for name in theirs}
    if any(spelt.get(name.lower(), name) != name for name in ours):
        words.add("header_name_capitalization")
    values = {name.lower(): value for name, value in headers}
    if any(values.get(name.lower(), value) != value for name, value in sent):
        words.add("header_value")
    return tuple(sorted(words))


def _change(sent: bytes, received: bytes) -> str:
    if sent.lower() == received.lower():
        return "request_line_capitalization"
    return "longer" if received.startswith(sent) else "request_line"


def _object(body: bytes) -> object:
    """The JSON in a body, whatever its transfer coding; None when it is not all there."""
    start = body.find(b"{")
    if start < 0:
        return None
    try:
        return json.JSONDecoder().raw_decode(body[start:].decode("latin-1"))[0]
    except (ValueError, RecursionError):
        return None


def _request(told: object) -> tuple[str, Headers]:
    """The request line and the headers that the service was sent. Raises NotThisProtocol."""
    match told:
        case {"request_line": str(line), "headers": list(headers)}:
            pairs = [_pair(header) for header in headers]
            return line, pairs
    raise NotThisProtocol("JSON, but no echo")


def _pair(header: object) -> tuple[str, str]:
    match header:
        case [str(name), str(value)]:
            return name, value
    raise NotThisProtocol("JSON, but no echo")


def _coins(chance: bytes) -> Iterator[bool]:
    """As many as are wanted; the bytes are used again when they run out."""
    while True:
        for byte in chance or b"\xaa":
            yield from (bool(byte >> bit & 1) for bit in range(8))


def _tossed(name: str, coins: Iterator[bool]) -> str:
    """`name` in capitals by chance, but not as everybody writes it."""
    tossed = "".join(c.upper() if next(coins) else c.lower() for c in name)
    return tossed.swapcase() if tossed == name else tossed


def _letters(chance: bytes) -> "_Letters":
    return _Letters(chance or b"\x00")


class _Letters:
    """Capital letters made of chance, one after the other."""

    def __init__(self, chance: bytes) -> None:
        self._chance = chance
        self._at = 0

    def __call__(self, count: int) -> bytes:
        made = bytearray()
        for _ in range(count):
            byte = self._chance[self._at % len(self._chance)]
            made.append(ord("A") + (byte + self._at // len(self._chance)) % 26)
            self._at += 1
        return bytes(made)
