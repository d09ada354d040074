"""The data and actions that the console is built from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from heliograph.clock import Clock
from heliograph.plan import Plan
from heliograph.services import Services
from heliograph_collector.fleet.audit_log import AuditLog
from heliograph_collector.fleet.operators import Operators
from heliograph_collector.fleet.registry import EnrolledAgent, Fleet
from heliograph_collector.fleet.session_records import SessionEnd


class InvalidInputError(Exception):
    """The input is invalid; the text is a sentence with place and correction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveAgent:
    """Session data of a connected agent, beside its registry data."""

    country: str
    region: str
    access: str
    link: str
    queued_envelopes: int  # envelopes in its spool
    remaining_batches: int | None  # batches that it may still send now; None if it has sent none


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestStatus:
    """State of ingest; `lag_entries` is None until the store has answered."""

    position: int  # position in the journal
    lag_entries: int | None
    received_us: int | None  # arrival of the newest result in the store
    free_bytes: int  # on the disk of the data directory
    problems: Sequence[str]
    envelopes: Sequence[tuple[str, str, str, int]]  # carrier, status, reason, count
    measurements: Mapping[str, int]  # by outcome: kept, bad, time_bad
    notices: Sequence[str] = ()  # what went wrong in the last day and is over


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictChangeCount:
    """The number of verdicts that the current rules change; "" for no verdict."""

    country: str
    service: str
    before: str
    after: str
    state_before: str
    state_after: str
    experiment: str = ""
    is_vote: bool = True
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """The changes if the current rules judged again; `is_complete` false: cut off."""

    since_us: int
    until_us: int
    judged_count: int
    changed_count: int
    is_complete: bool
    changes: Sequence[VerdictChangeCount]


@dataclass(frozen=True, slots=True)
class TriedList:
    """A list of fingerprints that is not in use; its name's ending shows its format."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRunStatus:
    """The dry run that was asked for last: how far it is, or its end."""

    list_name: str = ""  # of the list that it tries, "" for the lists in use
    is_running: bool = False
    judged_count: int = 0  # measurements judged so far; it counts hour by hour
    result: DryRun | None = None
    error: str = ""  # why it has no result


class VoiceReport(Protocol):
    """A code by telephone whose proof is valid."""

    @property
    def agent(self) -> str:
        """Return the id in hex."""
        ...

    @property
    def created(self) -> str: ...
    @property
    def lines(self) -> Sequence[str]: ...
    @property
    def is_stored(self) -> bool:
        """Return whether it was stored before."""
        ...


class ConsoleBackend(Protocol):
    """Data that the console shows, and its actions. Implemented by LiveConsoleBackend."""

    clock: Clock
    operators: Operators
    trail: AuditLog
    secret: bytes  # authenticates what a browser stores, also after a restart
    fleet: Fleet  # a connection that only the console uses
    services: Services  # of the running collector
    services_source: str  # their origin, in words
    rules_version: str  # version of the rules that judge

    def name_origin(self, forwarded_for: str) -> str:
        """Return an opaque name of the origin of a request.

        `forwarded_for` is the addresses of its path, as in X-Forwarded-For, the peer last.
        """
        ...

    def list_live_agents(self) -> Mapping[bytes, LiveAgent]: ...

    def find_end(self, agent: bytes) -> SessionEnd | None:
        """Return the end of an agent's last session but the present one."""
        ...

    def find_silence(self, agent: EnrolledAgent) -> str:
        """Return the id of the silence in which an agent was last seen, "" if none."""
        ...

    def create_invite(self, role: str, uses: int, lifetime_s: int) -> str:
        """Create an invite and return its line. Raises InvalidInputError."""
        ...

    def read_plan(self, yaml_text: str, name: str) -> Plan:
        """Parse a plan; errors call it `name`. Raises InvalidInputError."""
        ...

    def issue_plan(self, plan: Plan, after: int) -> Plan:
        """Sign a plan as the version after that. Raises InvalidInputError, PlanChangedError."""
        ...

    def read_ingest_status(self) -> IngestStatus: ...

    async def start_dry_run(self, tried: TriedList | None) -> None:
        """Begin to judge the last day again, storing nothing. Raises InvalidInputError."""
        ...

    def read_dry_run(self) -> DryRunStatus: ...

    def prove_voice_code(self, voice_text: str, source: str, *, is_kept: bool) -> VoiceReport:
        """Verify a code of a source, and store it if `is_kept`. Raises InvalidInputError."""
        ...

    def read_change_markers(self) -> Mapping[str, object]:
        """Return, by topic, a value that changes with the data."""
        ...

    def count_incidents(self) -> Mapping[str, int]:
        """Count the open incidents by state."""
        ...
