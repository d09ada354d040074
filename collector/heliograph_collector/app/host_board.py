"""Track the ingest hosts, and decide which silences their reports prove. Pure.

States of a host: *unsynced* (its reports have a gap: it is asked for all its sessions), *fresh*
(reported within STALE_US), *stale*, and *dead* (no report for DEAD_US). While a host is stale its
agents are unknown, and no agent of any host is called silent: it may be there. A dead host leaves
the board. Its agents stay unknown, until one is seen at another host, or GRACE_US is over: then
they are no longer counted, neither as present nor as silent. A host of the same name that reports
again begins unsynced. If a host dies unsynced, no agent that may be there is called silent for
GRACE_US.

At a *start* (a leader's, or after a time without any host) detectors await all agents for GRACE_US.
It continues until each host has reported its sessions, and is written again meanwhile: an agent
that is not reported may be at a host without a report. The same holds after a stall of this
process, which used up part of that time.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace

from heliograph.units import SECOND_US
from heliograph_collector.ingest.collector_faults import REPEAT_US, TimeSpan
from heliograph_collector.model.records import AgentRole, JournalRow, RowKind

STALE_US = 5 * SECOND_US  # hosts report each second; five lost ones are no slip; assumed
DEAD_US = 15 * SECOND_US  # brokers chose a new leader within 8 s; far below the 37 s of a silence
GRACE_US = 180 * SECOND_US  # as detectors give agents to reconnect after a fault of ours


@dataclass(slots=True)
class _Host:
    heard_us: int  # monotonic, as all times here
    number: int = 0  # of its last report
    is_synced: bool = False


@dataclass(frozen=True, slots=True)
class UnknownAgent:
    """An agent of a dead host; `country` is where the host saw it."""

    agent: bytes
    country: str
    since_us: int
    arrived_us: int = 0  # of the session that it had there

    def build_goodbye(self, now_us: int) -> JournalRow:
        """Build the row by which it is neither present nor silent."""
        return JournalRow(
            kind=RowKind.GOODBYE,
            agent=self.agent,
            received_us=now_us,
            country=self.country,
            role=AgentRole.VOLUNTEER,
        )


@dataclass(slots=True)
class UnknownTimes:
    """Times since which countries have agents of a dead host, by the wall clock.

    Coverage learns at once that such a time ends with GRACE_US, and when it ends earlier or later.
    """

    _published: dict[str, TimeSpan] = field(default_factory=dict)

    def begin(self, since_us: Mapping[str, int]) -> None:
        """Begin the time of each of these countries, unless an earlier one is known."""
        for country, began_us in since_us.items():
            span = self._published.get(country)
            if span is None or began_us < span.since_us:
                self._published[country] = TimeSpan(began_us, 0)

    def list_changes(self, unknown: Container[str], now_us: int) -> dict[str, TimeSpan]:
        """Return changes for coverage; `unknown` countries still have such agents."""
        changes: dict[str, TimeSpan] = {}
        for country, span in list(self._published.items()):
            if country not in unknown:
                del self._published[country]
                if span.until_us:  # else nobody was missing
                    changes[country] = TimeSpan(span.since_us, max(span.since_us, now_us))
            elif now_us >= span.until_us:
                changes[country] = TimeSpan(span.since_us, now_us + GRACE_US)
                self._published[country] = changes[country]
        return changes


@dataclass(slots=True)
class HostBoard:
    """The hosts by name, and the agents of dead ones."""

    _hosts: dict[str, _Host] = field(default_factory=dict)
    _unknown: dict[bytes, UnknownAgent] = field(default_factory=dict)
    _doubtful: set[str] = field(default_factory=set)  # countries, while it is blind
    blind_until_us: int = 0  # a host died whose sessions were not all known
    _start_us: int | None = None  # of the start that continues; wall clock
    _start_written_us: int = 0

    def __len__(self) -> int:
        return len(self._hosts)

    def expect(self, host: str, now_us: int) -> None:
        """Expect a host that is registered; it is dead if it does not report."""
        self._hosts.setdefault(host, _Host(now_us))

    def note(self, host: str, number: int, *, is_whole: bool, now_us: int) -> bool:
        """Note a report; return False if it is unusable because an earlier one is missing."""
        state = self._hosts.setdefault(host, _Host(now_us))
        is_next = state.is_synced and number == state.number + 1
        state.heard_us = now_us
        state.number = number
        state.is_synced = is_whole or is_next
        return state.is_synced

    def remove(self, host: str) -> None:
        self._hosts.pop(host, None)

    def take_dead(self, now_us: int) -> dict[str, int]:
        """Remove dead hosts; return the time of each one's last report."""
        dead = {
            name: host.heard_us
            for name, host in self._hosts.items()
            if now_us - host.heard_us >= DEAD_US
        }
        for name in dead:
            if not self._hosts.pop(name).is_synced:
                self.blind_until_us = now_us + GRACE_US
        return dead

    def has_all_told(self) -> bool:
        """Return whether the sessions of all hosts are known, so that a start is over."""
        return bool(self._hosts) and all(host.is_synced for host in self._hosts.values())

    def is_trusted(self, now_us: int) -> bool:
        """Return whether all hosts are fresh and synced, so that absent agents are lost.

        While it `is_blind`, that holds only of agents known not to be at the dead host.
        """
        return bool(self._hosts) and not self.count_unheard(now_us)

    def count_unheard(self, now_us: int) -> int:
        """Return the number of hosts that are stale, or did not report all their sessions."""
        return sum(
            not host.is_synced or now_us - host.heard_us >= STALE_US
            for host in self._hosts.values()
        )

    def is_blind(self, now_us: int) -> bool:
        """Return whether a host died lately of which not all sessions were known."""
        return now_us < self.blind_until_us

    def note_start(self, start_us: int, now_us: int) -> None:
        """Take note that a start is written; `start_us` is by the wall clock."""
        self._start_us = start_us
        self._start_written_us = now_us

    def find_due_start(self, now_us: int, all_lost_us: int | None) -> int | None:
        """Return the time of a start that is to be written (again), None for none.

        `all_lost_us` is when the last host was lost, if none has reported since; both by the wall
        clock. Detectors take a start of the same time for the same one: losses that they found
        since are deferred.
        """
        if all_lost_us is not None:
            self._start_us = all_lost_us
        elif self.has_all_told():
            self._start_us = None
        return self._start_us if now_us - self._start_written_us >= REPEAT_US else None

    def extend_deadlines(self, stalled_us: int, now_us: int) -> None:
        """Extend deadlines by a stall until now, in which this process got no reports.

        Reports that waited meanwhile may be taken already: no report is later than now.
        """
        self.blind_until_us += stalled_us
        for host in self._hosts.values():
            host.heard_us = min(host.heard_us + stalled_us, now_us)
        self._unknown = {
            agent: replace(unknown, since_us=min(unknown.since_us + stalled_us, now_us))
            for agent, unknown in self._unknown.items()
        }

    def add_unknown(self, agents: Iterable[UnknownAgent]) -> None:
        for unknown in agents:
            self._unknown.setdefault(unknown.agent, unknown)

    def note_present(self, agent: bytes, arrived_us: int) -> None:
        """Note an agent's session; one older than that at the dead host is no evidence."""
        unknown = self._unknown.get(agent)
        if unknown is not None and arrived_us >= unknown.arrived_us:
            del self._unknown[agent]

    def is_unknown(self, agent: bytes) -> bool:
        """Return whether its newest session was at a dead host."""
        return agent in self._unknown

    def note_doubt(self, countries: Iterable[str]) -> None:
        """Note the countries of a dead host, which may have had more agents of them."""
        self._doubtful.update(countries)

    def list_unknown_countries(self, now_us: int) -> set[str]:
        """List the countries of agents whose newest session may be at a dead host."""
        if not self.is_blind(now_us):
            self._doubtful.clear()
        return self._doubtful.union(unknown.country for unknown in self._unknown.values())

    def clear_unknown(self) -> None:
        """Forget them all: the detectors await every agent."""
        self._unknown.clear()

    def take_given_up(self, now_us: int) -> list[UnknownAgent]:
        """Remove the agents that did not come to another host in time."""
        given_up = [u for u in self._unknown.values() if now_us - u.since_us >= GRACE_US]
        for unknown in given_up:
            del self._unknown[unknown.agent]
        return given_up
