"""What is said back to whoever hands in one envelope: its receipt, and news of the plan.

A relay gets the receipt signed too, for nobody believes a relay. Only an envelope of a known agent
brings anything of a plan back: it names entrances, which are not for everybody.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from heliograph import plan_chunks, relay_line
from heliograph.http_envelope import RELAY, Request
from heliograph.keys import SigningKey
from heliograph.v1 import envelope_pb2
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.ingest.receiver import Door

_WELCOME = (pb.STATUS_STORED, pb.STATUS_DUPLICATE)


@dataclass(slots=True)
class Answers:
    """`signer_of` is whose word an agent believes that sealed to the key of that id; `present`
    names the key that is sealed to today."""

    door: Door
    signer_of: Callable[[bytes], SigningKey]
    present: bytes
    _packed: tuple[int, bytes] = field(default=(0, b""))

    async def __call__(
        self, request: Request, way: str, carrier: str = "post"
    ) -> pb.SubmitResponse:
        """`way` is of addresses, as `geo.origin` takes it."""
        relayed_one = request.place == RELAY
        receipt = await self.door.accept(
            request.envelope,
            way,
            RELAY if relayed_one else carrier,
            elsewhere=bool(request.place),
        )
        response = pb.SubmitResponse(receipt=receipt)
        if relayed_one:
            response.receipts = self._signed(request, receipt)
        piece = self._piece(request) if receipt.status in _WELCOME else None
        if piece is not None:
            response.plan.CopyFrom(piece)
        return response

    def _signed(self, request: Request, receipt: pb.Receipt) -> bytes:
        """By the keys that the agent goes by: who has the newest plan took it by the present ones,
        and believes no others, though this was sealed to one before."""
        try:
            key_id = envelope_pb2.Envelope.FromString(request.envelope).key_id
        except DecodeError:
            return b""
        if request.plan is not None and request.plan.version >= self.door.roll.plan_version:
            key_id = self.present
        return relay_line.signed(request.envelope, key_id, receipt, self.signer_of(key_id))

    def _piece(self, request: Request) -> pb.PlanPiece | None:
        roll = self.door.roll
        if request.plan is None or request.plan.version >= roll.plan_version:
            return None
        if self._packed[0] != roll.plan_version:
            self._packed = roll.plan_version, plan_chunks.pack(roll.plan.SerializeToString())
        version, packed = self._packed
        return plan_chunks.cut(packed, version, request.plan, len(request.envelope))
