"""Messages between hosts and the leading collector, over the journal's servers.

Ingest: reports and orders may be lost, and then the leader asks for all (`Resync`). A host's
question to the leader is answered after the servers' quorum has it. No message has an address of a
volunteer: a line is named as in the journal, by keyed hashes for single days.

Judging: a host offers judge processes (`JudgeOffer`); the leader assigns one to itself, and then
writes to it and reads from it. It asks for each of these, so that each answer shows that the host
lives, and it may ask again: parts are numbered. No message has a key.
"""

from typing import TypeAlias, TypeVar

import msgspec

from heliograph.plan import Service
from heliograph.zstd_frame import ZstdFrameError, compress_frame, decompress_frame
from heliograph_collector.app.ingest_messages import (
    BadMeasurements,
    Offer,
    Pace,
    SessionsChanged,
)
from heliograph_collector.fleet.registry import EnrolledAgent

REPORT = "host.report"  # words of subjects; the host's name follows these two
ORDER = "host.order"
ASK = "fleet.ask"
ACCEPT = "host.accept"
OFFER = "judge.offer"
WORK = "judge.work"
PART_BYTES = 1_048_576  # of a message; the servers take 2 MiB at least (connection.MIN_PAYLOAD)
IDENTITY = "identity"  # the key of the fleet's table that is no row


class HostReport(msgspec.Struct, frozen=True, kw_only=True):
    """Report of a host, each second; all hosts' reports together list the agents."""

    number: int  # the report before it has one less
    at_us: int  # the host's monotonic clock, as all times in it
    position: int  # of the journal, that the host knows to be stored
    ranges_applied: int
    open_keys: list[int] | None = None  # the keys of all its sessions, before they come again
    sessions: SessionsChanged | None = None
    is_again: bool = False  # these sessions were reported before, perhaps to another leader
    is_last: bool = False  # it stops: its agents will come to others
    is_past: bool = False  # these sessions ended lately, before a leader asked for them


class Resync(msgspec.Struct, frozen=True, tag=True):
    """Order to report all sessions again.

    `with_past` includes those that ended while another collector or none led.
    """

    with_past: bool = False


HostOrder: TypeAlias = Offer | Pace | BadMeasurements | Resync


class FleetRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A change of the fleet that an agent of this host asked for, or gave cause for."""

    action: str  # enrol, offer_key, confirm_key, forget, fork, clone
    agent: bytes = b""
    token: bytes = b""
    public_key: bytes = b""
    version: str = ""
    now_s: int


class FleetReply(msgspec.Struct, frozen=True, kw_only=True):
    is_done: bool = True
    refused: str = ""  # the reason of an EnrolmentRefusedError
    agent: EnrolledAgent | None = None


class Assignment(msgspec.Struct, frozen=True, order=True):
    """Assignment of a judge process; a greater assignment takes it from a smaller one.

    The servers count terms: each lease of the journal has a greater one than the lease before. So
    a leader that has lost its lease cannot take a process from the next leader.
    """

    term: int = 0  # of the leader
    number: int = 0  # of its assignments


class JudgeOffer(msgspec.Struct, frozen=True, kw_only=True):
    """A judge process that can be had, each second; the subject ends with its name."""

    version: str  # of program and rules; a leader takes its own version only
    held_by: Assignment


class Assign(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Start a process for this assignment; asked again until it is ready."""

    assignment: Assignment
    services: list[Service]


class WriteBytes(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Pass on bytes to the process."""

    assignment: Assignment
    part: int  # the number of this part, from 0
    content: bytes  # packed, see `pack_part`


class ReadBytes(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Pass back what the process wrote."""

    assignment: Assignment
    part: int
    wanted: int  # bytes; fewer are no answer yet, unless they are PART_BYTES


JudgeWork: TypeAlias = Assign | WriteBytes | ReadBytes


class WorkReply(msgspec.Struct, frozen=True, kw_only=True):
    is_held: bool = True  # False: the process has another assignment, or none
    is_ready: bool = True  # False: it is starting
    is_ended: bool = False
    content: bytes = b""  # of ReadBytes, packed; b"": the process has not written so much yet


class MessageError(Exception):
    """The other side sent bytes that are no message of this version."""


# At the least effort, records of the lab's load shrink from 17.6 to 1.1 kB a result in 20 us; rows
# are compressed already, and take 2 ms a megabyte.
_PART_LEVEL = 1

_T = TypeVar("_T")
_ENCODER = msgspec.msgpack.Encoder()
_REPORTS = msgspec.msgpack.Decoder(HostReport)
_ORDERS: msgspec.msgpack.Decoder[HostOrder] = msgspec.msgpack.Decoder(HostOrder)
_REQUESTS = msgspec.msgpack.Decoder(FleetRequest)
_OFFERS = msgspec.msgpack.Decoder(JudgeOffer)
_WORK: msgspec.msgpack.Decoder[JudgeWork] = msgspec.msgpack.Decoder(JudgeWork)
_WORK_REPLIES = msgspec.msgpack.Decoder(WorkReply)
_REPLIES = msgspec.msgpack.Decoder(FleetReply)


def encode(message: msgspec.Struct) -> bytes:
    return _ENCODER.encode(message)


def pack_part(content: bytes) -> bytes:
    """Compress a part of the bytes to or from a judge process, PART_BYTES at most."""
    return compress_frame(content, _PART_LEVEL)


def unpack_part(content: bytes) -> bytes:
    """Decompress a part. Raises MessageError."""
    try:
        return decompress_frame(content, PART_BYTES)
    except ZstdFrameError as error:
        raise MessageError(str(error)) from error


def decode_report(content: bytes) -> HostReport:
    """Decode a report. Raises MessageError, as the others."""
    return _decode(_REPORTS, content)


def decode_order(content: bytes) -> HostOrder:
    return _decode(_ORDERS, content)


def decode_request(content: bytes) -> FleetRequest:
    return _decode(_REQUESTS, content)


def decode_reply(content: bytes) -> FleetReply:
    return _decode(_REPLIES, content)


def decode_offer(content: bytes) -> JudgeOffer:
    return _decode(_OFFERS, content)


def decode_work(content: bytes) -> JudgeWork:
    return _decode(_WORK, content)


def decode_work_reply(content: bytes) -> WorkReply:
    return _decode(_WORK_REPLIES, content)


def _decode(decoder: "msgspec.msgpack.Decoder[_T]", content: bytes) -> _T:
    try:
        return decoder.decode(content)
    except msgspec.MsgspecError as error:
        raise MessageError(str(error)) from error
