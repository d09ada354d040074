"""Every step has one observation, also when cancelled, and leaks nothing."""

import asyncio
import random
import sys
from collections.abc import Awaitable, Callable

import pytest

from heliograph.clock import SystemClock
from heliograph.codec import measurement_from_pb, measurement_to_pb
from heliograph.failure import Failure, Operation
from heliograph.observation import Measurement, Tcp
from heliograph_agent.net.system_net import NetConfig, SystemNet, SystemNetFactory
from heliograph_agent.net.trace import ByteStream
from support.dns_server import dns_server
from support.loopback_ca import LoopbackCA
from support.net_fixtures import Opening
from support.programs import ask
from support.tcp_server import SLOW_BODY, reply, say_nothing, tcp_server
from support.tls_server import tls_server
from support.values import present


async def cancelled(work: Awaitable[object], heard: Callable[[], bool]) -> None:
    """Cancel `work` once the peer has been reached."""
    task = asyncio.ensure_future(work)
    async with asyncio.timeout(60):
        while not heard():  # noqa: ASYNC110 - the peer is a thread
            await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def connected(net: SystemNet, port: int) -> ByteStream:
    _, stream = await net.connect("127.0.0.1", port)
    return present(stream)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_connection_stands_on_its_lookup(opening: Opening, host: str) -> None:
    with tcp_server(say_nothing, host=host) as port:
        net, trace = opening()
        lookup = await net.resolve(host)
        seen, stream = await net.connect(host, port, on=lookup, endpoint="dc1")
        present(stream).close()
        with pytest.raises(ValueError, match="localhost"):
            await net.connect("localhost", port)
    step = seen.observation
    assert (step.operation, step.failure, step.endpoint) == (Operation.CONNECT, None, "dc1")
    assert (step.tcp, step.parent, seen.index) == (Tcp(address=host, port=port), 0, 1)
    assert step.started_us >= trace.observations[0].started_us


async def test_cancelled_lookup(opening: Opening) -> None:
    with dns_server(lambda _: []) as server:
        net, trace = opening(resolver=server.address)
        await cancelled(net.resolve("www.example.test"), lambda: bool(server.queries))
    (step,) = trace.observations
    assert (step.operation, step.failure) == (Operation.RESOLVE, Failure.INTERRUPTED)
    assert present(step.dns).name == "www.example.test"


async def test_cancelled_handshake_and_exchange(opening: Opening) -> None:
    with tcp_server(say_nothing) as port:
        net, trace = opening()
        before = trace.bytes_moved
        shake = net.handshake(await connected(net, port), "www.example.test")
        await cancelled(shake, lambda: trace.bytes_moved > before)
        before = trace.bytes_moved
        exchange = net.http(await connected(net, port), "http://www.example.test/")
        await cancelled(exchange, lambda: trace.bytes_moved > before)
    assert [step.failure for step in trace.observations] == [
        None, Failure.INTERRUPTED, None, Failure.INTERRUPTED,
    ]  # fmt: skip


async def test_cancelled_body_keeps_what_came(opening: Opening) -> None:
    with tcp_server(reply(SLOW_BODY, then=say_nothing)) as port:
        net, trace = opening()
        exchange = net.http(await connected(net, port), "http://www.example.test/")
        await cancelled(exchange, lambda: len(trace.observations) == 2)
    step = trace.observations[-1]
    assert (step.operation, step.failure) == (Operation.READ_BODY, Failure.INTERRUPTED)
    assert step.http is not None
    assert (step.http.status, step.http.body_bytes) == (200, 11)


async def test_every_observation_passes_the_contract(opening: Opening, ca: LoopbackCA) -> None:
    """Hostile texts of every length: the codec takes what the net makes."""
    head = b"HTTP/1.1 200 OK\r\nServer: " + b"\xff\x01" * 2000 + b"\r\nLocation: /" + b"x" * 5000
    with tls_server(ca.leaf("w.test"), reply(head + b"\r\n\r\n<title>" + b"\xff" * 999)) as port:
        net, trace = opening()
        await net.resolve("127.0.0.1")
        _, stream = await net.handshake(await connected(net, port), "w.test")
        await net.http(present(stream), f"https://w.test:{port}/" + "y" * 5000)
    whole = Measurement(
        experiment="web", experiment_version=1, target="w.test", started_us=0, monotonic_us=0,
        boot="b", runtime_us=1, epoch="e", observations=tuple(trace.observations),
    )  # fmt: skip
    assert measurement_from_pb(measurement_to_pb(whole)) == whole
    assert len(trace.observations) == 5


def test_bad_setting_names_its_key() -> None:
    with pytest.raises(ValueError, match=r"net\.resolver: 'dns\.test'"):
        SystemNetFactory(NetConfig(resolver="dns.test"), SystemClock(), random.Random(1))


LOOKUP = """
import sys, heliograph_agent.net.system_net
heavy = {'aioquic', 'dns', 'h11', 'cryptography', 'certifi', 'scapy', 'aiohttp', 'grpc'}
print(sorted(heavy & set(sys.modules)))
import asyncio, random
from heliograph.clock import SystemClock
from heliograph_agent.net.system_net import NetConfig, SystemNetFactory
from heliograph_agent.net.trace import StepTrace
clock = SystemClock()
factory = SystemNetFactory(NetConfig(resolver='127.0.0.1:1'), clock, random.Random(1))
asyncio.run(factory.bind(StepTrace(clock)).resolve('www.example.test'))
parts = {'dns.message', 'dns.resolver', 'dns.asyncresolver', 'dns.query'}
print(parts & set(sys.modules))
"""


def test_net_loads_no_heavy_library_and_of_dnspython_no_resolver() -> None:
    assert ask([sys.executable, "-c", LOOKUP]) == "[]\n{'dns.message'}\n"
