"""Report the service states by one DNS query when every transport has failed.

The query goes to the system's resolver, only where the plan names a zone and the volunteer agreed.
Queries are rare: the first when every transport has failed, then one when the states have changed,
at most every CHANGED_S, and else one an hour. The answer proves that the collector received the
report. Results stay in the spool.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from heliograph import dns_beacon, keys
from heliograph.backoff import Backoff
from heliograph.failure import Failure
from heliograph.observation import Dns
from heliograph.units import MINUTE_US
from heliograph.voice_code import ServiceState, StatusReport
from heliograph_agent.net.trace import StepTrace
from heliograph_agent.state import Collector, State, StateError

# seconds between two queries, with changed and unchanged states
CHANGED_S = 600
UNCHANGED_S = 3_600
UNANSWERED = Backoff(300, UNCHANGED_S)  # after a query without an answer
StatesByClass = Mapping[str, ServiceState]


@dataclass(slots=True)
class BeaconSchedule:
    """Decide when the next query is due. Pure. Times are monotonic."""

    sent_states: StatesByClass | None = None
    sent_us: int = 0
    failures: int = 0

    def is_due(self, states: StatesByClass, now_us: int, *, is_word: bool = False) -> bool:
        if self.sent_states is None:
            return True
        is_news = is_word or states != self.sent_states
        wait_s: float = CHANGED_S if is_news else UNCHANGED_S
        if self.failures:
            wait_s = UNANSWERED.full_delay_s(self.failures)
        return now_us - self.sent_us >= wait_s * 1_000_000

    def record(self, states: StatesByClass, now_us: int, *, is_answered: bool) -> None:
        self.sent_states = dict(states)
        self.sent_us = now_us
        self.failures = 0 if is_answered else self.failures + 1


class BeaconSource(Protocol):
    """Declare what a beacon reports, and to which zone."""

    def get_zone(self) -> str:
        """Return the zone, "" while beacons are not allowed."""
        ...

    def get_service_states(self) -> StatesByClass: ...


@dataclass(slots=True)
class DnsBeacon:
    """Make queries and check answers."""

    state: State
    source: BeaconSource
    schedule: BeaconSchedule = field(default_factory=BeaconSchedule)

    @property
    def target(self) -> str:
        """Return the target of the beacon's measurements."""
        return f"dns://{self.source.get_zone()}"

    def is_due(self, now_us: int, *, is_word: bool = False) -> bool:
        """Return whether to send a query now that no transport works.

        With `is_word` a session has just broken, which is news like a changed state.
        """
        states = self.source.get_service_states()
        return bool(self.source.get_zone()) and self.schedule.is_due(
            states, now_us, is_word=is_word
        )

    def make_query(self, collector: Collector, wall_us: int) -> "BeaconQuery | None":
        """Make a query and its expected answer; None if that is not possible."""
        zone = self.source.get_zone()
        report = StatusReport(wall_us // MINUTE_US, self.source.get_service_states())
        try:
            key = self.state.signer().derive_shared_key(collector.sealing_key, keys.BEACON)
            name = dns_beacon.make_query_name(
                report, key, collector.agent, collector.sealing_key, zone
            )
        except (StateError, ValueError):
            return None
        sealed = dns_beacon.extract_sealed(name, zone)
        if sealed is None:
            return None
        return BeaconQuery(name, dns_beacon.make_answer(key, sealed), report.states)

    def record(self, query: "BeaconQuery", trace: StepTrace, now_us: int) -> bool:
        """Record the reply in `trace`; return whether it is the collector's answer.

        The last step of `trace` holds the reply. Any other answer is marked as an unexpected reply.
        """
        reply = trace.observations[-1].dns if trace.observations else None
        is_answered = query.is_answered_by(reply)
        if not is_answered and reply is not None and reply.answers:
            unexpected = replace(trace.observations[-1], failure=Failure.UNEXPECTED_REPLY)
            trace.observations[-1] = unexpected
        self.schedule.record(query.states, now_us, is_answered=is_answered)
        return is_answered


@dataclass(frozen=True, slots=True)
class BeaconQuery:
    """Hold a query's name, its expected answer and the reported states."""

    name: str
    answer: str
    states: StatesByClass

    def is_answered_by(self, reply: Dns | None) -> bool:
        return reply is not None and self.answer in reply.addresses
