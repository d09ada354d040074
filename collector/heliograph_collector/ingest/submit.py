"""Answer to a single envelope: its receipt, and parts of a newer plan.

A relay gets a signed receipt too, because agents do not trust relays. Only an envelope of a known
agent gets parts of the plan, because the plan contains entrances that are not public.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf.message import DecodeError

from heliograph import plan_chunks, relay_line
from heliograph.http_envelope import RELAY, EnvelopeRequest
from heliograph.keys import SigningKey
from heliograph.receipts import ACCEPTED_STATUSES
from heliograph.upload import SenderProof, parse_proof
from heliograph.v1 import envelope_pb2
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.fleet.keyring import Keyring, load_replaced_pairs
from heliograph_collector.fleet.registry import EnrolledAgent
from heliograph_collector.ingest.agent_directory import AgentDirectory
from heliograph_collector.ingest.receiver import EnvelopeReceiver

MAX_VERIFIED = 4_096  # signatures that are not verified again; each upload asks three times


class KnownSenders:
    """Agents that prove themselves before their envelope has arrived.

    The upload of a known one needs no share of its network: a carrier's NAT has thousands of
    volunteers behind one /24, and a flood from there must not take their places.
    """

    def __init__(self, directory: AgentDirectory, pin: bytes) -> None:
        self._directory = directory
        self._pin = pin
        self._verified: OrderedDict[SenderProof, None] = OrderedDict()

    def find(self, header: str) -> EnrolledAgent | None:
        """Return the known agent that signed the value of SENDER_HEADER, else None."""
        proof = parse_proof(header) if header else None
        agent = None if proof is None else self._find_signer(proof)
        return agent if agent is not None and agent.is_known else None

    def find_of(self, header: str, envelope: bytes) -> EnrolledAgent | None:
        """Return the known or quarantined agent that proved this envelope, else None."""
        proof = parse_proof(header) if header else None
        return self._find_signer(proof) if proof is not None and proof.covers(envelope) else None

    def _find_signer(self, proof: SenderProof) -> EnrolledAgent | None:
        agent = self._directory.get(proof.agent)
        if agent is None:
            return None
        if proof not in self._verified:
            agent_keys = self._directory.list_keys(agent.id)
            if not any(proof.is_signed_by(key, self._pin) for key in agent_keys):
                return None
            self._verified[proof] = None
            if len(self._verified) > MAX_VERIFIED:
                self._verified.popitem(last=False)
        return agent


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
    _replaced_signers: dict[bytes, SigningKey] | None = None  # by the id of their sealing key

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
        piece = self._next_plan_piece(request) if receipt.status in ACCEPTED_STATUSES else None
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

        An agent that was offline for long knows only replaced keys. They are read once: anybody
        can name a key that is none of them, by the thousand, and each would cost a read of all.
        """
        if key_id == self.keyring.sealing.id:
            return self.keyring.signing
        if self._replaced_signers is None:
            pairs = load_replaced_pairs(self.data)
            self._replaced_signers = {sealing.id: signing for sealing, signing in pairs}
        return self._replaced_signers.get(key_id, self.keyring.signing)

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
