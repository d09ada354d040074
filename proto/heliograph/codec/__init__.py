"""Convert dataclasses to protobuf and back.

Decoding raises CodecError, which names the field, on a value outside the vocabulary or a text
that is too long.

>>> measurement_from_pb(measurement_to_pb(measurement)) == measurement
True
"""

from heliograph.codec.checks import MAX_TEXT, CodecError, replace_controls_in
from heliograph.codec.measurement import (
    MAX_OBSERVATIONS,
    decode_round,
    epoch_from_pb,
    epoch_to_pb,
    measurement_from_pb,
    measurement_to_pb,
    split_round,
)
from heliograph.codec.observations import MAX_ANSWERS, MAX_CHAIN
from heliograph.codec.plan import (
    MAX_ADDRESSES,
    MAX_ENTRANCES,
    entrance_to_pb,
    entrances_from_pb,
    plan_from_pb,
    plan_to_pb,
)

__all__ = [
    "MAX_ADDRESSES",
    "MAX_ANSWERS",
    "MAX_CHAIN",
    "MAX_ENTRANCES",
    "MAX_OBSERVATIONS",
    "MAX_TEXT",
    "CodecError",
    "decode_round",
    "entrance_to_pb",
    "entrances_from_pb",
    "epoch_from_pb",
    "epoch_to_pb",
    "measurement_from_pb",
    "measurement_to_pb",
    "plan_from_pb",
    "plan_to_pb",
    "replace_controls_in",
    "split_round",
]
