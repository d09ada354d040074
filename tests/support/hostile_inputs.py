"""Inputs that cost a listener much and the sender little; loopback only.

Run as a program, `python -m support.hostile_inputs LISTENER PORT SECONDS`, it sends all of it again
and again for so long, at least once, and prints how many pieces it sent. With `asked` for SECONDS
it sends all of it once for each line of its input.
"""

import base64
import hashlib
import os
import random
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import grpc

from heliograph import dns_beacon, keys
from heliograph.envelope import SIZES, VERSION
from heliograph.http_envelope import MAX_BODY, MAX_HEAD
from heliograph.v1 import envelope_pb2, intake_pb2, intake_pb2_grpc
from heliograph_collector.fleet.certificate import encode_public_key
from support import hostile_http2
from support.ports import HOST

WAIT_S = 10.0
READ_S = 0.3  # for what comes back: some of it is answered with silence
MOST = 262_144 - 8  # the largest message that gRPC takes here
TINY = 300  # messages in a stream of tiny ones
# Of the listeners, here and not there: they import both programs, which an attacker does not need.
ZONE = "b.collector.example"
RELAY_SEALING = keys.SealingKey(bytes(range(32))).public  # of the collector that it carries to


def carry(port: int, *pieces: bytes, tls: bool = False) -> None:
    """Send all pieces on one connection, each a record or segment; read the answer."""
    with socket.create_connection((HOST, port), timeout=WAIT_S) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wrapped = secure(line) if tls else line
        for piece in pieces:
            wrapped.sendall(piece)
        wrapped.settimeout(READ_S)
        while wrapped.recv(65_536):
            pass


def secure(line: socket.socket) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(line)


def head(length: int, *fields: str) -> bytes:
    lines = ("POST /v1/envelopes HTTP/1.1", *fields, f"Content-Length: {length}", "", "")
    return "\r\n".join(lines).encode()


def post(port: int) -> Iterator[Callable[[], object]]:
    """Yield tiny headers, one-byte records, the largest body in all record sizes."""
    body = bytes(MAX_BODY - 300)
    for size in (1, 100, 16_384):
        pieces = [body[at : at + size] for at in range(0, min(len(body), size * 2_000), size)]
        yield lambda pieces=pieces: carry(port, head(len(body)), *pieces, tls=True)  # type: ignore[misc]
    yield lambda: carry(port, head(2_000, *["a:"] * 1_000), *[b"x"] * 2_000, tls=True)
    yield lambda: carry(port, head(9, "a: " + " " * (MAX_HEAD - 90)), tls=True)
    yield lambda: carry(port, b"\x16\x03\x01\xff\xff" * 4_000)
    chunked = b"POST /v1/envelopes HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    trailers = b"1\r\nx\r\n" * 9_000 + b"0\r\n" + b"a:\r\n" * 2_000
    yield lambda: carry(port, chunked + trailers, tls=True)
    yield lambda: carry(port, head(0) * 500, *[head(0)] * 100, tls=True)
    yield lambda: carry(port, head(len(body)) + body, tls=True)
    envelope = envelope_pb2.Envelope(
        version=VERSION, key_id=keys.key_id(RELAY_SEALING), sealed=os.urandom(SIZES[-1])
    ).SerializeToString()
    yield lambda: carry(port, head(len(envelope)) + envelope, tls=True)


def echo(port: int) -> Iterator[Callable[[], object]]:
    first = b"GET / HTTP/1.1\r\n"
    yield lambda: carry(port, first + b"a:" + b" " * 8_000 + b"\r\n\r\n")
    yield lambda: carry(port, first + b"a:\r\n" * 2_000 + b"\r\n")
    yield lambda: carry(port, *[b"G"] * 2_000)
    yield lambda: carry(port, first, *[b"a:\r\n"] * 1_000, b"\r\n")
    yield lambda: carry(port, os.urandom(8_192), *[os.urandom(2_000)] * 30)


