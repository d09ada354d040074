"""Messages between ingest hosts and the collector that leads, by the servers of the journal.

Reports and orders may be lost, and then the leader asks for all (`Resync`). What a host asks of the
leader is answered after the servers' quorum has it. No message has an address of a volunteer:
a line is named as in the journal, by keyed hashes for single days.
"""

from typing import TypeAlias, TypeVar

import msgspec

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
IDENTITY = "identity"  # the key of the fleet's table that is no row


class HostReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a host has to say, each second; all hosts together say who is there."""

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
    """Report all sessions again; `with_past` those too that ended while another led, or nobody."""

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


class MessageError(Exception):
    """The other side sent what is no message of this version."""


_T = TypeVar("_T")
_ENCODER = msgspec.msgpack.Encoder()
_REPORTS = msgspec.msgpack.Decoder(HostReport)
_ORDERS: msgspec.msgpack.Decoder[HostOrder] = msgspec.msgpack.Decoder(HostOrder)
_REQUESTS = msgspec.msgpack.Decoder(FleetRequest)
_REPLIES = msgspec.msgpack.Decoder(FleetReply)


def encode(message: msgspec.Struct) -> bytes:
    return _ENCODER.encode(message)


def decode_report(content: bytes) -> HostReport:
    """Decode a report. Raises MessageError, as the others."""
    return _decode(_REPORTS, content)


def decode_order(content: bytes) -> HostOrder:
    return _decode(_ORDERS, content)


def decode_request(content: bytes) -> FleetRequest:
    return _decode(_REQUESTS, content)


def decode_reply(content: bytes) -> FleetReply:
    return _decode(_REPLIES, content)


def _decode(decoder: "msgspec.msgpack.Decoder[_T]", content: bytes) -> _T:
    try:
        return decoder.decode(content)
    except msgspec.MsgspecError as error:
        raise MessageError(str(error)) from error
