"""Messages between `serve` and its judge processes.

`serve` sends a request and reads its reply before it sends the next, so nothing queues in the
stream. The next block may be decoded before this one is taken up and judged. Results of agents
travel as chunks: lists of at most CHUNK_RECORDS that are encoded once and decoded where they are
read, because decoding one holds the interpreter's lock.

A process sends its decoded results to `serve` as *heads*: records without steps. Of twenty results
`serve` asks one or two for steps, and finds them in its body, which it stores. `serve` passes heads
and bodies of all other processes on to the one with the context, with the *evidence* in which that
finds what it would have read from the steps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from types import GenericAlias
from typing import Any, TypeAlias, get_type_hints

import msgspec

from heliograph import __version__
from heliograph.codec import measurement_from_pb
from heliograph.observation import Link, Measurement, Observation
from heliograph.plan import Service
from heliograph.v1 import observation_pb2
from heliograph_collector.app.frames import FrameError
from heliograph_collector.control.assessor import TakenUp
from heliograph_collector.control.evidence import Evidence, collect_evidence
from heliograph_collector.judge import RULES_VERSION
from heliograph_collector.model.control_look import VantageProfile
from heliograph_collector.model.records import (
    DecodeFailure,
    JournalRow,
    PeerComparison,
    ReceivedMeasurement,
    Verdict,
)
from heliograph_collector.store.journal.decode import DecodedRows

CHUNK_RECORDS = 32  # about 5 ms of decoding, as long as a thread keeps the lock anyhow
MAX_LOG_MESSAGES = 20  # of one request

MESSAGES_VERSION = 5  # of what stands here; 1 had no views, 2 no heads, 3 no evidence, 4 no looks
VERSION = f"{__version__}, rules {RULES_VERSION}, messages {MESSAGES_VERSION}"

Chunk: TypeAlias = bytes


class JudgeSetup(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """First message: all settings of a judge process, which answers a WorkerStatus."""

    version: str  # VERSION of `serve`; the program's files may have changed since it started
    data: str  # the collector's directory, of which it reads the lists of fingerprints
    secret: bytes  # of the pseudonyms; no other key
    services: list[Service]


class DecodeRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Decode envelopes; the process keeps the records until a later block is judged."""

    number: int  # of the block
    rows: list[JournalRow]
    is_past: bool = False  # judged before: nobody wants the records
    wants_evidence: bool = False  # another process takes the records up


class DecodedPart(msgspec.Struct, frozen=True, kw_only=True):
    """Records that one process decoded, in order."""

    heads: list[Chunk]
    bodies: dict[str, bytes]  # by id: see `Block.bodies`
    evidence: list[Chunk]  # on each record, where it was wanted


EMPTY_PART = DecodedPart(heads=[], bodies={}, evidence=[])


