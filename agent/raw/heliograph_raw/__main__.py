"""Read requests from stdin and answer them in turn. SPDX: GPL-2.0-only."""

import errno
import json
import logging
import socket
import sys
from dataclasses import asdict
from typing import BinaryIO

from heliograph_raw.request import MAX_LINE, BadRequestError, PacketRequest, parse_request


def main() -> int:
    """Return 0 at the end of input, 1 when the helper cannot work on this machine."""
    problem, message = _find_obstacle()
    if problem:
        _write_reply(ready=False, problem=problem, message=message)
        return 1
    _write_reply(ready=True)
    return serve(sys.stdin.buffer)


def serve(requests: BinaryIO) -> int:
    """Answer requests until the end of input, or until an unterminated line."""
    while line := requests.readline(MAX_LINE + 1):
        try:
            _answer_request(parse_request(line))
        except BadRequestError as error:
            _write_reply(id=error.request_id, error=str(error))
        if not line.endswith(b"\n"):
            return 1
    return 0


def _answer_request(request: PacketRequest) -> None:
    from heliograph_raw.ttl_probes import OPS

    try:
        answer = OPS[request.op](request)
    except OSError as error:  # a timeout of the socket itself has no errno
        _write_reply(id=request.id, errno=error.errno or errno.ETIMEDOUT)
    else:
        _write_reply(id=request.id, **asdict(answer))


def _find_obstacle() -> tuple[str, str]:
    """Return the problem and a sentence about it, both "" when the helper can work."""
    logging.getLogger("scapy").setLevel(logging.CRITICAL)  # its warnings name addresses
    try:
        import scapy  # noqa: F401 - the import is the test
    except ImportError:
        sentence = "Raw packets need scapy: pip install scapy, beside heliograph-raw."
        return "scapy_missing", sentence
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
    except PermissionError:
        sentence = "Raw packets need CAP_NET_RAW: give it to this program alone, not to the agent."
        return "no_cap_net_raw", sentence
    return "", ""


def _write_reply(**fields: object) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
