"""Parse and check a request to the helper. SPDX: GPL-2.0-only."""

import ipaddress
import json
from dataclasses import dataclass

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
        request: object = json.loads(line) if len(line) <= MAX_LINE else None
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict):
        raise BadRequestError(f"not a JSON object of at most {MAX_LINE} bytes")
    request_id = 0
    try:
        request_id = _read_integer(request.get("id"), "id", 2**53)
        op = request.get("op")
        if op not in OPS:
            raise ValueError(f"op must be one of {', '.join(OPS)}")
        return PacketRequest(
            id=request_id,
            op=op,
            address=_read_address(request.get("address")),
            port=_read_integer(request.get("port"), "port", 65_535),
            ttl=_read_integer(request.get("ttl"), "ttl", 255),
            timeout_s=_read_timeout_s(request.get("timeout_s")),
            payload=b"" if op == "ttl_syn" else _read_payload(request.get("payload")),
        )
    except ValueError as error:
        raise BadRequestError(str(error), request_id) from error


def _read_integer(value: object, key: str, high: int) -> int:
    if type(value) is not int or not 1 <= value <= high:
        raise ValueError(f"{key} must be a whole number from 1 to {high}")
    return value


def _read_timeout_s(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        value = 0
    if not 0 < value <= MAX_TIMEOUT_S:
        raise ValueError(f"timeout_s must be above 0 and at most {MAX_TIMEOUT_S}")
    return float(value)


def _read_address(value: object) -> str:
    try:
        return str(ipaddress.ip_address(str(value)))
    except ValueError as error:
        raise ValueError("address must be an IP address") from error


def _read_payload(value: object) -> bytes:
    try:
        payload = bytes.fromhex(str(value))
    except ValueError:
        payload = b""
    if not 0 < len(payload) <= MAX_PAYLOAD:
        raise ValueError(f"payload must be 1 to {MAX_PAYLOAD} bytes in hexadecimal")
    return payload
