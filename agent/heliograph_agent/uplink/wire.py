"""The stream of a session, with gRPC's errors turned into the door's words."""

import asyncio
from typing import TYPE_CHECKING

from heliograph.v1 import intake_pb2
from heliograph_agent.uplink.door import DoorError, Reason, refusal

if TYPE_CHECKING:
    import grpc

    Call = grpc.aio.StreamStreamCall[intake_pb2.AgentMessage, intake_pb2.CollectorMessage]


class Wire:
    """One writer at a time, as gRPC wants it."""

    def __init__(self, call: "Call") -> None:
        import grpc

        self._call = call
        self._error = grpc.aio.AioRpcError
        self._eof = grpc.aio.EOF
        self._writing = asyncio.Lock()

    async def say(self, message: intake_pb2.AgentMessage) -> None:
        """Raises DoorError."""
        try:
            async with self._writing:
                await self._call.write(message)
        except self._error as error:
            raise refusal(error) from error
        except asyncio.InvalidStateError as error:  # the stream has ended under our hands
            raise DoorError(Reason.ENDED) from error

    async def hear(self) -> intake_pb2.CollectorMessage:
        """Raises DoorError, also when the collector ends the stream."""
        try:
            message = await self._call.read()
        except self._error as error:
            raise refusal(error) from error
        if message is self._eof:
            raise DoorError(Reason.ENDED)
        if not isinstance(message, intake_pb2.CollectorMessage):
            raise DoorError(Reason.REFUSED)  # gRPC gives None for bytes it could not parse
        return message

    async def hang_up(self) -> None:
        """Say that nothing more is coming and wait for the collector to end the stream."""
        async with self._writing:
            await self._call.done_writing()
        await self._call.code()

    def drop(self) -> None:
        self._call.cancel()