def http(port: int) -> Iterator[Callable[[], object]]:
    """Yield HTTP heads, bodies and queries that are costly to parse.

    The cost of pages is measured by the feed's bench.
    """
    end = "\r\nHost: x\r\nConnection: close\r\n"
    chunked = f"POST /v1/envelopes HTTP/1.1{end}Transfer-Encoding: chunked\r\n\r\n".encode()
    yield lambda: carry(port, chunked + b"1\r\nx\r\n" * 60_000)
    tiny = f"POST /v1/envelopes HTTP/1.1{end}Content-Length: 2000\r\n".encode() + b"a:\r\n" * 1_000
    yield lambda: carry(port, tiny + b"\r\n", *[b"x"] * 2_000)
    yield lambda: carry(port, f"GET /x HTTP/1.1{end}".encode() + b"a:" + b" " * 4_000 + b"\r\n\r\n")
    yield lambda: carry(port, f"GET /x HTTP/1.1{end}".encode() + b"a:\r\n" * 2_000 + b"\r\n")
    query = "&".join(f"country={'%41' * 40}" for _ in range(30))
    for path in ("measurements", "aggregation", "incidents", "timeline", "coverage", "log"):
        target = f"GET /api/v1/{path}?{query} HTTP/1.1{end}\r\n"
        yield lambda target=target: carry(port, target.encode())  # type: ignore[misc]
    yield lambda: carry(port, chunked + b"1;" + b"x" * 4_000 + b"\r\nx\r\n" * 1_000)
    yield lambda: carry(port, chunked + b"0\r\n" + b"a:\r\n" * 5_000)
    yield lambda: carry(port, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 3_000)
    for name, part in (("Cookie", 'a="\\'), ("If-None-Match", '"a",'), ("Range", "bytes=1-2,")):
        field = f"{name}: {part * (4_000 // len(part))}\r\n"
        target = f"GET /healthz HTTP/1.1{end}{field}\r\n"
        yield lambda target=target: carry(port, target.encode())  # type: ignore[misc]
    form = b"&".join([b"a=%41"] * 20_000)
    kind = "Content-Type: application/x-www-form-urlencoded"
    length = f"Content-Length: {len(form)}"
    login = f"POST /console/login HTTP/1.1{end}{kind}\r\n{length}\r\n\r\n"
    yield lambda: carry(port, login.encode() + form)
    language = ",".join(f"a{n};q=0.{n}" for n in range(300))
    yield lambda: carry(port, f"GET /x HTTP/1.1{end}Accept-Language: {language}\r\n\r\n".encode())


def dns(port: int) -> Iterator[Callable[[], object]]:
    """Yield queries that cost most to parse, and beacons that open to nothing."""
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.connect((HOST, port))
    question = struct.pack(">HH", 28, 1)
    pointers = b"\xc0\x0c" + struct.pack(">HHIH", 5, 1, 0, 2) + b"\xc0\x0c"
    names = b"\1a" * 100 + b"\0"
    heads = [struct.pack(">HH4H", 1, 0x100, *counts) for counts in ((1, 21, 0, 0), (1, 0, 0, 21))]
    crafted = [(top + names + question + pointers * 40)[:512] for top in heads]
    zone = b"".join(bytes([len(part)]) + part.encode() for part in ZONE.split(".")) + b"\0"
    text = base64.b32encode(random.Random(1).randbytes(dns_beacon.SEALED)).rstrip(b"=")
    parts = (text[at : at + 63] for at in range(0, len(text), 63))
    labels = b"".join(bytes([len(part)]) + part for part in parts)
    plain = struct.pack(">HH4H", 1, 0x100, 1, 0, 0, 0)
    crafted.append(plain + labels + zone + question)
    for wire in crafted:
        yield lambda wire=wire: [line.send(wire) for _ in range(50)]  # type: ignore[misc]
        framed = len(wire).to_bytes(2, "big") + wire
        for size in (1, len(framed)):
            pieces = [framed[at : at + size] for at in range(0, len(framed), size)]
            yield lambda pieces=pieces: carry(port, *pieces)  # type: ignore[misc]


def _send_tiny_headers_and_bytes(port: int) -> None:
    """Send a thousand tiny headers, then a body in one-byte TLS records."""
    tiny = hostile_http2.frame(
        hostile_http2.CONTINUATION, hostile_http2.END_HEADERS, 1, b"\x00\x01a\x00" * 1_000
    )
    begun = bytearray(hostile_http2.headers(1))
    begun[4] &= ~hostile_http2.END_HEADERS
    body = hostile_http2.frame(hostile_http2.DATA, 0, 1, bytes(5) + bytes(2_000))
    with hostile_http2.opened(port) as line:
        line.sendall(begun + tiny)
        for value in body:
            line.sendall(bytes((value,)))


