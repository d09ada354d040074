"""Measurements to put into a spool, and a seal that leaves envelopes readable."""

from collections.abc import Sequence

from heliograph.codec import epoch_to_pb
from heliograph.observation import Epoch, Measurement
from heliograph.v1 import envelope_pb2, observation_pb2

EPOCH = Epoch(id="epoch-1", started_us=1_641_380_400_000_000, country="KZ")


def measurement(target: str = "www.example.test", *, not_measured: str = "") -> Measurement:
    """One that differs by its target; `not_measured` serves to make it as long as wanted."""
    return Measurement(
        experiment="tcp",
        experiment_version=1,
        target=target,
        started_us=1_641_380_400_000_000,
        monotonic_us=1_000_000,
        boot="boot",
        runtime_us=20_000,
        epoch=EPOCH.id,
        not_measured=not_measured,
    )


def plain_seal(number: int, measurements: Sequence[bytes], epochs: Sequence[Epoch]) -> bytes:
    """A Batch in clear."""
    return envelope_pb2.Batch(
        sequence=number,
        epochs=[epoch_to_pb(epoch) for epoch in epochs],
        measurements=[observation_pb2.Measurement.FromString(m) for m in measurements],
    ).SerializeToString()


def contents(envelope: bytes) -> dict[int, str]:
    """What `plain_seal` put in: number → target."""
    batch = envelope_pb2.Batch.FromString(envelope)
    return {m.sequence: m.target for m in batch.measurements}
