"""Codes by telephone, for the console."""

from pathlib import Path

from heliograph import voice_code
from heliograph.clock import Clock
from heliograph_collector.console.backend import VoiceReport
from heliograph_collector.fleet import Fleet
from heliograph_collector.ingest import voice_codes


class FleetCodeProver:
    """Verifies and stores codes of the agents of a fleet."""

    def __init__(self, data: Path, clock: Clock) -> None:
        self._data = data
        self._clock = clock

    def prove_code(self, voice_text: str, fleet: Fleet, *, is_kept: bool) -> VoiceReport:
        """Verify a code, and store it if `is_kept`. Raises ValueError with the reason."""
        try:
            agent, report = voice_codes.verify_code(voice_text, self._data, fleet, self._clock)
            if is_kept:
                voice_codes.store_code(agent, report, fleet, self._clock)
        except voice_codes.UnprovenError as error:
            raise ValueError(str(error)) from error
        return VoiceReport(
            agent=agent.id.hex(),
            created=voice_codes.format_made_at(report),
            lines=tuple(voice_code.summarize_report(report)),
            is_stored=voice_codes.is_stored(agent, report, fleet),
        )