class DecodeReply(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    part: DecodedPart
    failures: list[DecodeFailure]


class TakeUpRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Take up all results of a block: those decoded by the process, then the `others`."""

    number: int  # of the block
    others: list[DecodedPart]


class TakeUpReply(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    taken_up: TakenUp


class JudgeRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Judge a share of the block that was taken up last, in the process that did so."""

    judged: list[int]  # indices of results with a possible time, in the order of the journal
    due: list[Chunk]  # older measurements, all of which are judged again


class ViewShare(msgspec.Struct, frozen=True, kw_only=True):
    """Share of a process without the context in the block that was taken up last."""

    judge: int  # the number of that process
    judged: list[int]  # indices, as in JudgeRequest
    own: list[int]  # … and of the same results among those that it decoded


class FindViewsRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Find the views of some shares; all processes that judge them are named."""

    number: int  # of the block
    shares: list[ViewShare]


class FindViewsReply(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    requests: list[msgspec.Raw]  # a ViewedRequest for each share, which `serve` passes on


class SentLook(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A control's result that may become a further look; `measurement` is its number."""

    started_us: int
    measurement: int
    link: Link
    network: str


class SentView(msgspec.Struct, frozen=True, array_like=True):
    """A ControlView whose peers are those of endpoints that failed: see `sent_views`."""

    measurement: int  # its number; NO_MEASUREMENT, or OWN_MEASUREMENT: that of the record
    age_us: int | None
    is_later: bool | None
    link: Link
    network: str
    is_substitute: bool
    profile: int  # index in the request
    looks: int  # index in the request; NO_LOOKS, or LOOKS_NOT_SENT
    peers: dict[str, PeerComparison | None]  # None: nobody elsewhere met the endpoint


NO_LOOKS = -1
LOOKS_NOT_SENT = -2
NO_MEASUREMENT = -1
OWN_MEASUREMENT = -2


class ViewedRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Judge results that the process decoded itself, by the sent views."""

    number: int  # of the block
    own: list[int]  # indices of the results
    views: list[SentView | None]  # None: that could not be found
    profiles: list[VantageProfile]
    looks: list[list[SentLook]]  # each as several views have it
    first_measurement: int  # the number of the first of `measurements`; 0: forget all others
    measurements: list[Measurement]  # that are named for the first time
    forgotten: list[int]  # measurements that are not named any more


class JudgeReply(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Verdicts in the order of the request; None if one depends on data not sent."""

    verdicts: list[tuple[Verdict, ...] | None]


class WorkerStatus(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """It follows each reply."""

    cpu_us: int  # of the process since its start
    messages: list[str]  # for the log of `serve`


JudgeMessage: TypeAlias = (
    JudgeSetup
    | DecodeRequest
    | DecodeReply
    | TakeUpRequest
    | TakeUpReply
    | JudgeRequest
    | FindViewsRequest
    | FindViewsReply
    | ViewedRequest
    | JudgeReply
    | WorkerStatus
)

_ENCODER = msgspec.msgpack.Encoder()
_MESSAGES: msgspec.msgpack.Decoder[JudgeMessage] = msgspec.msgpack.Decoder(JudgeMessage)
_RECORDS = msgspec.msgpack.Decoder(list[ReceivedMeasurement])
_EVIDENCE = msgspec.msgpack.Decoder(list[Evidence])


def decode_message(body: bytes) -> JudgeMessage:
    """Decode a message. Raises FrameError."""
    try:
        return _MESSAGES.decode(body)
    except msgspec.MsgspecError as error:
        raise FrameError(str(error)) from error


def encode_chunks(records: Sequence[ReceivedMeasurement]) -> list[Chunk]:
    """Encode records with their steps, in order."""
    return _encode_list(records)


def _encode_list(items: Sequence[object]) -> list[Chunk]:
    starts = range(0, len(items), CHUNK_RECORDS)
    return [_ENCODER.encode(items[start : start + CHUNK_RECORDS]) for start in starts]


def decode_chunks(chunks: Sequence[Chunk]) -> list[ReceivedMeasurement]:
    """Decode records, in order. Raises FrameError."""
    try:
        return [record for chunk in chunks for record in _RECORDS.decode(chunk)]
    except msgspec.MsgspecError as error:
        raise FrameError(str(error)) from error


class BodiedMeasurement(Measurement):
    """A measurement whose steps are decoded from its body when somebody asks for them.

    It equals, and travels as, any measurement with the same fields.
    """

    __slots__ = ("_body", "_step_count", "_steps")

    _body: bytes
    _step_count: int
    _steps: tuple[Observation, ...]

    @classmethod
    def from_body(
        cls, body: bytes, values: Mapping[str, Any], step_count: int
    ) -> "BodiedMeasurement":
        """Build it from the values of all fields but the steps."""
        measurement = cls(**values)
        object.__setattr__(measurement, "_body", body)
        object.__setattr__(measurement, "_step_count", step_count)
        return measurement

    @property
    def observations(self) -> tuple[Observation, ...]:
        if self._body:
            message = observation_pb2.Measurement.FromString(self._body)
            object.__setattr__(self, "_steps", measurement_from_pb(message).observations)
            object.__setattr__(self, "_body", b"")
        return self._steps

    @observations.setter
    def observations(self, steps: tuple[Observation, ...]) -> None:
        """Set the steps; only the constructor can, since all of it is frozen."""
        object.__setattr__(self, "_steps", steps)
        object.__setattr__(self, "_body", b"")

    @property
    def step_count(self) -> int:
        """Return the number of steps, of which none is decoded for this."""
        return self._step_count if self._body else len(self._steps)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Measurement) and _get_fields(self) == _get_fields(other)

    def __hash__(self) -> int:
        return hash(_get_fields(self))


_get_fields = attrgetter(*(field.name for field in fields(Measurement)))
_RECORD_NAMES = [f.name for f in fields(ReceivedMeasurement) if f.init and f.name != "measurement"]
_MEASUREMENT_NAMES = [f.name for f in fields(Measurement) if f.name != "observations"]
_get_head = attrgetter(*_RECORD_NAMES, *(f"measurement.{name}" for name in _MEASUREMENT_NAMES))


def _build_head_decoder() -> "msgspec.msgpack.Decoder[list[tuple[Any, ...]]]":
    """Build the decoder of a chunk of heads.

    A head has the values of both, and last the steps, or their number where a body has them.
    """
    record_types = get_type_hints(ReceivedMeasurement)
    measurement_types = get_type_hints(Measurement)
    types = [record_types[name] for name in _RECORD_NAMES]
    types += [measurement_types[name] for name in _MEASUREMENT_NAMES]
    types.append(measurement_types["observations"] | int)
    head: Any = GenericAlias(tuple, tuple(types))
    return msgspec.msgpack.Decoder(GenericAlias(list, (head,)))


_HEADS = _build_head_decoder()


def encode_part(decoded: DecodedRows, *, has_evidence: bool = False) -> DecodedPart:
    """Encode records, in order, without the steps of those that have a body."""
    records = decoded.records
    heads = [(*_get_head(record), _encode_steps(record, decoded.bodies)) for record in records]
    evidence = [collect_evidence(x.measurement) for x in records] if has_evidence else []
    return DecodedPart(
        heads=_encode_list(heads), bodies=decoded.bodies, evidence=_encode_list(evidence)
    )


def _encode_steps(
    record: ReceivedMeasurement, bodies: Mapping[str, bytes]
) -> tuple[Observation, ...] | int:
    measurement = record.measurement
    return measurement.step_count if record.id in bodies else measurement.observations


def decode_heads(part: DecodedPart) -> list[ReceivedMeasurement]:
    """Decode the records of a part. Raises FrameError."""
    try:
        heads = [head for chunk in part.heads for head in _HEADS.decode(chunk)]
        return [_build_record(head, part.bodies) for head in heads]
    except (msgspec.MsgspecError, LookupError) as error:
        raise FrameError(str(error)) from error


def decode_evidence(part: DecodedPart) -> list[Evidence]:
    """Decode the evidence on the records of a part, in their order. Raises FrameError."""
    try:
        return [evidence for chunk in part.evidence for evidence in _EVIDENCE.decode(chunk)]
    except msgspec.MsgspecError as error:
        raise FrameError(str(error)) from error


def _build_record(head: tuple[Any, ...], bodies: Mapping[str, bytes]) -> ReceivedMeasurement:
    record_values = dict(zip(_RECORD_NAMES, head, strict=False))
    values = dict(zip(_MEASUREMENT_NAMES, head[len(_RECORD_NAMES) :], strict=False))
    steps = head[-1]
    measurement = (
        BodiedMeasurement.from_body(bodies[record_values["id"]], values, steps)
        if isinstance(steps, int)
        else Measurement(**values, observations=steps)
    )
    return ReceivedMeasurement(**record_values, measurement=measurement)
