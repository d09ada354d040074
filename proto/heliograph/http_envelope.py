"""Parse and format the HTTP/1.1 exchange of one envelope per connection. Pure.

The parser accepts only the requests that agents write. It refuses everything else and guesses
nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from heliograph import plan_chunks
from heliograph.envelope import SIZES
from heliograph.upload import SENDER_HEADER
from heliograph.v1 import intake_pb2 as pb

PATH = b"/v1/envelopes"
MAX_HEAD = 4_096
MAX_BODY = SIZES[-1] + 256  # the largest sealed size and the few bytes around it
MAX_HEADERS = 32  # agents write four, proxies add a handful
# Pieces (TLS records) that one request may come in: proxies cut them at 1,300 bytes and more
# (dynamic record sizes of nginx and haproxy), agents at 16,384. Who sends bytes one by one is
# no agent; each record costs a decryption and a callback whatever it holds.
MAX_PIECES = 64 + (MAX_HEAD + MAX_BODY) // 1_024
INTERMEDIARY_HEADER = "heliograph-place"  # a header: the peer's address is not the vantage's,
# because the peer is a proxy or another volunteer's agent
ELSEWHERE = "elsewhere"
RELAY = "relay"
PLAN_HEADER = "heliograph-plan"  # a header: see `plan_chunks.format_progress`
_REASONS = {
    200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed",
    411: "Length Required", 413: "Content Too Large", 422: "Unprocessable Content",
    431: "Request Header Fields Too Large", 503: "Service Unavailable",
}  # fmt: skip
_STATUS = {
    pb.STATUS_STORED: 200,
    pb.STATUS_DUPLICATE: 200,
    pb.STATUS_REJECTED: 422,
    pb.STATUS_RETRY: 503,
}


class RequestRefusedError(Exception):
    """Report a request that gets no receipt; `status` is the HTTP status code."""

    def __init__(self, status: int) -> None:
        super().__init__(_REASONS[status])
        self.status = status


@dataclass(frozen=True, slots=True)
class EnvelopeRequest:
    """Hold the parsed request of one envelope."""

    envelope: bytes
    forwarded: str = ""  # values of X-Forwarded-For, "" without that header
    intermediary: str = ""  # ELSEWHERE, RELAY, or "" for a direct peer
    plan: pb.PlanHeld | None = field(default=None, compare=False)  # None without PLAN_HEADER
    sender: str = ""  # value of SENDER_HEADER, "" without it


class RequestReader:
    """Read one request piece by piece.

    Each byte is copied and searched once, and the head is parsed once, in however many pieces it
    comes: the work of a connection is bounded by its bytes. `work` counts the bytes searched,
    parsed and copied so far.
    """

    def __init__(self) -> None:
        self._received = bytearray()
        self._pieces = 0
        self._head: _Head | None = None
        self._body_start = 0
        self.work = 0

    @property
    def sender(self) -> str:
        """Return the value of SENDER_HEADER once the head is there, "" without it."""
        return "" if self._head is None else self._head.request.sender

    def feed_data(self, data: bytes) -> EnvelopeRequest | None:
        """Add a piece; return the request once it is complete, else None.

        Raises RequestRefusedError, also for too many pieces.
        """
        self._pieces += 1
        self.work += len(data)
        if self._pieces > MAX_PIECES:
            raise RequestRefusedError(400)
        search_start = max(0, len(self._received) - 3)  # the end may lie across two pieces
        self._received += data
        if self._head is None:
            self._find_head(search_start)
        head = self._head
        if head is None or len(self._received) < self._body_start + head.length:
            return None
        envelope = bytes(self._received[self._body_start : self._body_start + head.length])
        return replace(head.request, envelope=envelope)

    def _find_head(self, search_start: int) -> None:
        end = self._received.find(b"\r\n\r\n", search_start, MAX_HEAD + 4)
        self.work += len(self._received) - search_start
        if end < 0:
            if len(self._received) > MAX_HEAD + 3:
                raise RequestRefusedError(431)
            return
        self.work += end
        self._head = _parse_head(bytes(self._received[:end]))
        self._body_start = end + 4


@dataclass(frozen=True, slots=True)
class _Head:
    request: EnvelopeRequest  # without its envelope
    length: int  # of the body


def _parse_head(head: bytes) -> _Head:
    line, *lines = head.split(b"\r\n", MAX_HEADERS + 1)
    _check_request_line(line)
    if len(lines) > MAX_HEADERS:
        raise RequestRefusedError(431)
    headers = [_split_header(line) for line in lines]
    length = _content_length(headers)
    forwarded = b",".join(value for name, value in headers if name == b"x-forwarded-for")
    senders = [v.decode("latin-1") for name, v in headers if name == SENDER_HEADER.encode()]
    plan_headers = [value for name, value in headers if name == PLAN_HEADER.encode()]
    request = EnvelopeRequest(
        envelope=b"",
        forwarded=forwarded.decode("latin-1"),
        intermediary=parse_intermediary(
            v.decode("latin-1") for name, v in headers if name == INTERMEDIARY_HEADER.encode()
        ),
        plan=plan_chunks.parse_progress(plan_headers[0].decode("latin-1"))
        if plan_headers
        else None,
        sender=senders[0] if len(senders) == 1 else "",
    )
    return _Head(request, length)


def parse_intermediary(values: Iterable[str]) -> str:
    """Map the values of INTERMEDIARY_HEADER to "", RELAY or (unknown) ELSEWHERE."""
    entries = list(values)
    return "" if not entries else RELAY if entries == [RELAY] else ELSEWHERE


def format_reply(response: pb.SubmitResponse) -> bytes:
    """Format the whole HTTP response to an envelope, whatever its receipt."""
    body = response.SerializeToString()
    receipt = response.receipt
    retry_header = f"Retry-After: {receipt.retry_after_s}\r\n" if receipt.retry_after_s else ""
    kind = f"Content-Type: application/x-protobuf\r\n{retry_header}"
    return _format_response(_STATUS.get(receipt.status, 503), kind, body)


def format_refusal(status: int) -> bytes:
    """Format the whole HTTP response to a refused request."""
    return _format_response(status, "", b"")


def _check_request_line(line: bytes) -> None:
    method, _, rest = line.partition(b" ")
    path, _, version = rest.partition(b" ")
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise RequestRefusedError(400)
    if path != PATH:
        raise RequestRefusedError(404)
    if method != b"POST":
        raise RequestRefusedError(405)


def _split_header(field: bytes) -> tuple[bytes, bytes]:
    name, colon, value = field.partition(b":")
    if not colon or not name or name != name.strip() or b"\n" in field:
        raise RequestRefusedError(400)
    return name.lower(), value.strip()


def _content_length(headers: list[tuple[bytes, bytes]]) -> int:
    lengths = {value for name, value in headers if name == b"content-length"}
    if not lengths or any(name == b"transfer-encoding" for name, _ in headers):
        raise RequestRefusedError(411)
    digits = lengths.pop()
    if lengths or not digits.isdigit() or int(digits[:12]) == 0:
        raise RequestRefusedError(400)
    if len(digits) > 12 or int(digits) > MAX_BODY:
        raise RequestRefusedError(413)
    return int(digits)


def _format_response(status: int, headers: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\n{headers}"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
