"""`POST /v1/envelopes`: submission of sealed envelopes by one plain HTTP request."""

import asyncio

from aiohttp import web

from heliograph.envelope import SIZES
from heliograph.http_envelope import INTERMEDIARY_HEADER
from heliograph.pending_connections import PendingConnections
from heliograph.receipts import HTTP_STATUSES
from heliograph.upload import ANSWER_S, REQUEST_S
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.http.backend import EnvelopeIntake
from heliograph_collector.http.problem import Problem
from heliograph_collector.http.request_addresses import forwarded_for

MAX_BODY = SIZES[-1] + 256  # the largest sealed size plus protobuf fields
MAX_CONCURRENT = 16  # envelopes at work
MAX_PENDING = 64  # requests without their whole body; times MAX_BODY it is strangers' memory


class EnvelopeApi:
    def __init__(self, intake: EnvelopeIntake) -> None:
        self._intake = intake
        self._pending = PendingConnections(MAX_PENDING)
        self._active_count = 0

    async def __call__(self, request: web.Request) -> web.Response:
        """Respond with a serialized SubmitResponse, also for a refused envelope."""
        addresses = forwarded_for(request)
        try:
            networks = self._intake.client_networks(addresses)
            async with self._pending.hold_place(networks, REQUEST_S):
                body = await _read_body(request)
            if self._active_count >= MAX_CONCURRENT:
                raise _busy_problem("Too many envelopes are coming in at once; try again soon.")
            receipt = await self._accept(
                body, addresses, is_elsewhere=INTERMEDIARY_HEADER in request.headers
            )
        except TimeoutError:
            raise Problem(
                408, "Too slow", f"An envelope must be here whole within {REQUEST_S:g} s."
            ) from None
        return _build_response(receipt)

    async def _accept(self, body: bytes, addresses: str, *, is_elsewhere: bool) -> pb.Receipt:
        """Accept an envelope. Raises TimeoutError."""
        self._active_count += 1
        try:
            async with asyncio.timeout(min(ANSWER_S, REQUEST_S)):
                return await self._intake.accept_envelope(
                    body, addresses, is_elsewhere=is_elsewhere
                )
        finally:
            self._active_count -= 1


async def _read_body(request: web.Request) -> bytes:
    if (request.content_length or 0) > MAX_BODY:
        raise _too_large_problem()
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY:
            raise _too_large_problem()
    if not body:
        raise Problem(400, "Empty body", "The body must be one serialized Envelope.")
    return bytes(body)


def _build_response(receipt: pb.Receipt) -> web.Response:
    headers = {"Retry-After": str(receipt.retry_after_s)} if receipt.retry_after_s else {}
    return web.Response(
        status=HTTP_STATUSES.get(receipt.status, 503),
        body=pb.SubmitResponse(receipt=receipt).SerializeToString(),
        content_type="application/x-protobuf",
        headers=headers,
    )


def _too_large_problem() -> Problem:
    return Problem(413, "Too large", f"An envelope has at most {MAX_BODY} bytes.")


def _busy_problem(detail: str) -> Problem:
    return Problem(503, "Busy", detail, headers={"Retry-After": "5"})
