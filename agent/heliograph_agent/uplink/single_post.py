"""One envelope on one connection, by whichever carrier: as an agent posts its own, and as a relay
hands on what others gave it.

Each connection is fresh, brings one envelope and its answer, and is gone within two dozen packets.
"""

import ssl
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from heliograph import http_envelope, plan_chunks
from heliograph.failure import Failure, Operation
from heliograph.plan import Carrier, Entrance
from heliograph.v1 import envelope_pb2, intake_pb2
from heliograph_agent.net import Seen, Stream, Trace
from heliograph_agent.net.http.http1 import Exchange
from heliograph_agent.net.scrub import Scrubber
from heliograph_agent.net.step import Step
from heliograph_agent.uplink.channel import DoorError, Reason, open_channel, refusal
from heliograph_agent.uplink.dial_context import Ways
from heliograph_agent.uplink.dialer import Found
from heliograph_agent.uplink.proxy_bridge import target_of
from heliograph_agent.uplink.transports import Rung

HTTP_S = 12.0  # from the request's first byte to the receipt
MAX_ANSWER = 8_192  # a receipt, perhaps signed, and a piece of a plan
_HEADERS = {
    "Content-Type": "application/x-protobuf",
    "User-Agent": "Mozilla/5.0",  # shorter than a browser's, and read by the collector alone
    "Accept": "*/*",
    "Accept-Language": "en",
}


@dataclass(frozen=True, slots=True)
class Lone:
    """An envelope, and what is said beside it."""

    envelope: bytes
    plan: intake_pb2.PlanHeld | None = field(default=None, compare=False)
    place: str = ""  # posted.ELSEWHERE, posted.RELAY, or "" where the peer is the agent itself

    @property
    def headers(self) -> dict[str, str]:
        said = dict(_HEADERS)
        if self.plan is not None:
            said[http_envelope.PLAN.title()] = plan_chunks.held_text(self.plan)
        if self.place:
            said[http_envelope.PLACE.title()] = self.place
        return said


async def post(
    entrance: Entrance, stream: Stream, lone: Lone, trace: Trace, scrub: Scrubber
) -> intake_pb2.SubmitResponse:
    """Over an open, pinned connection, which the caller closes. Raises DoorError."""
    host = entrance.server_name or entrance.host
    host = f"[{host}]" if ":" in host else host
    exchange = Exchange(
        stream.reader,
        stream.writer,
        f"https://{host}/v1/envelopes",
        method="POST",
        headers=lone.headers,
        content=lone.envelope,
        keep=MAX_ANSWER,
    )

    async def ask() -> None:
        await exchange.round_trip()
        await exchange.read_body(MAX_ANSWER)

    step = Step(trace, scrub, Operation.HTTP_ROUND_TRIP, stream.seen, "")
    seen = await step.take(ask, HTTP_S, lambda: {"http": exchange.whole(MAX_ANSWER)})
    if not seen.ok:
        raise DoorError(_reason(seen))
    return _response(bytes(exchange.body))


async def submit(
    ways: Ways, rung: Rung, pin: bytes, found: Found, lone: Lone
) -> intake_pb2.SubmitResponse:
    """By a gRPC call, for a collector that has no other door. Raises DoorError."""
    import grpc

    from heliograph.v1 import intake_pb2_grpc

    request = intake_pb2.SubmitRequest(
        envelope=envelope_pb2.Envelope.FromString(lone.envelope), plan=lone.plan
    )
    metadata = ((http_envelope.PLACE, lone.place),) if lone.place else ()
    certificate = ssl.DER_cert_to_PEM_cert(found.certificate)
    async with (
        target_of(rung, found.place, ways, pin) as target,
        open_channel(target, certificate, found.name) as channel,
    ):
        stub = intake_pb2_grpc.IntakeStub(channel)
        try:
            return _sound(await stub.Submit(request, timeout=HTTP_S, metadata=metadata))
        except grpc.aio.AioRpcError as error:
            raise refusal(error) from error


async def hand_over(
    ways: Ways, rung: Rung, pin: bytes, lone: Lone, trace: Trace
) -> intake_pb2.SubmitResponse:
    """By this way, from the first step to the answer. Raises DoorError."""
    found = await ways.finder(rung, pin, trace).find(rung.entrance)
    try:
        if rung.entrance.carrier is not Carrier.STREAM:
            return await post(rung.entrance, found.stream, lone, trace, ways.scrub())
    finally:
        found.stream.close()
    return await submit(ways, rung, pin, found, lone)


def _reason(seen: Seen) -> Reason:
    late = seen.observation.failure is Failure.GENERIC_TIMEOUT_ERROR
    return Reason.NO_ANSWER if late else Reason.UNREACHABLE


def _response(body: bytes) -> intake_pb2.SubmitResponse:
    """Raises DoorError: whatever answers there is no collector's door."""
    try:
        return _sound(intake_pb2.SubmitResponse.FromString(body))
    except DecodeError as error:
        raise DoorError(Reason.REFUSED) from error


def _sound(response: intake_pb2.SubmitResponse) -> intake_pb2.SubmitResponse:
    if response.receipt.status == intake_pb2.STATUS_UNSPECIFIED:
        raise DoorError(Reason.REFUSED)
    return response
