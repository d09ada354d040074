"""Read requests from stdin and answer them in turn. SPDX: GPL-2.0-only."""

import errno
import json
import logging
import socket
import sys
from typing import Any, BinaryIO

from heliograph_raw.request import MAX_LINE, BadRequestError, PacketRequest, parse_request


def main() -> int:
    """Return 0 at the end of input, 1 when the helper cannot work on this machine."""
    problem = _find_obstacle()
    if problem is not None:
        _write_reply({"ready": False} | problem)
        return 1
    _write_reply({"ready": True})
    return serve(sys.stdin.buffer)


def serve(requests: BinaryIO) -> int:
    """Answer requests until the end of input, or until an unterminated line."""
    while line := requests.readline(MAX_LINE + 1):
        try:
            _write_reply(_answer_request(parse_request(line)))
        except BadRequestError as error:
            _write_reply({"id": error.request_id, "error": str(error)})
        if not line.endswith(b"\n"):
            return 1
    return 0


def _answer_request(request: PacketRequest) -> dict[str, Any]:
    from heliograph_raw.ttl_probes import OPS

    try:
        return {"id": request.id} | OPS[request.op](request)
    except OSError as error:  # a timeout of the socket itself has no errno
        return {"id": request.id, "errno": error.errno or errno.ETIMEDOUT}


def _find_obstacle() -> dict[str, str] | None:
    logging.getLogger("scapy").setLevel(logging.CRITICAL)  # its warnings name addresses
    try:
        import scapy  # noqa: F401 - the import is the test
    except ImportError:
        return {
            "problem": "scapy_missing",
            "message": "Raw packets need scapy: pip install scapy, beside heliograph-raw.",
        }
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
    except PermissionError:
        return {
            "problem": "no_cap_net_raw",
            "message": "Raw packets need CAP_NET_RAW: give it to this program alone, "
            "not to the agent.",
        }
    return None


def _write_reply(reply: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(reply) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
