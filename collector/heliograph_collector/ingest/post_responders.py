"""Protocols that answer the requests of the POST entrance."""

from typing import Protocol

from heliograph.http_envelope import EnvelopeRequest
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.fleet.registry import EnrolledAgent


class RequestResponder(Protocol):
    """Receiver of envelopes that answers in full."""

    async def respond(self, request: EnvelopeRequest, address_chain: str) -> pb.SubmitResponse: ...


class CallResponder(Protocol):
    """Answers the polls of sessions, and requests to enroll."""

    def find_name(self, request: EnvelopeRequest) -> bytes:
        """Return the name of a poll's session, b"" if no agent has proved it."""

    async def answer(self, request: EnvelopeRequest, address_chain: str) -> bytes: ...


class SenderFinder(Protocol):
    """Finds agents by the value of SENDER_HEADER."""

    def find(self, header: str) -> EnrolledAgent | None: ...
