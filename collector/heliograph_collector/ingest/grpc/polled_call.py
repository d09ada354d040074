"""Calls of the Intake service that came by POST, for agents without gRPC.

`UnaryCall` and `PolledSession` stand in for gRPC's context, so that enrollment and sessions have
one handler whatever carries them. A session's messages travel in polls and replies that may be lost
and repeated: each side numbers its own messages, acknowledges the other's by a count, and sends
again the others. One poll at most is held; the next one ends the wait of the last.
"""

import asyncio
from collections import deque
from typing import NoReturn

import grpc
from google.protobuf.message import DecodeError

from heliograph.http_envelope import INTERMEDIARY_HEADER, MAX_POLL_BYTES, POLL_S
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.ingest.grpc.request_guard import parse_agent_message

MAX_MESSAGES = 64  # of one poll, unread, and unconfirmed; an agent has 16 envelopes on the way
MAX_UNPROVEN_BYTES = 4_096  # of a stranger's request; a hello has at most MAX_HELLO_BYTES
_RETRY_KEY = "retry-after-s"
Metadata = tuple[tuple[str, str], ...]


class CallEndedError(Exception):
    """The collector refused or ended the call, as described by `end`."""

    def __init__(self, end: pb.CallEnd) -> None:
        super().__init__(end.details)
        self.end = end


class UnaryCall:
    """The part of gRPC's context that the handler of one request uses."""

    def __init__(self, address_chain: str, intermediary: str) -> None:
        self._address_chain = address_chain
        self.intermediary = intermediary
        self._metadata = ((INTERMEDIARY_HEADER, intermediary),) if intermediary else ()

    def peer(self) -> str:
        """Return the addresses that the request passed, as in `find_origin`."""
        return self._address_chain

    def invocation_metadata(self) -> Metadata:
        return self._metadata

    def time_remaining(self) -> float | None:
        return None

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Metadata = ()
    ) -> NoReturn:
        retry_s = int(dict(trailing_metadata).get(_RETRY_KEY, "0"))
        raise CallEndedError(
            pb.CallEnd(status=code.value[0], details=details, retry_after_s=retry_s)
        )


class PolledSession(UnaryCall):
    """The part of gRPC's context that `AgentSession` uses, carried by polls."""

    def __init__(self, name: bytes, address_chain: str, intermediary: str) -> None:
        super().__init__(address_chain, intermediary)
        self.name = name
        self.has_agent = False  # its hello was accepted
        self._inbox: asyncio.Queue[object] = asyncio.Queue()
        self._received = 0
        self._outbox: deque[pb.CollectorMessage] = deque()  # what the agent has not confirmed
        self._confirmed = 0
        self._room = asyncio.Event()
        self._waiting: asyncio.Future[None] | None = None  # of the held poll
        self.end: pb.CallEnd | None = None

    async def read(self) -> object:
        """Return the agent's next message.

        The result is gRPC's EOF at the end, None for unparsable bytes.
        """
        return await self._inbox.get()

    async def write(self, message: pb.CollectorMessage) -> None:
        """Queue a message; wait while too many are not confirmed."""
        while len(self._outbox) >= MAX_MESSAGES:
            self._room.clear()
            await self._room.wait()
        self._outbox.append(message)
        self.answer_held()

    def hang_up(self) -> None:
        """End the session as if its stream had broken off."""
        self._inbox.put_nowait(grpc.aio.EOF)

    def finish(self, end: pb.CallEnd) -> None:
        self.end = end
        self.answer_held()

    def answer_held(self) -> bool:
        """End the wait of the held poll; return whether there was one."""
        if self._waiting is None or self._waiting.done():
            return False
        self._waiting.set_result(None)
        return True

    async def answer_poll(self, poll: pb.Poll) -> pb.PollReply:
        """Take a poll's messages; reply when there are messages, or after POLL_S."""
        self.answer_held()
        self._take_messages(poll)
        self._confirm(poll.received)
        if not self._outbox and self.end is None:
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(POLL_S):
                    await self._waiting
            except TimeoutError:
                pass
        return pb.PollReply(
            session=self.name,
            first=self._confirmed,
            messages=self._list_next(),
            received=self._received,
            end=self.end,
        )

    def _list_next(self) -> list[pb.CollectorMessage]:
        """List the first message, and more while they are small.

        A reply has at most MAX_POLL_BYTES, unless its first message is larger.
        """
        messages: list[pb.CollectorMessage] = []
        size = 0
        for message in self._outbox:
            size += message.ByteSize()
            if messages and size > MAX_POLL_BYTES:
                break
            messages.append(message)
        return messages

    def _take_messages(self, poll: pb.Poll) -> None:
        """Pass on new messages; a gap is sent again, because it is not acknowledged."""
        if len(poll.messages) > MAX_MESSAGES:
            self._inbox.put_nowait(None)
            return
        if poll.first > self._received:
            return
        for wire in poll.messages[self._received - poll.first :]:
            if self._inbox.qsize() >= MAX_MESSAGES:
                return
            self._inbox.put_nowait(_parse(wire))
            self._received += 1

    def _confirm(self, received: int) -> None:
        while self._outbox and self._confirmed < received:
            self._outbox.popleft()
            self._confirmed += 1
        self._room.set()


def note_hello(context: object, hello: pb.Hello) -> None:
    """Note the interval of polls in an accepted hello, 0 for a stream."""
    hello.poll_s = 0
    if isinstance(context, PolledSession):
        context.has_agent = True
        hello.poll_s = POLL_S


def _parse(wire: bytes) -> pb.AgentMessage | None:
    try:
        return parse_agent_message(wire)
    except DecodeError:
        return None
