"""Results of one virtual agent as sealed envelopes, in order."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from heliograph import envelope, keys
from heliograph.clock import Clock
from heliograph.observation import Measurement
from heliograph.v1 import intake_pb2 as pb
from heliograph_lab.simulate.counters import AgentCounters
from heliograph_lab.simulate.measuring import build_batch
from heliograph_lab.simulate.script import Actor

if TYPE_CHECKING:
    from heliograph.v1.intake_pb2 import _Status

VERSION = "simulate"


@dataclass(slots=True)
class ResultSealer:
    """Seals results; `unsent` are those of a time in which our address was blocked."""

    actor: Actor
    signer: keys.SigningKey
    clock: Clock
    counters: AgentCounters
    sealing_key: bytes = b""
    sequence: int = 0
    unsent: list[bytes] = field(default_factory=list)

    def seal(self, result: Measurement) -> bytes:
        """Seal a result in its own envelope."""
        self.sequence += 1
        sealed_us = self.clock.wall_us()
        agent = keys.agent_id(self.signer.public)
        batch = build_batch(agent, VERSION, self.sequence, result, sealed_us, self.actor)
        self.counters.sent += 1
        return envelope.seal_batch(batch, self.signer, self.sealing_key)


def name_status(status: "_Status.ValueType") -> str:
    return pb.Status.Name(status).removeprefix("STATUS_").lower()
