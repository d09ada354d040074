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
from heliograph.plan import Service
from heliograph_collector.app.frames import FrameError
from heliograph_collector.control.assessor import TakenUp
from heliograph_collector.judge import RULES_VERSION
from heliograph_collector.model.records import (
    DecodeFailure,
    JournalRow,
    ReceivedMeasurement,
    Verdict,
)

CHUNK_RECORDS = 32  # about 5 ms of decoding, as long as a thread keeps the lock anyhow
MAX_LOG_MESSAGES = 20  # of one request

VERSION = f"{__version__}, rules {RULES_VERSION}"

Chunk: TypeAlias = bytes


class JudgeSetup(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The first message: all that a judge process is given. It answers with a WorkerStatus."""

    version: str  # VERSION of `serve`; the program's files may have changed since it started
    data: str  # the collector's directory, of which it reads the lists of fingerprints
    secret: bytes  # of the pseudonyms; no other key
    services: list[Service]


class DecodeRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Decode envelopes; the process keeps the records until their block is taken up."""

    number: int  # of the block
    rows: list[JournalRow]
    is_past: bool = False  # judged before: nobody wants the records


class DecodeReply(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    chunks: list[Chunk]
    failures: list[DecodeFailure]
    bodies: dict[str, bytes]  # by id: see `Block.bodies`


class TakeUpRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Take up all results of a block.

    They are those of `before`, those that the process decoded itself, and those of `after`.
    """

    number: int  # of the block
    before: list[Chunk]
    after: list[Chunk]


class TakeUpReply(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    taken_up: TakenUp


class JudgeRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Judge a share of the block that was taken up last."""

    judged: list[int]  # indices of results with a possible time, in the order of the journal
    due: list[Chunk]  # older measurements, all of which are judged again


class JudgeReply(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    verdicts: list[tuple[Verdict, ...]]  # of `judged`, then of `due`


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
