"""State of the silence detector as plain values, and the gaps that it finds."""

from dataclasses import dataclass

from heliograph.timestamps import format_timestamp
from heliograph_collector.detect.level import fall
from heliograph_collector.detect.level.cell_level import CellLevel
from heliograph_collector.detect.silence.candidate import OutageCandidate
from heliograph_collector.detect.silence.control_sessions import ControlTracker
from heliograph_collector.detect.silence.outage import OutageEpisode
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.stats.churn import ChurnRecord
from heliograph_collector.incidents.incident import Incident
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import Fault


@dataclass(frozen=True, slots=True)
class CoverageGap:
    """A time in which silences could not be judged, with the reason."""

    since_us: int
    until_us: int
    why: str
    country: str = ""

    def describe(self) -> str:
        """Describe where and when no incident means nothing."""
        since, until = (format_timestamp(at_us)[:19] for at_us in (self.since_us, self.until_us))
        return (
            f"{self.country or 'everywhere'}: not judged from {since} to {until} UTC ({self.why})"
        )


@dataclass(frozen=True, slots=True)
class Findings:
    """Incidents and coverage gaps that a silence detector found up to a time."""

    incidents: tuple[Incident, ...]
    coverage_gaps: tuple[CoverageGap, ...]


@dataclass(slots=True, kw_only=True)
class SilenceDetectorState:
    """State of a SilenceDetector as plain values, for checkpoints.

    Vantages are referred to by pseudonym, outages and fault periods by index.
    """

    vantages: list[VantagePresence]
    controls: ControlTracker
    pools: list[tuple[str, str, ChurnRecord]]
    recent_silences: dict[str, list[str]]
    # the fault periods, under the name that stored states have
    blackouts: list[tuple[Fault, int, list[str]]]
    outages: list[OutageEpisode]
    # with its outage's index in `outages`; -1 for none or one that is not published
    candidates: list[tuple[OutageCandidate, int]]
    coverage_gaps: list[CoverageGap]
    timers: list[
        tuple[int, int, str, str, int]
    ]  # time, number, name, country, index in `blackouts` or -1
    scheduled: list[tuple[str, str]]
    timer_number: int
    fired_us: int
    levels: list[tuple[Scope, CellLevel]]
    falls: list[fall.LevelFall]
