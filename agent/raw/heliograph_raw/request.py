"""What may be asked of the helper, and how a line is checked to be that. SPDX: GPL-2.0-only."""

import ipaddress
import json
from dataclasses import dataclass
from typing import Any

OPS = ("ttl_syn", "ttl_stream", "ttl_datagram")
MAX_LINE = 8_192
MAX_PAYLOAD = 3_000  # a ClientHello with a post-quantum key share is 1700 bytes
MAX_TIMEOUT_S = 10.0


class BadRequestError(ValueError):
    """A line that asks for nothing we do; str() says what is wrong with it."""

    def __init__(self, problem: str, request_id: int = 0) -> None:
        super().__init__(problem)
        self.request_id = request_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One packet whose time to live may run out on the way."""

    id: int
    op: str
    address: str
    port: int
    ttl: int
    timeout_s: float
    payload: bytes = b""


def parse(line: bytes) -> Request:
    """Raises BadRequestError."""
    try:
        request: Any = json.loads(line) if len(line) <= MAX_LINE else None
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict):
        raise BadRequestError(f"not a JSON object of at most {MAX_LINE} bytes")
    number = _whole(request, "id", 1, 2**53, 0)
    op = request.get("op")
    if op not in OPS:
        raise BadRequestError(f"op must be one of {', '.join(OPS)}", number)
    return Request(
        id=number,
        op=op,
        address=_address(request, number),
        port=_whole(request, "port", 1, 65_535, number),
        ttl=_whole(request, "ttl", 1, 255, number),
        timeout_s=_seconds(request, number),
        payload=b"" if op == "ttl_syn" else _payload(request, number),
    )


def _whole(request: dict[str, Any], key: str, low: int, high: int, number: int) -> int:
    value = request.get(key)
    if type(value) is not int or not low <= value <= high:
        raise BadRequestError(f"{key} must be a whole number from {low} to {high}", number)
    return value


def _seconds(request: dict[str, Any], number: int) -> float:
    value = request.get("timeout_s")
    if isinstance(value, bool) or not isinstance(value, int | float):
        value = 0
    if not 0 < value <= MAX_TIMEOUT_S:
        raise BadRequestError(f"timeout_s must be above 0 and at most {MAX_TIMEOUT_S}", number)
    return float(value)


def _address(request: dict[str, Any], number: int) -> str:
    try:
        return str(ipaddress.ip_address(str(request.get("address"))))
    except ValueError as error:
        raise BadRequestError("address must be an IP address", number) from error


def _payload(request: dict[str, Any], number: int) -> bytes:
    try:
        payload = bytes.fromhex(str(request.get("payload")))
    except ValueError:
        payload = b""
    if not 0 < len(payload) <= MAX_PAYLOAD:
        raise BadRequestError(f"payload must be 1 to {MAX_PAYLOAD} bytes in hexadecimal", number)
    return payload
