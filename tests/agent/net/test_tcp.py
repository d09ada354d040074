"""Connecting: success, refusal, and what is no connect at all."""

import pytest

from heliograph.failure import Failure, Operation
from heliograph.observation import Tcp
from support.net_fixtures import Opening
from support.ports import free_port
from support.tcp_server import say_nothing, tcp_server


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_success(opening: Opening, host: str) -> None:
    with tcp_server(say_nothing, host=host) as port:
        net, trace = opening()
        lookup = await net.resolve(host)
        seen, stream = await net.connect(host, port, on=lookup, endpoint="dc1")
        assert stream is not None
        stream.close()
    step = seen.observation
    assert (step.operation, step.failure) == (Operation.CONNECT, None)
    assert (step.tcp, step.parent, step.endpoint) == (Tcp(address=host, port=port), 0, "dc1")
    assert step.started_us >= trace.observations[0].started_us
    assert seen.index == 1


async def test_refused(opening: Opening) -> None:
    net, trace = opening()
    seen, stream = await net.connect("127.0.0.1", free_port())
    assert stream is None
    assert seen.observation.failure is Failure.CONNECTION_REFUSED
    assert trace.observations == [seen.observation]


async def test_name_is_no_address(opening: Opening) -> None:
    net, trace = opening()
    with pytest.raises(ValueError, match="localhost"):
        await net.connect("localhost", 80)
    assert trace.observations == []
