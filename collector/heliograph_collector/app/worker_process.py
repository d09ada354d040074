"""Start, use and end one judge process."""

import asyncio
import itertools
import logging
import socket
import sys
from contextlib import suppress
from typing import Protocol

import msgspec

from heliograph_collector.app.frames import (
    HEADER_BYTES,
    FrameError,
    decode_length,
    encode_frame,
)
from heliograph_collector.app.judge_messages import (
    DecodeReply,
    DecodeRequest,
    FindViewsReply,
    FindViewsRequest,
    JudgeMessage,
    JudgeReply,
    JudgeRequest,
    JudgeSetup,
    TakeUpReply,
    TakeUpRequest,
    WorkerStatus,
    decode_message,
)
from heliograph_collector.control.assessor import TakenUp
from heliograph_collector.model.records import Verdict

# Assumed: after so long, and so much more for each record and for each envelope, it hangs. A record
# takes 2 ms to decode and 4 ms to judge on a core that nothing else uses.
ANSWER_S = 20.0
RECORD_S = 0.1
START_S = 120.0  # of a new process; nobody waits for it
STOP_S = 1.0  # `serve` stops within two seconds
_BUFFER = 1_048_576
_NUMBERS = itertools.count(1)

_LOG = logging.getLogger("heliograph.judge")


class WorkerLostError(Exception):
    """The process ended, hangs, or sent an invalid answer."""


class WorkerStream(Protocol):
    """Bytes to and from a judge process.

    Implemented by ProcessStream and RemoteStream.
    """

    name: str

    async def write(self, content: bytes) -> None:
        """Send bytes. Raises OSError."""
        ...

    async def read_exactly(self, count: int) -> bytes:
        """Read that many bytes. Raises OSError, EOFError."""
        ...

    async def stop(self) -> None:
        """Let the process end."""
        ...

    def kill(self) -> None: ...


class ProcessStream:
    """A judge process on this machine."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.name = str(process.pid)
        self._process = process
        self._reader = reader
        self._writer = writer

    async def write(self, content: bytes) -> None:
        self._writer.write(content)
        await self._writer.drain()

    async def read_exactly(self, count: int) -> bytes:
        return await self._reader.readexactly(count)

    async def read(self, limit: int) -> bytes:
        """Read the available bytes, b"" at the end. Raises OSError."""
        return await self._reader.read(limit)

    async def stop(self) -> None:
        """Close the stream, at which the process ends, and kill it if it does not."""
        self._writer.close()
        try:
            async with asyncio.timeout(STOP_S):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()

    def kill(self) -> None:
        self._writer.close()
        with suppress(ProcessLookupError):
            self._process.kill()


class WorkerProcess:
    """Running judge process. After a WorkerLostError it is ended and not used again."""

    def __init__(self, stream: WorkerStream) -> None:
        self._stream = stream
        self._turn = asyncio.Lock()  # one exchange at a time, each with its deadline
        self._is_ended = False
        self.cpu_us = 0  # as of its last answer
        self.number = next(_NUMBERS)  # no other one has it

    @property
    def name(self) -> str:
        """Return its process id; of one elsewhere, the name under which it is offered."""
        return self._stream.name

    async def decode(self, request: DecodeRequest) -> DecodeReply:
        """Decode envelopes. Raises WorkerLostError."""
        reply = await self._exchange(request, ANSWER_S + RECORD_S * len(request.rows))
        if not isinstance(reply, DecodeReply):
            raise WorkerLostError(f"answered with {type(reply).__name__}")
        return reply

    async def take_up(self, request: TakeUpRequest, count: int) -> TakenUp:
        """Take up a block of `count` records. Raises WorkerLostError."""
        reply = await self._exchange(request, ANSWER_S + RECORD_S * count)
        if not isinstance(reply, TakeUpReply):
            raise WorkerLostError(f"answered with {type(reply).__name__}")
        return reply.taken_up

    async def find_views(self, request: FindViewsRequest, count: int) -> list[msgspec.Raw]:
        """Find the views of `count` records; return a request to pass on for each share.

        Raises WorkerLostError.
        """
        reply = await self._exchange(request, ANSWER_S + RECORD_S * count)
        if not isinstance(reply, FindViewsReply) or len(reply.requests) != len(request.shares):
            raise WorkerLostError(f"answered with {type(reply).__name__}")
        return reply.requests

    async def judge(
        self, request: JudgeRequest | msgspec.Raw, count: int
    ) -> list[tuple[Verdict, ...] | None]:
        """Judge a share of `count` records of a block. Raises WorkerLostError.

        Args:
            request: To a process without the context, what the one with it made.
        """
        reply = await self._exchange(request, ANSWER_S + RECORD_S * count)
        if not isinstance(reply, JudgeReply) or len(reply.verdicts) != count:
            raise WorkerLostError(f"answered with {type(reply).__name__}")
        return reply.verdicts

    async def set_up(self, setup: JudgeSetup) -> None:
        """Send a new process its setup. Raises WorkerLostError."""
        await self._exchange(setup, START_S, reads_reply=False)

    async def stop(self) -> None:
        await self._stream.stop()

    def kill(self) -> None:
        self._is_ended = True
        self._stream.kill()

    async def _exchange(
        self, request: JudgeMessage | msgspec.Raw, deadline_s: float, *, reads_reply: bool = True
    ) -> JudgeMessage | None:
        """Send a request and read its reply, if it has one, and the status after it.

        The process is killed where this fails, as by cancellation: the stream would be out of step.
        """
        try:
            async with self._turn, asyncio.timeout(deadline_s):
                if self._is_ended:
                    raise EOFError("it has ended")
                await self._stream.write(encode_frame(request))
                reply = await self._read_message() if reads_reply else None
                status = await self._read_message()
        except (OSError, EOFError, TimeoutError, FrameError) as error:
            self.kill()
            raise WorkerLostError(str(error) or type(error).__name__) from error
        except BaseException:
            self.kill()
            raise
        if isinstance(status, WorkerStatus):
            self.cpu_us = status.cpu_us
            for message in status.messages:
                _LOG.error("%s", message)
        return reply

    async def _read_message(self) -> JudgeMessage:
        length = decode_length(await self._stream.read_exactly(HEADER_BYTES))
        return decode_message(await self._stream.read_exactly(length))


async def start_stream(setup: JudgeSetup) -> ProcessStream:
    """Start a judge process on this machine, and await it. Raises WorkerLostError."""
    parent_socket, child_socket = socket.socketpair()
    with child_socket:
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "heliograph_collector.app.judge_process"),
                str(child_socket.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(child_socket.fileno(),),
            )
        except OSError as error:
            parent_socket.close()
            raise WorkerLostError(str(error)) from error
    reader, writer = await asyncio.open_unix_connection(sock=parent_socket, limit=_BUFFER)
    stream = ProcessStream(process, reader, writer)
    await WorkerProcess(stream).set_up(setup)
    return stream


class LocalWorkers:
    """Judge processes of this machine, up to a limit."""

    def __init__(self, setup: JudgeSetup, limit: int) -> None:
        self.setup = setup
        self._limit = limit

    def has_room(self, count: int) -> bool:
        """Return whether another may be started beside `count` that there are."""
        return count < self._limit

    async def start(self) -> WorkerProcess:
        """Start one. Raises WorkerLostError."""
        return WorkerProcess(await start_stream(self.setup))
