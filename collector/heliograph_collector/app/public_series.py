"""Real events as replays: the formats of `sources`, with votes by the judge and the detectors."""

from collections.abc import Sequence
from pathlib import Path

from heliograph_collector.detect.signal_reader import read_votes
from heliograph_collector.judge import judge
from heliograph_collector.model.records import ControlView, ReceivedMeasurement
from heliograph_collector.model.signals import ServiceVote
from heliograph_collector.sources import event_file
from heliograph_collector.sources.complaints import ImportResult


class RuleVoter:
    """Vote by the shipped rules, as the detectors read verdicts."""

    def list_votes(
        self, record: ReceivedMeasurement, control: ControlView
    ) -> Sequence[ServiceVote]:
        return list(read_votes([(record, judge(record, control))]))


def load_event(path: Path, entity: str = "") -> ImportResult:
    """Load a file or a folder, see `event_file.load_event`. Raises ImportRefusedError."""
    return event_file.load_event(path, entity, RuleVoter())
