"""Answer to a single envelope: its receipt, and parts of a newer plan.

A relay gets a signed receipt too, because agents do not trust relays. Only an envelope of a known
agent gets parts of the plan, because the plan contains entrances that are not public.
"""

from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf.message import DecodeError

from heliograph import plan_chunks, relay_line
from heliograph.http_envelope import RELAY, EnvelopeRequest
from heliograph.keys import SigningKey
from heliograph.v1 import envelope_pb2
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.fleet.keyring import Keyring, load_replaced_pairs
from heliograph_collector.ingest.known_senders import KnownSenders
from heliograph_collector.ingest.receiver import EnvelopeReceiver

_ACCEPTED_STATUSES = (pb.STATUS_STORED, pb.STATUS_DUPLICATE)


@dataclass(slots=True)
class EnvelopeResponder:
    """Answer one envelope with a receipt, signed for relays, and a newer plan.

    `keyring` has the present keys; the replaced ones are in the directory `data`.
    """

    receiver: EnvelopeReceiver
    keyring: Keyring
    data: Path
    senders: KnownSenders = field(init=False)
    _packed_plan: tuple[int, bytes] = (0, b"")

    def __post_init__(self) -> None:
        self.senders = KnownSenders(self.receiver.directory, self.keyring.pin)

    async def respond(
        self, request: EnvelopeRequest, address_chain: str, carrier: str = "post"
    ) -> pb.SubmitResponse:
        """Accept an envelope; `address_chain` lists addresses as in `find_origin`."""
        is_relayed = request.intermediary == RELAY
        receipt = await self.receiver.accept(
            request.envelope,
            address_chain,
            RELAY if is_relayed else carrier,
            elsewhere=bool(request.intermediary),
            sender=self.senders.find_of(request.sender, request.envelope)
            if request.sender
            else None,
        )
        response = pb.SubmitResponse(receipt=receipt)
        if is_relayed:
            response.receipts = self._sign_receipt(request, receipt)
        piece = self._next_plan_piece(request) if receipt.status in _ACCEPTED_STATUSES else None
        if piece is not None:
            response.plan.CopyFrom(piece)
        return response

    def _sign_receipt(self, request: EnvelopeRequest, receipt: pb.Receipt) -> bytes:
        """Sign a receipt by the key that the agent trusts.

        An agent with the newest plan accepted it under the present keys and trusts no others, even
        for an envelope that it sealed to an earlier key.
        """
        try:
            key_id = envelope_pb2.Envelope.FromString(request.envelope).key_id
        except DecodeError:
            return b""
        if (
            request.plan is not None
            and request.plan.version >= self.receiver.directory.plan_version
        ):
            key_id = self.keyring.sealing.id
        signer = self._find_signer(key_id)
        return relay_line.sign_receipt(request.envelope, key_id, receipt, signer)

    def _find_signer(self, key_id: bytes) -> SigningKey:
        """Find the key whose receipts an agent verifies that seals to `key_id`.

        An agent that was offline for long knows only replaced keys.
        """
        if key_id != self.keyring.sealing.id:
            for sealing, signing in load_replaced_pairs(self.data):
                if sealing.id == key_id:
                    return signing
        return self.keyring.signing

    def _next_plan_piece(self, request: EnvelopeRequest) -> pb.PlanPiece | None:
        directory = self.receiver.directory
        if request.plan is None or request.plan.version >= directory.plan_version:
            return None
        if self._packed_plan[0] != directory.plan_version:
            self._packed_plan = (
                directory.plan_version,
                plan_chunks.pack_plan(directory.plan.SerializeToString()),
            )
        version, plan_bytes = self._packed_plan
        return plan_chunks.next_piece(plan_bytes, version, request.plan, len(request.envelope))
