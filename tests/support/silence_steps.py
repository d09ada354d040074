"""Read the incidents of silences at several times, by one detector that reads on."""

from collections.abc import Iterable, Iterator

from heliograph_collector.detect.silence.detector import SilenceDetector
from heliograph_collector.incidents.incident import Incident
from heliograph_collector.model.signals import sort_signals
from support.presence_model import Signals


def follow(signals: Signals, times_us: Iterable[int]) -> Iterator[list[Incident]]:
    """Yield the incidents at each of these times, the earliest first."""
    detector = SilenceDetector()
    ordered = sort_signals(signals)
    read = 0
    for now_us in times_us:
        while read < len(ordered) and ordered[read].at_us <= now_us:
            detector.on_signal(ordered[read])
            read += 1
        detector.advance_to(now_us)
        yield list(detector.findings().incidents)
