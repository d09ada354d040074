"""`POST /v1/envelopes`: the sealed envelopes of the gRPC door over one plain request."""

import asyncio

from aiohttp import web

from heliograph.envelope import SIZES
from heliograph.http_envelope import PLACE
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.http.backend import Feed
from heliograph_collector.http.problem import Problem

MAX_BODY = SIZES[-1] + 256  # the largest sealed size and the few bytes around it
DEADLINE_S = 10.0
AT_ONCE = 16  # times MAX_BODY is what strangers can make us hold
_HTTP = {
    pb.STATUS_STORED: 200,
    pb.STATUS_DUPLICATE: 200,
    pb.STATUS_REJECTED: 422,
    pb.STATUS_RETRY: 503,
}


class Envelopes:
    def __init__(self, feed: Feed, deadline_s: float = DEADLINE_S) -> None:
        self._feed = feed
        self._deadline_s = deadline_s
        self._under_way = 0

    async def __call__(self, request: web.Request) -> web.Response:
        """Answers a serialized SubmitResponse, whatever became of the envelope."""
        if self._under_way >= AT_ONCE:
            raise _busy("Too many envelopes are coming in at once; try again soon.")
        self._under_way += 1
        try:
            async with asyncio.timeout(self._deadline_s):
                body = await _body(request)
                receipt = await self._feed.accept(body, way(request), PLACE in request.headers)
        except TimeoutError:
            raise Problem(
                408, "Too slow", f"An envelope must be here whole within {self._deadline_s:g} s."
            ) from None
        finally:
            self._under_way -= 1
        return _answer(receipt)


def way(request: web.Request) -> str:
    """The addresses it came by, the peer last: which of them count is the door's to say."""
    return ",".join([*request.headers.getall("X-Forwarded-For", ()), request.remote or ""])


async def _body(request: web.Request) -> bytes:
    if (request.content_length or 0) > MAX_BODY:
        raise _too_large()
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY:
            raise _too_large()
    if not body:
        raise Problem(400, "Empty body", "The body must be one serialized Envelope.")
    return bytes(body)


def _answer(receipt: pb.Receipt) -> web.Response:
    headers = {"Retry-After": str(receipt.retry_after_s)} if receipt.retry_after_s else {}
    return web.Response(
        status=_HTTP.get(receipt.status, 503),
        body=pb.SubmitResponse(receipt=receipt).SerializeToString(),
        content_type="application/x-protobuf",
        headers=headers,
    )


def _too_large() -> Problem:
    return Problem(413, "Too large", f"An envelope has at most {MAX_BODY} bytes.")


def _busy(detail: str) -> Problem:
    return Problem(503, "Busy", detail, headers={"Retry-After": "5"})
