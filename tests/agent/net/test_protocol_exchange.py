"""Exchanges over TCP, TLS and UDP: the expected reply, and every failure."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from heliograph.failure import Failure, Operation
from heliograph.observation import Exchange, Observation, Udp
from heliograph_agent.net.probe_message import MAX_REPLY, ProbeReply
from heliograph_agent.net.system_net import SystemNet
from heliograph_agent.net.trace import ByteStream
from support.loopback_ca import LoopbackCA
from support.net_fixtures import Opening
from support.speech import Ping
from support.tcp_server import (
    Handler,
    close_after_first_bytes,
    reply,
    reset_after_first_bytes,
    tcp_server,
)
from support.tls_server import tls_server
from support.udp_server import udp_server
from support.values import present


class Listening(Ping):
    """An exchange that never has enough data."""

    def parse_reply(self, received: bytes) -> ProbeReply | None:
        del received
        return None


async def connected(net: SystemNet, port: int) -> ByteStream:
    _, stream = await net.connect("127.0.0.1", port)
    return present(stream)


async def said(
    opening: Opening, handler: Handler, speech: Ping | None = None, **settings: object
) -> Observation:
    with tcp_server(handler) as port:
        net, _ = opening(**settings)
        stream = await connected(net, port)
        seen = await net.exchange(stream, speech or Ping())
        assert stream.writer.transport.is_closing()
    return seen.observation


async def test_a_reply_in_pieces_is_put_together(opening: Opening) -> None:
    async def piecemeal(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4)
        writer.write(b"po")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(b"ng!")
        await reader.read()

    step = await said(opening, piecemeal)
    assert (step.operation, step.failure, step.parent) == (Operation.EXCHANGE, None, 0)
    assert step.exchange == Exchange(
        protocol="ping", reply="pong", sent_bytes=4, received_bytes=5, differences=("loud",)
    )


@pytest.mark.parametrize(
    ("handler", "failure", "received"),
    [
        (reply(b"HTTP/1.1 400 Bad Request"), Failure.UNEXPECTED_REPLY, 24),
        (close_after_first_bytes, Failure.EOF_ERROR, 0),
        (reply(b"po"), Failure.EOF_ERROR, 2),
        (reset_after_first_bytes, Failure.CONNECTION_RESET, 0),
    ],
)
async def test_what_is_no_reply(
    opening: Opening, handler: Handler, failure: Failure, received: int
) -> None:
    step = await said(opening, handler)
    assert step.failure is failure
    assert step.exchange == Exchange(protocol="ping", sent_bytes=4, received_bytes=received)


async def test_a_flood_is_cut(opening: Opening) -> None:
    step = await said(opening, reply(b"x" * 4 * MAX_REPLY), Listening())
    assert step.failure is Failure.UNEXPECTED_REPLY
    assert present(step.exchange).received_bytes == MAX_REPLY


async def test_over_tls_and_counted(opening: Opening, ca: LoopbackCA) -> None:
    with tls_server(ca.leaf("w.test"), reply(b"pong.")) as port:
        net, trace = opening()
        shake, stream = await net.handshake(await connected(net, port), "w.test")
        assert stream is not None
        before = trace.bytes_moved
        seen = await net.exchange(stream, Ping())
    assert seen.observation.parent == shake.index
    assert present(seen.observation.exchange).reply == "pong"
    assert trace.bytes_moved - before > 9  # the records' own bytes come on top


@contextmanager
def udp(*replies: bytes, host: str = "127.0.0.1") -> Iterator[int]:
    with udp_server(lambda _: replies, host=host) as port:
        yield port


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_datagram_and_its_reply(opening: Opening, host: str) -> None:
    with udp(b"pong!", host=host) as port:
        net, trace = opening()
        seen = await net.datagram(host, port, Ping(), endpoint="e1")
    step = seen.observation
    assert (step.failure, step.endpoint, step.udp) == (None, "e1", Udp(address=host, port=port))
    assert step.exchange == Exchange(
        protocol="ping", reply="pong", sent_bytes=4, received_bytes=5, differences=("loud",)
    )
    assert trace.bytes_moved == 9


async def test_a_forged_datagram_does_not_hide_the_reply(opening: Opening) -> None:
    with udp(b"forged", b"po", b"pong.") as port:
        net, _ = opening()
        step = (await net.datagram("127.0.0.1", port, Ping())).observation
    assert step.failure is None
    assert step.exchange == Exchange(protocol="ping", reply="pong", sent_bytes=4, received_bytes=13)


@pytest.mark.parametrize(
    ("replies", "failure"),
    [((b"forged",), Failure.UNEXPECTED_REPLY), ((), Failure.GENERIC_TIMEOUT_ERROR)],
)
async def test_no_reply_by_the_deadline(
    opening: Opening, replies: tuple[bytes, ...], failure: Failure
) -> None:
    with udp(*replies) as port:
        net, _ = opening(udp_s=0.2)
        assert (await net.datagram("127.0.0.1", port, Ping())).observation.failure is failure


def test_random_bytes_come_from_the_seed(opening: Opening) -> None:
    first, second = opening()[0], opening()[0]  # the same seed
    drawn = first.random(32)
    assert drawn == second.random(32)
    assert drawn != first.random(32)
    assert len(drawn) == 32
