"""One plain line per health topic for the operator. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from heliograph.observation import Link
from heliograph.plan import Entrance
from heliograph.units import SECOND_US
from heliograph_collector.console.backend import IngestStatus
from heliograph_collector.console.fleet_table import FleetRow
from heliograph_collector.console.formats import format_count, format_second, format_size
from heliograph_collector.fleet.entrances import describe_carriers

BACKLOG_ENVELOPES = 20  # envelopes in one spool: more than an agent without backlog holds
LOW_DISK_BYTES = 2_000_000_000
_HARMLESS = ("duplicate", "stored")
_OPEN_ANOTHER = "open another entrance (`entrances` in the configuration) and issue the plan again."
_LOOK = "look at it from another network: `heliograph-collector doctor --public` says how."


class UnreachedEntrance(Protocol):
    """Entrance that some agents do not reach. Implemented by BlockedEntrance."""

    @property
    def country(self) -> str:
        """Return the country of those, "" for controls."""
        ...

    @property
    def carriers(self) -> tuple[str, ...]: ...
    @property
    def since_us(self) -> int: ...
    @property
    def is_open(self) -> bool: ...
    @property
    def is_seen(self) -> bool:
        """Return whether others show that it lives."""
        ...


@dataclass(frozen=True, slots=True)
class StatusLine:
    """One line; `severity` is good, doubt or bad."""

    severity: str
    sentence: str


def describe_blocked(blocked: UnreachedEntrance, entrances: Iterable[Entrance]) -> str:
    """Describe an entrance that agents or controls do not reach, and what to do."""
    began = f"Since {format_second(blocked.since_us)} UTC"
    carriers = describe_carriers(blocked.carriers, entrances)
    if not blocked.country:
        return (
            f"{began} controls do not reach us by {carriers}, and came by another way. That "
            f"entrance may be dead: {_LOOK}"
        )
    doubt = f"nobody elsewhere uses that entrance, so it may have failed by itself: {_LOOK}"
    return (
        f"{began} agents in {blocked.country} do not reach us by {carriers} though their Internet "
        f"works{'' if blocked.is_open else ', and came by another way'}: "
        f"{_OPEN_ANOTHER if blocked.is_seen else doubt}"
    )


def summarize_incidents(counts_by_state: Mapping[str, int]) -> StatusLine:
    """Summarize open incidents, counted by state."""
    confirmed_count = counts_by_state.get("confirmed", 0)
    suspected_count = counts_by_state.get("suspected", 0)
    if confirmed_count:
        suspected_part = f", {suspected_count:,} suspected" if suspected_count else ""
        return StatusLine(
            "bad", f"{format_count(confirmed_count, 'confirmed incident')} open{suspected_part}."
        )
    if suspected_count:
        return StatusLine(
            "doubt", f"{format_count(suspected_count, 'suspected incident')}, none confirmed."
        )
    return StatusLine("good", "No incident is open.")


def summarize_fleet(rows: Sequence[FleetRow]) -> StatusLine:
    volunteers = [
        row for row in rows if row.agent.role == "volunteer" and row.agent.revoked_s is None
    ]
    connected_count = sum(row.live is not None for row in volunteers)
    excluded_count = sum(row.exclusion_reason != "" for row in volunteers)
    if not volunteers:
        return StatusLine("doubt", "No volunteer is enrolled: invite somebody.")
    if not connected_count:
        return StatusLine(
            "bad", f"None of {format_count(len(volunteers), 'volunteer')} is connected."
        )
    summary = f"{connected_count:,} of {format_count(len(volunteers), 'volunteer')} connected"
    if excluded_count:
        return StatusLine("doubt", f"{summary}; {excluded_count:,} not counted, see the list.")
    return StatusLine("good", f"{summary}.")


def summarize_controls(rows: Sequence[FleetRow]) -> StatusLine:
    """Summarize the controls.

    Without a control that is online, blocked cannot be distinguished from down.
    """
    controls = [r for r in rows if r.agent.role == "control" and r.agent.revoked_s is None]
    live_controls = [row.live for row in controls if row.live is not None]
    online_count = sum(control.link == Link.ONLINE for control in live_controls)
    if not live_controls:
        problem = "No control is connected" if controls else "There is no control"
        return StatusLine(
            "bad", f"{problem}: nothing can be judged blocked, and verdicts are unknown."
        )
    if not online_count:
        connected = format_count(len(live_controls), "control")
        return StatusLine("doubt", f"{connected} connected, none online: verdicts are in doubt.")
    connected = format_count(len(live_controls), "connected control")
    summary = f"{online_count} of {connected} online: verdicts can be reached."
    return StatusLine("good" if online_count == len(live_controls) else "doubt", summary)


def summarize_ingest(ingest_status: IngestStatus) -> StatusLine:
    if ingest_status.problems:
        return StatusLine("bad", " ".join(ingest_status.problems))
    if ingest_status.lag_entries is None:
        return StatusLine("doubt", "The store is starting; agents are acknowledged meanwhile.")
    if ingest_status.notices:
        return StatusLine("doubt", " ".join(ingest_status.notices))
    if ingest_status.free_bytes < LOW_DISK_BYTES:
        return StatusLine(
            "doubt",
            f"Only {format_size(ingest_status.free_bytes)} are free on the collector's disk.",
        )
    lag = (
        f"{format_count(ingest_status.lag_entries, 'entry', 'entries')} behind"
        if ingest_status.lag_entries
        else "up to date"
    )
    return StatusLine(
        "good", f"The store is {lag}; {format_size(ingest_status.free_bytes)} free on the disk."
    )


def summarize_refusals(ingest_status: IngestStatus) -> StatusLine:
    refused_count = sum(n for _, status, _, n in ingest_status.envelopes if status == "rejected")
    stored_count = sum(n for _, status, _, n in ingest_status.envelopes if status in _HARMLESS)
    if not refused_count:
        return StatusLine(
            "good", f"No envelope was refused; {stored_count:,} taken since the start."
        )
    share = refused_count / max(1, refused_count + stored_count)
    severity = "bad" if share > 0.05 else "doubt"
    return StatusLine(
        severity,
        f"{format_count(refused_count, 'envelope')} refused of {refused_count + stored_count:,}.",
    )


def summarize_spools(rows: Sequence[FleetRow]) -> StatusLine:
    queued_counts = [row.live.queued_envelopes for row in rows if row.live is not None]
    backlogs = [queued for queued in queued_counts if queued > BACKLOG_ENVELOPES]
    if not queued_counts:
        return StatusLine("doubt", "Nobody is connected, so nobody says what waits.")
    if backlogs:
        agents = format_count(len(backlogs), "agent")
        agents_part = f"{agents} {'has' if len(backlogs) == 1 else 'have'} a backlog"
        return StatusLine(
            "doubt",
            f"{agents_part}, {format_count(sum(backlogs), 'envelope')} in all: they catch up.",
        )
    return StatusLine(
        "good", f"No backlog: {format_count(sum(queued_counts), 'envelope')} on the way."
    )


class BlindSpan(Protocol):
    """A time in which nothing was judged, and why."""

    @property
    def since_us(self) -> int: ...

    @property
    def until_us(self) -> int | None: ...

    @property
    def reason(self) -> str: ...


def describe_lost_times(gaps: Iterable[BlindSpan], now_us: int) -> list[str]:
    """Return a sentence on each time that a wrong clock cost."""
    return [
        f"From {format_second(gap.since_us)} UTC nothing was judged for "
        f"{((gap.until_us or now_us) - gap.since_us) // SECOND_US} s: the clock had been ahead."
        for gap in gaps
        if gap.reason == "clock"
    ]