def grpc_inputs(port: int) -> Iterator[Callable[[], object]]:
    """Yield the largest and smallest gRPC messages of strangers and quarantined keys."""
    yield lambda: _send_tiny_headers_and_bytes(port)
    certificate = ssl.get_server_certificate((HOST, port), timeout=WAIT_S).encode()
    pin = hashlib.sha256(encode_public_key(certificate)).digest()
    trust = grpc.ssl_channel_credentials(certificate)
    with grpc.secure_channel(f"{HOST}:{port}", trust, _OPTIONS) as channel:
        stub = intake_pb2_grpc.IntakeStub(channel)
        signer = keys.SigningKey(random.Random(port).randbytes(32))
        request = intake_pb2.EnrolRequest(
            public_key=signer.public,
            proof=signer.sign(keys.bind_context(keys.ENROL, pin), b""),
            agent_version="x",
        )
        with suppress(grpc.RpcError):  # enrolled by an earlier round
            stub.Enrol(request, timeout=WAIT_S)
        agent = keys.agent_id(signer.public)
        for name, raw in _STRANGER.items():
            method = "Session" if name.startswith("hello") else name.split()[0]
            call: Any = channel.stream_stream(f"/heliograph.v1.Intake/{method}")
            yield lambda call=call, raw=raw: list(call(iter([raw]), timeout=WAIT_S))  # type: ignore[misc]
        context = keys.bind_context(keys.HELLO, pin)

        def sign(nonce: bytes) -> intake_pb2.Hello:
            return intake_pb2.Hello(agent=agent, signature=signer.sign(context, nonce))

        for messages in _AGENT.values():
            yield lambda messages=messages: _session(stub, sign, messages)  # type: ignore[misc]


_OPTIONS = (("grpc.ssl_target_name_override", "heliograph-collector"),)
_BIG = envelope_pb2.Envelope(version=VERSION, key_id=bytes(8), sealed=bytes(MOST - 64))
_STRANGER = {
    "Enrol with a long token": intake_pb2.EnrolRequest(
        token=bytes(MOST - 200), public_key=bytes(32), proof=bytes(64)
    ).SerializeToString(),
    "Submit the largest": intake_pb2.SubmitRequest(envelope=_BIG).SerializeToString(),
    "Submit one field again and again": b"\x0a\x00" * (MOST // 2),
    "Submit what nobody knows": b"\xf8\x01\x01" * (MOST // 3),
    "hello of the largest": intake_pb2.AgentMessage(
        hello=intake_pb2.Hello(agent=bytes(16), signature=bytes(64), epoch="x" * (MOST - 200))
    ).SerializeToString(),
    "hello again and again": b"\x0a\x00" * (MOST // 2),
    "hello or goodbye": b"\x0a\x00\x22\x00" * (MOST // 4),
    "hello unsigned": intake_pb2.AgentMessage(
        hello=intake_pb2.Hello(agent=bytes(16), signature=bytes(64))
    ).SerializeToString(),
}
_AGENT = {
    "heartbeats": [intake_pb2.AgentMessage(heartbeat=intake_pb2.Heartbeat(sent_us=1))] * TINY,
    "long heartbeats": [
        intake_pb2.AgentMessage(heartbeat=intake_pb2.Heartbeat(link="x" * (MOST - 64)))
    ] * 20,
    "envelopes": [intake_pb2.AgentMessage(envelope=_BIG)] * 17,
    "tiny envelopes": [
        intake_pb2.AgentMessage(envelope=envelope_pb2.Envelope(version=VERSION))
    ] * 17,
    "renewals": [
        intake_pb2.AgentMessage(renewal=intake_pb2.Renewal(public_key=bytes(MOST - 64)))
    ] * 20,
}  # fmt: skip


def _session(
    stub: "intake_pb2_grpc.IntakeStub",
    sign: Callable[[bytes], intake_pb2.Hello],
    messages: list[intake_pb2.AgentMessage],
) -> None:
    nonces: list[bytes] = []
    arrived = threading.Event()

    def say() -> Iterator[intake_pb2.AgentMessage]:
        if not arrived.wait(WAIT_S):
            return
        yield intake_pb2.AgentMessage(hello=sign(nonces[0]))
        yield from messages

    for message in stub.Session(say(), timeout=WAIT_S):
        if message.HasField("challenge"):
            nonces.append(message.challenge.nonce)
            arrived.set()


INPUTS: dict[str, Callable[[int], Iterator[Callable[[], object]]]] = {
    "grpc": grpc_inputs, "post": post, "dns": dns, "echo": echo, "http": http, "relay": post,
}  # fmt: skip
REFUSALS = (OSError, EOFError, grpc.RpcError)


def send_all(listener: str, port: int, seconds: float) -> int:
    count, end_s = 0, time.monotonic() + seconds
    while not count or time.monotonic() < end_s:
        for send in INPUTS[listener](port):
            with suppress(*REFUSALS):
                send()
            count += 1
    return count


def main(listener: str, port: int, seconds: str) -> None:
    for _ in sys.stdin if seconds == "asked" else (None,):
        print(send_all(listener, port, 0.0 if seconds == "asked" else float(seconds)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
