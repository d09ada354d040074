"""One envelope a connection: the HTTP/1.1 request of it and its answer. Pure.

It is read by hand, as narrowly as an agent writes it: what is not understood is refused, and
nothing is guessed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from heliograph import plan_chunks
from heliograph.envelope import SIZES
from heliograph.v1 import intake_pb2 as pb

PATH = b"/v1/envelopes"
MAX_HEAD = 4_096
MAX_BODY = SIZES[-1] + 256  # the largest sealed size and the few bytes around it
PLACE = "heliograph-place"  # a header: the peer's address says nothing of the vantage
ELSEWHERE, RELAY = "elsewhere", "relay"  # … for it is a proxy, or another volunteer's agent
PLAN = "heliograph-plan"  # a header: how much of a plan the agent has, as `pieces` writes it
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


class RefusedError(Exception):
    """A request that is not answered with a receipt; `status` is HTTP's."""

    def __init__(self, status: int) -> None:
        super().__init__(_REASONS[status])
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    envelope: bytes
    forwarded: str = ""  # what X-Forwarded-For says, "" when nothing does
    place: str = ""  # ELSEWHERE, RELAY, or "" for the peer's own
    plan: pb.PlanHeld | None = field(default=None, compare=False)  # None where nothing is said


def read(received: bytes) -> Request | None:
    """None while there is more to come. Raises RefusedError."""
    head, end, body = received.partition(b"\r\n\r\n")
    if len(head) > MAX_HEAD:
        raise RefusedError(431)
    if not end:
        return None
    line, *fields = head.split(b"\r\n")
    _check(line)
    headers = [_split(field) for field in fields]
    length = _length(headers)
    if len(body) < length:
        return None
    forwarded = [value for name, value in headers if name == b"x-forwarded-for"]
    held = [value for name, value in headers if name == PLAN.encode()]
    return Request(
        envelope=body[:length],
        forwarded=b",".join(forwarded).decode("latin-1"),
        place=place_of(v.decode("latin-1") for name, v in headers if name == PLACE.encode()),
        plan=plan_chunks.held_from(held[0].decode("latin-1")) if held else None,
    )


def place_of(values: Iterable[str]) -> str:
    """Of what PLACE says; what is not understood is no place either."""
    said = list(values)
    return "" if not said else RELAY if said == [RELAY] else ELSEWHERE


def reply(response: pb.SubmitResponse) -> bytes:
    """The whole answer to an envelope, whatever became of it."""
    body, receipt = response.SerializeToString(), response.receipt
    again = f"Retry-After: {receipt.retry_after_s}\r\n" if receipt.retry_after_s else ""
    kind = f"Content-Type: application/x-protobuf\r\n{again}"
    return _said(_STATUS.get(receipt.status, 503), kind, body)


def refusal(status: int) -> bytes:
    """The whole answer to anything else."""
    return _said(status, "", b"")


def _check(line: bytes) -> None:
    method, _, rest = line.partition(b" ")
    path, _, version = rest.partition(b" ")
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise RefusedError(400)
    if path != PATH:
        raise RefusedError(404)
    if method != b"POST":
        raise RefusedError(405)


def _split(field: bytes) -> tuple[bytes, bytes]:
    name, colon, value = field.partition(b":")
    if not colon or not name or name != name.strip() or b"\n" in field:
        raise RefusedError(400)
    return name.lower(), value.strip()


def _length(headers: list[tuple[bytes, bytes]]) -> int:
    lengths = {value for name, value in headers if name == b"content-length"}
    if not lengths or any(name == b"transfer-encoding" for name, _ in headers):
        raise RefusedError(411)
    text = lengths.pop()
    if lengths or not text.isdigit() or int(text[:12]) == 0:
        raise RefusedError(400)
    if len(text) > 12 or int(text) > MAX_BODY:
        raise RefusedError(413)
    return int(text)


def _said(status: int, headers: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\n{headers}"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
