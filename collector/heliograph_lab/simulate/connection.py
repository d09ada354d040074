"""What an agent speaks over: a connection of its own, or a share in one."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from heliograph.v1 import intake_pb2_grpc

if TYPE_CHECKING:
    import grpc

    from heliograph.v1.intake_pb2_grpc import IntakeAsyncStub

OF_ONE = 8  # sessions of one connection: the collector allows no more streams


class Line(Protocol):
    def stub(self) -> "IntakeAsyncStub": ...

    async def drop(self) -> None:
        """What was spoken over is dead; the next `stub` is on a fresh connection, if it can be."""
        ...


class OwnLine:
    """As a real agent has it."""

    def __init__(self, open_channel: "Callable[[], grpc.aio.Channel]") -> None:
        self._open = open_channel
        self._channel: grpc.aio.Channel | None = None

    def stub(self) -> "IntakeAsyncStub":
        if self._channel is None:
            self._channel = self._open()
        return intake_pb2_grpc.IntakeStub(self._channel)

    async def drop(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()


class SharedLine:
    """Of several agents; gRPC itself connects it again when it breaks."""

    def __init__(self, channel: "grpc.aio.Channel") -> None:
        self._stub = intake_pb2_grpc.IntakeStub(channel)

    def stub(self) -> "IntakeAsyncStub":
        return self._stub

    async def drop(self) -> None:
        return None


def lines(
    count: int, open_channel: "Callable[[], grpc.aio.Channel]", *, shared: bool
) -> list[Line]:
    if not shared:
        return [OwnLine(open_channel) for _ in range(count)]
    found: list[Line] = []
    for _ in range(0, count, OF_ONE):
        line = SharedLine(open_channel())
        found.extend([line] * OF_ONE)
    return found[:count]
