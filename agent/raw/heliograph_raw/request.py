"""Parse and check a request to the helper. SPDX: GPL-2.0-only."""

import ipaddress
import json
from dataclasses import dataclass
from typing import Any

OPS = ("ttl_syn", "ttl_stream", "ttl_datagram")
MAX_LINE = 8_192
MAX_PAYLOAD = 3_000  # a ClientHello with a post-quantum key share is 1700 bytes
MAX_TIMEOUT_S = 10.0


class BadRequestError(ValueError):
    """Report an invalid request; str() describes the problem."""

    def __init__(self, problem: str, request_id: int = 0) -> None:
        super().__init__(problem)
        self.request_id = request_id


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketRequest:
    """Describe one packet whose TTL may expire on the way."""

    id: int
    op: str
    address: str
    port: int
    ttl: int
    timeout_s: float
    payload: bytes = b""


def parse_request(line: bytes) -> PacketRequest:
    """Parse a request. Raises BadRequestError."""
    try:
        request: Any = json.loads(line) if len(line) <= MAX_LINE else None
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict):
        raise BadRequestError(f"not a JSON object of at most {MAX_LINE} bytes")
    request_id = _read_integer(request, "id", 1, 2**53, 0)
    op = request.get("op")
    if op not in OPS:
        raise BadRequestError(f"op must be one of {', '.join(OPS)}", request_id)
    return PacketRequest(
        id=request_id,
        op=op,
        address=_read_address(request, request_id),
        port=_read_integer(request, "port", 1, 65_535, request_id),
        ttl=_read_integer(request, "ttl", 1, 255, request_id),
        timeout_s=_read_timeout_s(request, request_id),
        payload=b"" if op == "ttl_syn" else _read_payload(request, request_id),
    )


def _read_integer(request: dict[str, Any], key: str, low: int, high: int, request_id: int) -> int:
    value = request.get(key)
    if type(value) is not int or not low <= value <= high:
        raise BadRequestError(f"{key} must be a whole number from {low} to {high}", request_id)
    return value


def _read_timeout_s(request: dict[str, Any], request_id: int) -> float:
    value = request.get("timeout_s")
    if isinstance(value, bool) or not isinstance(value, int | float):
        value = 0
    if not 0 < value <= MAX_TIMEOUT_S:
        raise BadRequestError(f"timeout_s must be above 0 and at most {MAX_TIMEOUT_S}", request_id)
    return float(value)


def _read_address(request: dict[str, Any], request_id: int) -> str:
    try:
        return str(ipaddress.ip_address(str(request.get("address"))))
    except ValueError as error:
        raise BadRequestError("address must be an IP address", request_id) from error


def _read_payload(request: dict[str, Any], request_id: int) -> bytes:
    try:
        payload = bytes.fromhex(str(request.get("payload")))
    except ValueError:
        payload = b""
    if not 0 < len(payload) <= MAX_PAYLOAD:
        raise BadRequestError(
            f"payload must be 1 to {MAX_PAYLOAD} bytes in hexadecimal", request_id
        )
    return payload
