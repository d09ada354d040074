"""The rung of last resort: what is said over the telephone, by one DNS query to the system's
resolver. Only where the plan names a zone and the volunteer has agreed.

Queries go where all others go, and are as rare as a word that is to be heard may be: one when every
way has failed, one when what answers has changed, one an hour. The answer proves that the collector
took the word in; the results themselves stay in the spool.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from heliograph import dns_beacon, keys
from heliograph.failure import Failure
from heliograph.observation import Dns
from heliograph.voice_code import Life, Report
from heliograph_agent.net.trace import Trace
from heliograph_agent.state import Collector, State, StateError

MINUTE_US = 60_000_000
NEWS_S, AGAIN_S = 600, 3_600  # between two words: of another content, of the same
TRY_S = 300  # after one that was not answered, doubled up to AGAIN_S
Lives = Mapping[str, Life]


@dataclass(slots=True)
class Pace:
    """When the next word is due. Pure; times are monotonic."""

    said: Lives | None = None
    said_us: int = 0
    failures: int = 0

    def due(self, lives: Lives, now_us: int) -> bool:
        if self.said is None:
            return True
        wait_s = AGAIN_S if lives == self.said else NEWS_S
        if self.failures:
            wait_s = min(AGAIN_S, TRY_S * 2 ** min(self.failures - 1, 10))
        return now_us - self.said_us >= wait_s * 1_000_000

    def spoke(self, lives: Lives, now_us: int, *, heard: bool) -> None:
        self.said, self.said_us = dict(lives), now_us
        self.failures = 0 if heard else self.failures + 1


@dataclass(slots=True)
class LastWord:
    """`zone` is "" while it is not allowed; `lives` is what answers here, every class."""

    state: State
    zone: Callable[[], str]
    lives: Callable[[], Lives]
    pace: Pace = field(default_factory=Pace)
    heard_us: int = 0  # wall clock; when the collector last answered such a word

    @property
    def target(self) -> str:
        """As a measurement's."""
        return f"dns://{self.zone()}"

    def due(self, now_us: int) -> bool:
        """Whether to say one now, that no other way is open."""
        return bool(self.zone()) and self.pace.due(self.lives(), now_us)

    def words(self, collector: Collector, wall_us: int) -> "Words | None":
        """What to ask, and what is to be answered; None where that cannot be said."""
        report = Report(wall_us // MINUTE_US, self.lives())
        try:
            key = self.state.signer().shared_with(collector.sealing_key, keys.BEACON)
            name = dns_beacon.name_of(
                report, key, collector.agent, collector.sealing_key, self.zone()
            )
        except (StateError, ValueError):
            return None
        sealed = dns_beacon.sealed_in(name, self.zone())
        return None if sealed is None else Words(name, dns_beacon.answer(key, sealed), report.lives)

    def spoke(self, words: "Words", trace: Trace, wall_us: int, now_us: int) -> bool:
        """Whether the collector heard it, by the last step of `trace`. Somebody else's answer is
        written down as what it is."""
        found = trace.observations[-1].dns if trace.observations else None
        heard = words.answered_by(found)
        if heard:
            self.heard_us = wall_us
        elif found is not None and found.answers:
            strange = replace(trace.observations[-1], failure=Failure.UNEXPECTED_REPLY)
            trace.observations[-1] = strange
        self.pace.spoke(words.lives, now_us, heard=heard)
        return heard


@dataclass(frozen=True, slots=True)
class Words:
    name: str
    answer: str
    lives: Lives

    def answered_by(self, found: Dns | None) -> bool:
        return found is not None and self.answer in found.addresses
