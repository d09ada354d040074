"""Who is here. An agent not heard for 2½ heartbeats, without a goodbye, is lost, and that is a row.

How a connection ended does not matter: an agent that is back in time was never away. Pure but for
the wish to end a visit, which the session that holds it carries out.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise

from heliograph.observation import Link
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.fleet.registry import Agent
from heliograph_collector.ingest.geo.lookup import Place
from heliograph_collector.model.records import JournalRow, Kind, Role, Vantage

SILENCE_BEATS = 2.5
VISITS_OF_ONE = 4  # half-open leftovers of one agent; the oldest goes first
_RETURNING = "network_change"  # a goodbye that promises to be back


class Ending(StrEnum):
    """How a session ended."""

    GOODBYE = "goodbye"
    CLOSED = "closed"  # the stream broke off
    SILENT = "silent"
    RENEWED = "renewed"  # by us, because of its age
    REPLACED = "replaced"  # the same agent came in again
    REVOKED = "revoked"
    SLOW = "slow"  # it did not read what it was sent
    MISBEHAVED = "misbehaved"
    STOPPED = "stopped"  # the collector itself stops


@dataclass(slots=True, eq=False)
class Visit:
    """One session of one proven agent."""

    agent: Agent
    place: Place
    hello: pb.Hello
    heard_us: int  # monotonic, as all times here
    outbox: "asyncio.Queue[pb.CollectorMessage | None]"
    link: Link = Link.UNKNOWN
    queued: int = 0  # envelopes in its spool, as it told last
    plan_version: int = 0
    charter_version: int = 0
    came_us: int = field(init=False)
    doubled: bool = False  # told that another machine speaks by its key at the same time
    spared_us: int = 0  # its silence counts from then at the earliest: before, we could not hear
    ending: Ending | None = None
    limit: asyncio.Timeout | None = None  # of the read under way
    vantage: Vantage = field(init=False)  # asked for with every heartbeat

    def __post_init__(self) -> None:
        self.vantage = Vantage.of(self.place.country, self.place.asn, self.hello)
        self.came_us = self.heard_us

    def gone_us(self, heartbeat_s: int) -> int:
        """When it will have been silent too long."""
        return max(self.heard_us, self.spared_us) + silence_us(heartbeat_s)

    def end(self, ending: Ending) -> None:
        """Wake the session that holds this visit, to end it so."""
        self.ending = self.ending or ending
        if self.limit is not None and not self.limit.expired():
            self.limit.reschedule(asyncio.get_running_loop().time())

    def row(self, kind: Kind, received_us: int, heard_us: int = 0) -> JournalRow:
        """Every presence row carries the hello, which says region, access and epoch."""
        return JournalRow(
            kind=kind,
            agent=self.agent.id,
            received_us=received_us,
            country=self.place.country,
            asn=self.place.asn,
            prefix=self.place.prefix,
            role=Role(self.agent.voice),
            body=self.hello.SerializeToString(),
            heard_us=heard_us,
            since_s=self.agent.created_s,
        )

    def lost_row(self, wall_us: int, monotonic_us: int) -> JournalRow:
        """Its loss, found now, with the moment it was last heard on the wall clock of today."""
        return self.row(Kind.LOST, wall_us, wall_us - (monotonic_us - self.heard_us))


@dataclass(slots=True)
class Presence:
    """Visits under way, and agents that left without a word and may still be back."""

    _visits: dict[bytes, list[Visit]] = field(default_factory=dict)
    _missing: dict[bytes, Visit] = field(default_factory=dict)
    _count: int = 0  # of visits: asked for at every arrival, when thousands are here

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Visit]:
        return iter([visit for visits in self._visits.values() for visit in visits])

    def arrive(self, visit: Visit) -> None:
        visits = self._visits.setdefault(visit.agent.id, [])
        if len(visits) >= VISITS_OF_ONE:
            visits[0].end(Ending.REPLACED)
        visits.append(visit)
        self._count += 1
        self._missing.pop(visit.agent.id, None)

    def leave(self, visit: Visit, ending: Ending, farewell: str, now_us: int) -> JournalRow | None:
        """The goodbye to be written down, if it was one.

        The newest visit speaks for the agent: half-open ones from before, say from another network,
        are over with its goodbye, and do not die of silence later.
        """
        visits = self._visits.get(visit.agent.id, [])
        if visit not in visits:
            return None
        newest = visits[-1] is visit
        visits.remove(visit)
        self._count -= 1
        leaves = ending is Ending.GOODBYE and farewell != _RETURNING
        if visits and not (leaves and newest):
            return None
        del self._visits[visit.agent.id]
        self._count -= len(visits)
        for leftover in visits:
            leftover.end(Ending.REPLACED)
        if leaves:
            return visit.row(Kind.GOODBYE, now_us)
        if ending not in (Ending.REVOKED, Ending.STOPPED):
            self._missing[visit.agent.id] = visit
        return None

    def doubles(self, heartbeat_s: int) -> list[Visit]:
        """Visits of agents that speak in two sessions at once: an older one was still heard two
        beats after a newer one came, which a half-open leftover never is. Each but once."""
        found = []
        for visits in self._visits.values():
            for older, newer in pairwise(visits):
                late_us = older.heard_us - newer.came_us
                if late_us > 2 * heartbeat_s * 1_000_000 and not (older.doubled and newer.doubled):
                    older.doubled = newer.doubled = True
                    found += [older, newer]
        return found

    def lost(self, now_us: int, heartbeat_s: int) -> list[Visit]:
        """Who has now been silent too long, until they were `told` or are back."""
        return [v for v in self._missing.values() if v.gone_us(heartbeat_s) <= now_us]

    def spare(self, now_us: int) -> None:
        """We stood still until now: everybody gets a whole span of silence from here."""
        for visit in (*self, *self._missing.values()):
            visit.spared_us = now_us

    def told(self, lost: Sequence[Visit]) -> None:
        """Their losses are written down."""
        for visit in lost:
            if self._missing.get(visit.agent.id) is visit:
                del self._missing[visit.agent.id]

    def links(self) -> Counter[tuple[str, int, str, Link]]:
        """How many volunteers' vantages per (country, network, access) say what of their link."""
        here = [v[-1] for v in self._visits.values() if v[-1].agent.voice == Role.VOLUNTEER]
        places = ((visit.vantage, visit.link) for visit in here)
        return Counter((place.country, place.asn, place.access, link) for place, link in places)

    def controls(self) -> list[Link]:
        """What each connected control says of its link."""
        here = (visits[-1] for visits in self._visits.values())
        return [visit.link for visit in here if visit.agent.role == Role.CONTROL]

    def agents(self) -> Counter[str]:
        """Live agents by role."""
        return Counter(visits[-1].agent.role for visits in self._visits.values())


def silence_us(heartbeat_s: int) -> int:
    return int(SILENCE_BEATS * heartbeat_s * 1_000_000)
