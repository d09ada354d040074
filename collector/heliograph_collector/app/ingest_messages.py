"""Messages between `serve` and its ingest process.

Both sides send at any time. Nothing here is needed to acknowledge a result: the ingest process goes
on while `serve` hangs, and whatever is lost on this way is sent again, or was only a wish.
"""

from typing import TypeAlias

import msgspec

from heliograph import __version__
from heliograph_collector.app.frames import FrameError
from heliograph_collector.fleet.entrances import SESSION
from heliograph_collector.fleet.registry import EnrolledAgent
from heliograph_collector.ingest.geo.lookup import PeerLocation

VERSION = __version__


class IngestSetup(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The first message of `serve`: all that an ingest process is given."""

    version: str  # VERSION of `serve`; the program's files may have changed since it started
    log: str  # text or json
    data: str
    grpc: str
    public_endpoint: str  # HOST:PORT that invites name
    post: str  # "" for none, as `dns`
    dns: str
    dns_zone: str
    country_file: str
    asn_file: str
    certificate_hosts: list[str]
    trusted_proxies: list[str]
    sessions: int
    batches_per_hour: int
    allows_strangers: bool


class Opened(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The ingest process holds the journal, and waits for `Listen`."""

    position: int


class Listen(msgspec.Struct, frozen=True, tag=True):
    """Keys and plan are there: open the entrances."""


class Listening(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The entrances are open; the ports that they have, 0 for none."""

    grpc: int
    post: int
    dns: int


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The ingest process ends, because an operator has to cure something first."""

    sentence: str


class Committed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The journal has rows up to this position."""

    position: int


class SessionRecord(msgspec.Struct, frozen=True, array_like=True):
    """Constant data of a session. `key` names it in this run of the process."""

    key: int
    agent: EnrolledAgent
    location: PeerLocation
    hello: bytes
    arrived_us: int  # monotonic; both processes read the same clock
    row_us: int = 0  # of the row of its arrival
    was_unheard: bool = False  # its agent may have been given up before it reported here again
    carrier: str = SESSION  # and the entrance, where it is known


class SessionState(msgspec.Struct, frozen=True, array_like=True):
    """Present state of a session, with the fields that other stages read."""

    key: int
    link: str
    queued_count: int
    plan_version: int
    remaining_batches: int | None


class Departure(msgspec.Struct, frozen=True, array_like=True):
    """End of a session, for the stage that decides on the silence of its agent."""

    key: int
    reason: str  # a DisconnectReason
    goodbye_reason: str
    heard_us: int  # monotonic
    ended_us: int = 0  # monotonic


class SessionsChanged(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Sessions since the last such message, in the order in which they began."""

    added: list[SessionRecord]
    agents: list[tuple[int, EnrolledAgent]]  # newer records of the agents of older sessions
    states: list[SessionState]
    ended: list[int]
    departures: list[Departure] = []  # of those that ended by themselves


class MetricsReport(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    metrics: str  # the text that Prometheus reads


class Accept(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Store an envelope that came to the HTTP server; `Accepted` answers."""

    number: int
    envelope: bytes
    forwarded_for: str
    elsewhere: bool


class Accepted(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    number: int
    receipt: bytes


class Offer(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Queue a CollectorMessage for a session, unless its agent does not read."""

    key: int
    message: bytes


class Pace(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The judge's load and the open incidents, which decide how often agents test."""

    arrived: int
    judged: int
    lag_us: int
    countries: list[str]


class BadMeasurements(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Number of measurements that could not be decoded for judging."""

    count: int


class FleetChanged(msgspec.Struct, frozen=True, tag=True):
    """Read fleet.db now, and not only at the next look: the plan has new entrances."""


IngestMessage: TypeAlias = (
    IngestSetup
    | Opened
    | Listen
    | Listening
    | Refused
    | Committed
    | SessionsChanged
    | MetricsReport
    | Accept
    | Accepted
    | Offer
    | Pace
    | BadMeasurements
    | FleetChanged
)

_MESSAGES: msgspec.msgpack.Decoder[IngestMessage] = msgspec.msgpack.Decoder(IngestMessage)


def decode_message(body: bytes) -> IngestMessage:
    """Decode a message. Raises FrameError."""
    try:
        return _MESSAGES.decode(body)
    except msgspec.MsgspecError as error:
        raise FrameError(str(error)) from error
