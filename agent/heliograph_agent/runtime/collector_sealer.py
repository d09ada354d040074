"""Seal batches of results, so that only the agent's collector can read them.

The agent's key signs them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from heliograph import __version__
from heliograph.clock import Clock
from heliograph.observation import Epoch
from heliograph_agent.state import Collector, State


@dataclass(slots=True)
class CollectorSealer:
    """Seal results with the agent's key to `collector`, whose keys may be replaced."""

    state: State
    collector: Collector
    clock: Clock

    def seal_batch(
        self, sequence: int, measurements: Sequence[bytes], epochs: Sequence[Epoch]
    ) -> bytes:
        """Seal a batch in the spool's thread, and load cryptography for the first one."""
        from heliograph import codec, envelope
        from heliograph.v1 import envelope_pb2, observation_pb2

        batch = envelope_pb2.Batch(
            agent=self.collector.agent,
            sequence=sequence,
            sealed_us=self.clock.wall_us(),
            agent_version=__version__,
            epochs=[codec.epoch_to_pb(epoch) for epoch in epochs],
            measurements=[observation_pb2.Measurement.FromString(m) for m in measurements],
        )
        return envelope.seal_batch(batch, self.state.signer(), self.collector.sealing_key)
