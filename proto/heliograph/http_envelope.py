"""Parse and format the HTTP/1.1 exchanges of agents with the POST entrance. Pure.

One envelope, or one request to enroll, takes a whole connection. The polls of a session (`Poll`
in intake.proto) follow each other on one connection, the next perhaps before the last reply. The
parser accepts only the requests that agents write. It refuses everything else and guesses nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from heliograph import plan_chunks
from heliograph.envelope import SIZES
from heliograph.receipts import HTTP_STATUSES
from heliograph.upload import SENDER_HEADER
from heliograph.v1 import intake_pb2 as pb

PATH = b"/v1/envelopes"
SESSION_PATH = b"/v1/session"  # Poll and PollReply
ENROL_PATH = b"/v1/enrol"  # EnrolRequest and EnrolReply
POLL_S = 25  # between two polls, as carriers' NATs forget what is silent for 30 s (RFC 4787 wants
# 120 s); three missed polls are 75 s
MAX_HEAD = 4_096
MAX_BODY = SIZES[-1] + 512  # the largest sealed size and the few bytes around it
MAX_REPLY = 1_048_576  # bytes of the collector's reply to a poll; plans are the largest
MAX_POLL_BYTES = 65_536  # of several messages, each way; a larger one, as a plan, travels alone
MAX_HEADERS = 32  # agents write four, proxies add a handful
# Pieces (TLS records) that one request may come in: proxies cut them at 1,300 bytes and more
# (dynamic record sizes of nginx and haproxy), agents at 16,384. A peer with single bytes is
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


class RequestRefusedError(Exception):
    """Report a request that gets no receipt; `status` is the HTTP status code."""

    def __init__(self, status: int) -> None:
        super().__init__(_REASONS[status])
        self.status = status


@dataclass(frozen=True, slots=True)
class EnvelopeRequest:
    """Hold a request's parsed envelope, or the body of another request by its path."""

    envelope: bytes
    path: bytes = PATH
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
        self._head: _RequestHead | None = None
        self._body_start = 0
        self.work = 0

    @property
    def surplus(self) -> bytes:
        """Return what came behind a complete request, the next one's beginning."""
        length = 0 if self._head is None else self._head.length
        return bytes(self._received[self._body_start + length :])

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
class _RequestHead:
    request: EnvelopeRequest  # without its envelope
    length: int  # of the body


def _parse_head(head: bytes) -> _RequestHead:
    line, *lines = head.split(b"\r\n", MAX_HEADERS + 1)
    path = _parse_request_line(line)
    if len(lines) > MAX_HEADERS:
        raise RequestRefusedError(431)
    headers = [_split_header(line) for line in lines]
    length = _content_length(headers, is_poll=path == SESSION_PATH)
    forwarded = b",".join(value for name, value in headers if name == b"x-forwarded-for")
    senders = [v.decode("latin-1") for name, v in headers if name == SENDER_HEADER.encode()]
    plan_headers = [value for name, value in headers if name == PLAN_HEADER.encode()]
    request = EnvelopeRequest(
        envelope=b"",
        path=path,
        forwarded=forwarded.decode("latin-1"),
        intermediary=parse_intermediary(
            v.decode("latin-1") for name, v in headers if name == INTERMEDIARY_HEADER.encode()
        ),
        plan=plan_chunks.parse_progress(plan_headers[0].decode("latin-1"))
        if plan_headers
        else None,
        sender=senders[0] if len(senders) == 1 else "",
    )
    return _RequestHead(request, length)


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
    return _format_response(HTTP_STATUSES.get(receipt.status, 503), kind, body)


def format_message(body: bytes) -> bytes:
    """Format an HTTP response with a PollReply or EnrolReply; keep the connection."""
    return _format_response(200, "Content-Type: application/x-protobuf\r\n", body, is_last=False)


def format_request(path: bytes, host: str, body: bytes, intermediary: str) -> bytes:
    """Format an agent's request with a protobuf message; see INTERMEDIARY_HEADER."""
    host = f"[{host}]" if ":" in host else host
    place = f"{INTERMEDIARY_HEADER.title()}: {intermediary}\r\n" if intermediary else ""
    head = (
        f"POST {path.decode()} HTTP/1.1\r\nHost: {host}\r\n{place}"
        f"Content-Type: application/x-protobuf\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("latin-1") + body


def take_message(received: bytearray) -> tuple[int, bytes] | None:
    """Remove the first whole response; return its status and body, None until whole.

    Raises ValueError for all but responses of `format_message` and `format_refusal`.
    """
    end = received.find(b"\r\n\r\n", 0, MAX_HEAD)
    if end < 0:
        if len(received) >= MAX_HEAD:
            raise ValueError("no HTTP response")
        return None
    line, *lines = bytes(received[:end]).split(b"\r\n")
    version, _, rest = line.partition(b" ")
    lengths = [
        v for n, _, v in (h.partition(b":") for h in lines) if n.lower() == b"content-length"
    ]
    if version != b"HTTP/1.1" or not rest[:3].isdigit() or len(lengths) != 1:
        raise ValueError("no HTTP response")
    digits = lengths[0].strip()
    if not digits.isdigit() or len(digits) > 8 or int(digits) > MAX_REPLY:
        raise ValueError("a response of no length that is allowed")
    start = end + 4
    size = int(digits)
    if len(received) < start + size:
        return None
    body = bytes(received[start : start + size])
    del received[: start + size]
    return int(rest[:3]), body


def format_refusal(status: int) -> bytes:
    """Format the whole HTTP response to a refused request."""
    return _format_response(status, "", b"")


def _parse_request_line(line: bytes) -> bytes:
    """Return the path. Raises RequestRefusedError."""
    method, _, rest = line.partition(b" ")
    path, _, version = rest.partition(b" ")
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise RequestRefusedError(400)
    if path not in (PATH, SESSION_PATH, ENROL_PATH):
        raise RequestRefusedError(404)
    if method != b"POST":
        raise RequestRefusedError(405)
    return path


def _split_header(field: bytes) -> tuple[bytes, bytes]:
    name, colon, value = field.partition(b":")
    if not colon or not name or name != name.strip() or b"\n" in field:
        raise RequestRefusedError(400)
    return name.lower(), value.strip()


def _content_length(headers: list[tuple[bytes, bytes]], *, is_poll: bool) -> int:
    lengths = {value for name, value in headers if name == b"content-length"}
    if not lengths or any(name == b"transfer-encoding" for name, _ in headers):
        raise RequestRefusedError(411)
    digits = lengths.pop()
    if lengths or not digits.isdigit() or (int(digits[:12]) == 0 and not is_poll):
        raise RequestRefusedError(400)
    if len(digits) > 12 or int(digits) > MAX_BODY:
        raise RequestRefusedError(413)
    return int(digits)


def _format_response(status: int, headers: str, body: bytes, *, is_last: bool = True) -> bytes:
    connection = "Connection: close\r\n" if is_last else ""
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\n{headers}"
        f"Content-Length: {len(body)}\r\n{connection}\r\n"
    )
    return head.encode() + body
