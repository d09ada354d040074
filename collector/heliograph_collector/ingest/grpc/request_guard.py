"""Bound the time and the cost of each gRPC call before its handler runs.

Theory of operation. gRPC counts a call from its headers on, and waits for its request without a
deadline. A client that opens calls and sends nothing would take all of them, and so would readers
of the health and reflection streams. So each call holds a place among the pending ones (a network
has a share, the newest displaces the oldest): a call with one request until that is complete, a
stream of another service until it ends. A session does the same in `session.accept_hello`. Requests
have separate places and RPC_S, as an upload takes much longer than a hello on a slow link. Known
agents, which prove themselves by the call's metadata, have separate places too.

On the wire a call with one request is a stream of one message. So it is served as a stream here,
which can be read with a deadline.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeAlias

import grpc
from google.protobuf.message import DecodeError, Message

from heliograph.network_shares import NetworkKey
from heliograph.pending_connections import PendingConnections
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.fleet.registry import EnrolledAgent
from heliograph_collector.ingest import rate_limits
from heliograph_collector.ingest.geo.lookup import PeerLocation
from heliograph_collector.ingest.grpc import call_metadata
from heliograph_collector.ingest.grpc.call_metadata import AnyContext
from heliograph_collector.ingest.grpc.strangers import StrangerConnections

SESSION = "/heliograph.v1.Intake/Session"
# Bytes up to which fields may come in any number. In 256 KiB they cost 25 ms of the event loop,
# measured on a 2.4 GHz core: a oneof that changes with each field is allocated again each time.
MAX_MIXED_BYTES = 16_384
_LENGTH_DELIMITED = 2  # wire type (protobuf encoding, "message structure")
_CONTINUES = 0x80  # in each byte of a number but the last

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Requests: TypeAlias = AsyncIterator[Message]


class CallOwner(Protocol):
    """Identifies callers, and has the places of the pending calls."""

    pending: PendingConnections  # streams
    pending_requests: PendingConnections
    pending_uploads: PendingConnections  # requests of known agents
    strangers: StrangerConnections

    def locate_call(self, address_chain: str) -> PeerLocation: ...

    def find_sender(self, context: AnyContext) -> EnrolledAgent | None:
        """Return the known agent that proves itself in the metadata of a call."""


class RequestGuard(grpc.aio.ServerInterceptor):
    def __init__(self, owner: CallOwner) -> None:
        self._owner = owner

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return a handler that serves the same method within the limits."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        if handler_call_details.method == SESSION:
            return grpc.stream_stream_rpc_method_handler(
                handler.stream_stream,
                request_deserializer=parse_agent_message,
                response_serializer=handler.response_serializer,
            )
        if handler.unary_unary is not None:
            return grpc.stream_unary_rpc_method_handler(
                self._guard_request(handler.unary_unary),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        return grpc.stream_stream_rpc_method_handler(
            self._guard_stream(handler),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _guard_request(self, respond: Callable[[Any, AnyContext], Awaitable[Any]]) -> Any:
        async def serve(requests: Requests, context: AnyContext) -> object:
            try:
                async with self._hold_place(context):
                    request = await anext(requests, None)
                    # The end is read too: until then grpcio 1.76 counts the stream as open, and
                    # soon refuses the connection's next ones.
                    is_single = request is not None and await anext(requests, None) is None
            except TimeoutError:
                await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "late")
            if not is_single:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not_one_request")
            return await respond(request, context)

        return serve

    @asynccontextmanager
    async def _hold_place(self, context: AnyContext) -> AsyncIterator[None]:
        """Hold a place for a request, a known agent's beside those of its network."""
        owner = self._owner
        sender = owner.find_sender(context)
        if sender is None:
            async with owner.pending_requests.hold_place(self._locate(context), rate_limits.RPC_S):
                yield
            return
        key = NetworkKey("key", sender.id.hex())
        async with owner.pending_uploads.hold_place([key], rate_limits.RPC_S):
            with owner.strangers.hold_proven(context.peer()):
                yield

    def _locate(self, context: AnyContext) -> Sequence[NetworkKey]:
        return self._owner.locate_call(call_metadata.list_addresses(context)).networks

    def _guard_stream(self, handler: Any) -> Any:
        async def serve(requests: Requests, context: AnyContext) -> None:
            networks = self._locate(context)
            try:
                async with self._owner.pending.hold_place(networks, rate_limits.HELLO_S):
                    await _serve_stream(handler, requests, context)
            except TimeoutError:
                await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "late")

        return serve


async def _serve_stream(handler: Any, requests: Requests, context: AnyContext) -> None:
    """Serve the stream of health (one request) or reflection (a stream of them)."""
    if handler.unary_stream is None:
        async for response in handler.stream_stream(requests, context):
            await context.write(response)
        return
    request = await anext(requests, None)
    if request is not None:
        await handler.unary_stream(request, context)


def parse_agent_message(wire: bytes) -> pb.AgentMessage:
    """Parse a message of a session, a large one only if it is a single field.

    Raises DecodeError. An agent's large message is one envelope, which is one field.
    """
    if len(wire) > MAX_MIXED_BYTES and not _is_single_field(wire):
        raise DecodeError("a large message of several fields")
    return pb.AgentMessage.FromString(wire)


def _is_single_field(wire: bytes) -> bool:
    """Return whether one length-delimited field, numbered below 16, fills the message."""
    if wire[0] & 0x07 != _LENGTH_DELIMITED or wire[0] & _CONTINUES:
        return False
    length = 0
    for at in range(1, 6):
        length |= (wire[at] & ~_CONTINUES) << 7 * (at - 1)
        if not wire[at] & _CONTINUES:
            return at + 1 + length == len(wire)
    return False
