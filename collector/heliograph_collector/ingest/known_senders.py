"""Agents that prove themselves before their envelope has arrived.

The upload of a known one needs no share of its network: a carrier's NAT has thousands of volunteers
behind one /24, and a flood from there must not take their places.
"""

from collections import OrderedDict

from heliograph.upload import SenderProof, parse_proof
from heliograph_collector.fleet.registry import EnrolledAgent
from heliograph_collector.ingest.agent_directory import AgentDirectory

MAX_VERIFIED = 4_096  # signatures that are not verified again; each upload asks three times


class KnownSenders:
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
        """Return the agent, known or in quarantine, whose proof is for this envelope, else None."""
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
