"""Connections whose peer does not behave."""

import asyncio
import socket

from heliograph.clock import SystemClock
from heliograph_agent.net.tcp import open_tcp
from heliograph_agent.net.trace import StepTrace
from support.ports import HOST


async def test_a_peer_that_reads_nothing_is_dropped() -> None:
    """A peer that reads nothing is dropped.

    It may ask for answers without end: pings of HTTP/2, new keys of TLS.
    """
    with socket.create_server((HOST, 0)) as server:
        connection = await open_tcp(HOST, server.getsockname()[1], StepTrace(SystemClock()))
        unsent_bytes = 0
        for _ in range(1_000):
            unsent_bytes = max(unsent_bytes, connection.transport.get_write_buffer_size())
            if connection.transport.is_closing():
                break
            connection.write(bytes(65_536))
        assert connection.transport.is_closing()
        assert 0 < unsent_bytes < 2_000_000
        async with asyncio.timeout(120):
            assert await connection.receive_buffer.read(1) == b""
