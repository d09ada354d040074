"""Sessions by polls, and enrollment, at the POST entrance.

A session is known by a name that only its agent learns, drawn at random. It belongs to the network
from which it began: a poll from another one ends it, because results would be counted for the wrong
place. A poll of an unknown session is answered with its end, and the agent begins another.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import grpc
from google.protobuf.message import DecodeError

from heliograph.http_envelope import ENROL_PATH, EnvelopeRequest
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.ingest.grpc.hello import Context
from heliograph_collector.ingest.grpc.polled_call import (
    MAX_UNPROVEN_BYTES,
    CallEndedError,
    PolledSession,
    UnaryCall,
)
from heliograph_collector.ingest.grpc.service import EnrolContext, IntakeService

_LINGER_S = 60.0  # for the agent to learn of the end; assumed
_NAME_BYTES = 16
_NAME_FIELD = bytes((0x0A, _NAME_BYTES))  # how field 1 begins, which protobuf writes first
_TOO_LARGE = pb.CallEnd(status=grpc.StatusCode.INVALID_ARGUMENT.value[0], details="too_large")
_BROKEN = pb.CallEnd(status=grpc.StatusCode.INTERNAL.value[0], details="internal")
log = logging.getLogger("heliograph.intake")


class PolledCalls:
    """Answer polls and requests to enroll, with the handlers of gRPC's calls."""

    def __init__(self, service: IntakeService, group: asyncio.TaskGroup) -> None:
        self._service = service
        self._group = group
        self._sessions: dict[bytes, PolledSession] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def find_name(self, request: EnvelopeRequest) -> bytes:
        """Return the name of a poll's session, b"" if no agent has proved it."""
        name = request.envelope[len(_NAME_FIELD) : len(_NAME_FIELD) + _NAME_BYTES]
        session = self._sessions.get(name) if request.envelope.startswith(_NAME_FIELD) else None
        return name if session is not None and session.has_agent else b""

    async def answer(self, request: EnvelopeRequest, address_chain: str) -> bytes:
        """Return the whole message that answers a poll or a request to enroll."""
        if request.path == ENROL_PATH:
            return (await self._enrol(request, address_chain)).SerializeToString()
        is_proven = bool(self.find_name(request))
        is_small = len(request.envelope) <= MAX_UNPROVEN_BYTES
        poll = _parse_poll(request) if is_proven or is_small else None
        if poll is None:
            return pb.PollReply(end=_TOO_LARGE).SerializeToString()
        known = self._sessions.get(poll.session)
        session = known if poll.session else self._begin(request, address_chain)
        if session is None:
            return pb.PollReply(session=poll.session, end=pb.CallEnd()).SerializeToString()
        if self._has_moved(session, request, address_chain):
            session.hang_up()
        reply = await session.answer_poll(poll)
        if reply.HasField("end"):
            self._sessions.pop(session.name, None)
        return reply.SerializeToString()

    def drop_all(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _begin(self, request: EnvelopeRequest, address_chain: str) -> PolledSession:
        session = PolledSession(
            secrets.token_bytes(_NAME_BYTES), address_chain, request.intermediary
        )
        self._sessions[session.name] = session
        task = self._group.create_task(self._run(session))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return session

    async def _run(self, session: PolledSession) -> None:
        """Run a session to its end, which the agent learns by its next poll, or never."""
        end = pb.CallEnd()
        try:
            await self._service.Session(cast("AsyncIterator[pb.AgentMessage]", None), _as(session))
        except CallEndedError as ended:
            end = ended.end
        except Exception:  # as in gRPC's server: other sessions must not suffer from a bug
            log.exception("a session by polls")
            end = _BROKEN
        finally:
            session.finish(end)
        if session.has_agent:
            asyncio.get_running_loop().call_later(_LINGER_S, self._sessions.pop, session.name, None)
        else:  # strangers hold no place for longer than PendingConnections lets them
            self._sessions.pop(session.name, None)

    def _has_moved(
        self, session: PolledSession, request: EnvelopeRequest, address_chain: str
    ) -> bool:
        if request.intermediary != session.intermediary:
            return True
        if request.intermediary or address_chain == session.peer():
            return False
        before, now = (self._service.locate_call(a) for a in (session.peer(), address_chain))
        return (before.country, before.asn, before.networks) != (
            now.country,
            now.asn,
            now.networks,
        )

    async def _enrol(self, request: EnvelopeRequest, address_chain: str) -> pb.EnrolReply:
        if len(request.envelope) > MAX_UNPROVEN_BYTES:
            return pb.EnrolReply(refused=_TOO_LARGE)
        call = UnaryCall(address_chain, request.intermediary)
        try:
            message = pb.EnrolRequest.FromString(request.envelope)
            response = await self._service.Enrol(message, cast("EnrolContext", call))
        except DecodeError:
            return pb.EnrolReply(refused=_TOO_LARGE)
        except CallEndedError as ended:
            return pb.EnrolReply(refused=ended.end)
        return pb.EnrolReply(response=response)


def _as(session: PolledSession) -> Context:
    return cast("Context", session)


def _parse_poll(request: EnvelopeRequest) -> pb.Poll | None:
    try:
        return pb.Poll.FromString(request.envelope)
    except DecodeError:
        return None


@asynccontextmanager
async def run_polled_calls(service: IntakeService) -> AsyncIterator[PolledCalls]:
    """Answer calls inside the block; its sessions end with it."""
    async with asyncio.TaskGroup() as group:
        calls = PolledCalls(service, group)
        try:
            yield calls
        finally:
            calls.drop_all()
