"""Journal rows in order, as signals. Pure: the same rows, the same signals.

A vantage is told by a name of its own here, which stays the same for months: it lives in memory and
in the checkpoints of the data directory, and nowhere else.
"""

import hashlib
import hmac
import json
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from heliograph.envelope import EnvelopeError, decompress
from heliograph.v1 import observation_pb2 as opb
from heliograph.v1.intake_pb2 import Hello
from heliograph_collector.detect.signals import (
    SECOND_US,
    Arrival,
    Fault,
    Goodbye,
    Lost,
    Place,
    Presence,
    Replay,
    Why,
    Witness,
)
from heliograph_collector.store.rows import UNPLACED, JournalRow, Kind, Role, Vantage

Signal = Presence | Fault | Replay

_PURPOSE = b"detect"
_SILENCE_US = int(37.5 * SECOND_US)  # of a loss that does not say when it was last heard
_WAIT_US = 600 * SECOND_US  # so long a vantage that is back may take to upload what it measured
_EDGE_US = 15 * SECOND_US  # a heartbeat: what was measured so near either end proves nothing


@dataclass(slots=True)
class Gap:
    """A silence of one vantage: last heard, last boot id, and since when it is back (0: not)."""

    since_us: int
    boot: str
    back_us: int = 0
    rebooted: bool = False


@dataclass(slots=True)
class Inbox:
    secret: bytes
    gaps: dict[str, Gap] = field(default_factory=dict)
    backs: deque[tuple[int, str]] = field(default_factory=deque)  # who came back when, in order

    def take(self, row: JournalRow) -> Iterator[Signal]:
        """What one row says; word that did not come in time is told before it."""
        yield from self._given_up(row.received_us)
        if row.kind is Kind.START:
            yield Fault(row.heard_us or row.received_us, row.received_us, Why.RESTART)
        elif row.kind is Kind.FAULT:
            yield from _fault(row)
        elif row.role is Role.VOLUNTEER:
            yield from self._vantage(row)

    def key(self, agent: bytes) -> str:
        """16 hex digits."""
        return hmac.digest(self.secret, _PURPOSE + agent, hashlib.sha256)[:8].hex()

    def _vantage(self, row: JournalRow) -> Iterator[Signal]:
        nym = self.key(row.agent)
        if row.kind is Kind.ENVELOPE:
            yield from self._word(nym, row)
        elif row.kind is Kind.GOODBYE:
            self.gaps.pop(nym, None)
            yield Goodbye(row.received_us, nym)
        elif row.kind is Kind.LOST:
            heard_us = row.heard_us or row.received_us - _SILENCE_US
            self.gaps[nym] = Gap(heard_us, _hello(row).boot)
            yield Lost(row.received_us, nym, heard_us)
        elif row.kind is Kind.ARRIVAL:
            yield from self._arrival(nym, row)

    def _arrival(self, nym: str, row: JournalRow) -> Iterator[Signal]:
        hello = _hello(row)
        place = Vantage.of(row.country, row.asn, hello)
        gap = self.gaps.get(nym)
        if gap is not None and gap.back_us == 0:
            gap.back_us = row.received_us
            gap.rebooted = bool(gap.boot and hello.boot) and gap.boot != hello.boot
            self.backs.append((row.received_us, nym))
        if place.country == UNPLACED:  # nobody's vote: no cell could be named by it
            yield Goodbye(row.received_us, nym)
            return
        where = Place(place.country, place.region, place.asn, _access(place.access))
        first_us = row.since_s * SECOND_US if row.since_s else row.received_us
        yield Arrival(
            row.received_us, Witness(nym, row.prefix, where, first_us, row.carrier or "session")
        )

    def _word(self, nym: str, row: JournalRow) -> Iterator[Signal]:
        """Whether one that is back measured while it was gone."""
        gap = self.gaps.get(nym)
        if gap is None or gap.back_us == 0:
            return
        since_us, until_us = gap.since_us + _EDGE_US, gap.back_us - _EDGE_US
        if any(since_us <= at_us <= until_us for at_us in _made(row)):
            del self.gaps[nym]
            yield Replay(row.received_us, nym, gap.since_us, gap.back_us, alive=True)

    def _given_up(self, now_us: int) -> Iterator[Signal]:
        """Who is back for long, and no word came: dead if it rebooted, else doubt."""
        while self.backs and now_us - self.backs[0][0] >= _WAIT_US:
            back_us, nym = self.backs.popleft()
            gap = self.gaps.get(nym)
            if gap is not None and gap.back_us == back_us:
                del self.gaps[nym]
                if gap.rebooted:
                    yield Replay(back_us + _WAIT_US, nym, gap.since_us, back_us, alive=False)


def _fault(row: JournalRow) -> Iterator[Signal]:
    """Nothing of a body that is not ours, or of a newer kind of fault than we know."""
    with suppress(ValueError, TypeError, AttributeError):
        said = json.loads(row.body)
        why = Why(said.get("why", ""))
        country, carrier = str(said.get("country", "")), str(said.get("carrier", ""))
        yield Fault(row.heard_us or row.received_us, row.received_us, why, country, carrier)


def _hello(row: JournalRow) -> Hello:
    with suppress(DecodeError):
        return Hello.FromString(row.body)
    return Hello()


def _access(word: str) -> str:
    return "" if word == "unknown" else word


def _made(row: JournalRow) -> list[int]:
    """When the measurements of an envelope were made, on our clock as far as its agent knew it."""
    try:
        batch = decompress(row.body)
    except EnvelopeError:
        return []
    return [_started(one) for one in batch.measurements]


def _started(one: opb.Measurement) -> int:
    return one.started_us + (one.clock_offset_us if one.HasField("clock_offset_us") else 0)
