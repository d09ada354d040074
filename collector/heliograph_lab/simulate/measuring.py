"""Measuring: an actor's service troubles, and the batch around a result."""

import random
from dataclasses import replace

from heliograph import codec
from heliograph.observation import Epoch, Measurement
from heliograph.v1 import envelope_pb2 as pb
from heliograph_lab.simulate.script import Actor

ANCHORS_SERVICE = "anchors"
EPOCH = "e1"
BOOT = "b1"


def is_failing(actor: Actor, service: str, second: float, rng: random.Random) -> bool:
    """Return whether a trouble of the actor makes this test fail."""
    return any(
        trouble.service == service
        and trouble.since_s <= second < trouble.until_s
        and rng.random() < trouble.share
        for trouble in actor.troubles
    )


def is_isolated(actor: Actor, second: float) -> bool:
    """Return whether no anchor answers the actor, so that its link is unknown."""
    return any(
        trouble.service == ANCHORS_SERVICE and trouble.since_s <= second < trouble.until_s
        for trouble in actor.troubles
    )


def build_batch(
    agent: bytes, version: str, sequence: int, result: Measurement, sealed_us: int, actor: Actor
) -> pb.Batch:
    """Build a batch of one result, as nearly all batches of a real agent are."""
    epoch = Epoch(
        id=EPOCH, started_us=result.started_us, country=actor.country, region=actor.region
    )
    epoch_message = codec.epoch_to_pb(epoch)
    epoch_message.access = actor.access
    return pb.Batch(
        agent=agent,
        sequence=sequence,
        sealed_us=sealed_us,
        agent_version=version,
        epochs=[epoch_message],
        measurements=[codec.measurement_to_pb(replace(result, sequence=sequence))],
    )
