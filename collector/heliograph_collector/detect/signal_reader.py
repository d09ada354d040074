"""Journal rows in order, as signals. Pure: the same rows, the same signals.

A vantage is told by a name of its own here, which stays the same for months: it lives in memory and
in the checkpoints of the data directory, and nowhere else.
"""

import hashlib
import hmac
import json
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from heliograph.envelope import EnvelopeError, decompress
from heliograph.v1 import observation_pb2 as opb
from heliograph.v1.intake_pb2 import Hello
from heliograph_collector.model.records import UNPLACED, JournalRow, Kind, Role, Vantage
from heliograph_collector.model.signals import (
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

Signal = Presence | Fault | Replay

_PURPOSE = b"detect"
_SILENCE_US = int(37.5 * SECOND_US)  # of a loss that does not say when it was last heard
_WAIT_US = 600 * SECOND_US  # so long a vantage that is back may take to upload what it measured
_BY_HAND = frozenset(
    {"bundle", "code", "dns", "relay"}
)  # whoever carried them, the maker's link did not
_POST_US = (
    300 * SECOND_US
)  # who sends by post alone has no heartbeat; a batch comes every half minute
_FRESH_US = 120 * SECOND_US  # only what was just made shows that its maker lives
_EDGE_US = 15 * SECOND_US  # a heartbeat: what was measured so near either end proves nothing


@dataclass(slots=True)
class Gap:
    """A silence of one vantage: last heard, last boot id, and since when it is back (0: not)."""

    since_us: int
    boot: str
    back_us: int = 0
    rebooted: bool = False
    witness: Witness | None = None  # as it was when it was lost


@dataclass(slots=True)
class Inbox:
    secret: bytes
    gaps: dict[str, Gap] = field(default_factory=dict)
    backs: deque[tuple[int, str]] = field(default_factory=deque)  # who came back when, in order
    posts: dict[str, int] = field(default_factory=dict)  # who lives by post alone: last heard

    def take(self, row: JournalRow) -> Iterator[Signal]:
        """What one row says; word that did not come in time is told before it."""
        yield from self._given_up(row.received_us)
        yield from self._posts_ended(row.received_us)
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
            yield from self._envelope(nym, row)
            return
        self.posts.pop(nym, None)
        if row.kind is Kind.GOODBYE:
            self.gaps.pop(nym, None)
            yield Goodbye(row.received_us, nym)
        elif row.kind is Kind.LOST:
            heard_us = row.heard_us or row.received_us - _SILENCE_US
            self.gaps[nym] = Gap(heard_us, _hello(row).boot, witness=_witness(nym, row))
            yield Lost(row.received_us, nym, heard_us)
        elif row.kind is Kind.ARRIVAL:
            yield from self._arrival(nym, row)

    def _arrival(self, nym: str, row: JournalRow) -> Iterator[Signal]:
        hello = _hello(row)
        gap = self.gaps.get(nym)
        if gap is not None and gap.back_us == 0:
            self._back(nym, gap, row.received_us)
            gap.rebooted = bool(gap.boot and hello.boot) and gap.boot != hello.boot
        witness = _witness(nym, row)
        if witness is None:  # nobody's vote: no cell could be named by it
            yield Goodbye(row.received_us, nym)
        else:
            yield Arrival(row.received_us, witness)

    def _back(self, nym: str, gap: Gap, at_us: int) -> None:
        gap.back_us = at_us
        self.backs.append((at_us, nym))

    def _envelope(self, nym: str, row: JournalRow) -> Iterator[Signal]:
        """Whose session was blocked, and who goes on by post, is not silent."""
        gap, at_us = self.gaps.get(nym), row.received_us
        away = gap is not None and gap.back_us == 0
        heard = row.carrier not in _BY_HAND | {"session"}
        if not (heard and (away or nym in self.posts)):
            yield from self._word(nym, row, _made(row) if gap else [])
            return
        made = _made(row)
        if max(made, default=0) >= at_us - _FRESH_US:
            self.posts.pop(nym, None)  # the longest unheard stands first
            self.posts[nym] = at_us
            if gap is not None and away and gap.witness is not None:
                self._back(nym, gap, at_us)
                yield Arrival(at_us, gap.witness)
        yield from self._word(nym, row, made)

    def _posts_ended(self, now_us: int) -> Iterator[Signal]:
        """Whoever lived by post alone, and sends no more."""
        while self.posts and now_us - next(iter(self.posts.values())) >= _POST_US:
            nym = next(iter(self.posts))
            yield Lost(now_us, nym, self.posts.pop(nym))

    def _word(self, nym: str, row: JournalRow, made: Iterable[int]) -> Iterator[Signal]:
        """Whether one that is back measured while it was gone."""
        gap = self.gaps.get(nym)
        if gap is None or gap.back_us == 0:
            return
        since_us, until_us = gap.since_us + _EDGE_US, gap.back_us - _EDGE_US
        if any(since_us <= at_us <= until_us for at_us in made):
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


def _witness(nym: str, row: JournalRow) -> Witness | None:
    """By an arrival's or a loss's row; None where its country is not known."""
    place = Vantage.of(row.country, row.asn, _hello(row))
    if place.country == UNPLACED:
        return None
    where = Place(place.country, place.region, place.asn, _access(place.access))
    first_us = row.since_s * SECOND_US if row.since_s else row.received_us
    return Witness(nym, row.prefix, where, first_us, row.carrier or "session")


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
