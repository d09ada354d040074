"""Messages between `serve` and its judge processes.

`serve` sends a request and reads its reply before it sends the next, so nothing queues in the
stream. The next block may be decoded before this one is taken up and judged. Results of agents
travel as chunks: lists of at most CHUNK_RECORDS records that are encoded once and decoded where
they are read, because decoding one holds the interpreter's lock.
"""

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from heliograph import __version__
from heliograph.observation import Link, Measurement
from heliograph.plan import Service
from heliograph_collector.app.frames import FrameError
from heliograph_collector.control.assessor import TakenUp
from heliograph_collector.judge import RULES_VERSION
from heliograph_collector.model.control_look import VantageProfile
from heliograph_collector.model.records import (
    DecodeFailure,
    JournalRow,
    ReceivedMeasurement,
    Verdict,
)

CHUNK_RECORDS = 32  # about 5 ms of decoding, as long as a thread keeps the lock anyhow
MAX_LOG_MESSAGES = 20  # of one request

MESSAGES_VERSION = 2  # of what stands here; 1 was without views
VERSION = f"{__version__}, rules {RULES_VERSION}, messages {MESSAGES_VERSION}"

Chunk: TypeAlias = bytes


class JudgeSetup(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The first message: all that a judge process is given. It answers with a WorkerStatus."""

    version: str  # VERSION of `serve`; the program's files may have changed since it started
    data: str  # the collector's directory, of which it reads the lists of fingerprints
    secret: bytes  # of the pseudonyms; no other key
    services: list[Service]


class DecodeRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Decode envelopes; the process keeps the records until a later block is judged."""

    number: int  # of the block
    rows: list[JournalRow]
    is_past: bool = False  # judged before: nobody wants the records


class DecodeReply(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    chunks: list[Chunk]
    failures: list[DecodeFailure]
    bodies: dict[str, bytes]  # by id: see `Block.bodies`


class TakeUpRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Take up all results of a block: what the process decoded itself, then those of `others`."""

    number: int  # of the block
    others: list[Chunk]


class TakeUpReply(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    taken_up: TakenUp


class JudgeRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Judge a share of the block that was taken up last, in the process that did so."""

    judged: list[int]  # indices of results with a possible time, in the order of the journal
    due: list[Chunk]  # older measurements, all of which are judged again


class ViewShare(msgspec.Struct, frozen=True, kw_only=True):
    """What another process, without the context, judges of the block that was taken up last."""

    judge: int  # the number of that process
    judged: list[int]  # indices, as in JudgeRequest
    own: list[int]  # … and of the same results among those that it decoded


class FindViewsRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Find what the results of some shares are compared with; all such processes are named."""

    number: int  # of the block
    shares: list[ViewShare]


class FindViewsReply(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    requests: list[msgspec.Raw]  # a ViewedRequest for each share, which `serve` passes on


class SentView(msgspec.Struct, frozen=True, array_like=True):
    """A ControlView without peers and further looks: see `sent_views`."""

    measurement: int  # its number; NO_MEASUREMENT, or OWN_MEASUREMENT: that of the record
    age_us: int | None
    is_later: bool | None
    link: Link
    network: str
    is_substitute: bool
    profile: int  # index in the request


NO_MEASUREMENT = -1
OWN_MEASUREMENT = -2


class ViewedRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Judge results that the process decoded itself, by what they are compared with."""

    number: int  # of the block
    own: list[int]  # indices of the results
    views: list[SentView | None]  # None: that could not be found
    profiles: list[VantageProfile]
    first_measurement: int  # the number of the first of `measurements`; 0: forget all others
    measurements: list[Measurement]  # that are named for the first time
    forgotten: list[int]  # measurements that are not named any more


class JudgeReply(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Verdicts in the order of the request; None where one depends on what was not sent."""

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


def decode_message(body: bytes) -> JudgeMessage:
    """Decode a message. Raises FrameError."""
    try:
        return _MESSAGES.decode(body)
    except msgspec.MsgspecError as error:
        raise FrameError(str(error)) from error


def encode_chunks(records: Sequence[ReceivedMeasurement]) -> list[Chunk]:
    """Encode records, in order."""
    starts = range(0, len(records), CHUNK_RECORDS)
    return [_ENCODER.encode(records[start : start + CHUNK_RECORDS]) for start in starts]


def decode_chunks(chunks: Sequence[Chunk]) -> list[ReceivedMeasurement]:
    """Decode records, in order. Raises FrameError."""
    try:
        return [record for chunk in chunks for record in _RECORDS.decode(chunk)]
    except msgspec.MsgspecError as error:
        raise FrameError(str(error)) from error
