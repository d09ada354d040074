"""Real events in the formats in which others publish them, as replays. README.md is the manual."""

from heliograph_collector.evaluate.importers.formats import load, sniff
from heliograph_collector.evaluate.importers.hourly import hourly
from heliograph_collector.evaluate.importers.imported import (
    Complaints,
    Imported,
    ImportRefusedError,
)
from heliograph_collector.evaluate.importers.level import level
from heliograph_collector.evaluate.importers.truths import held, truths

__all__ = [
    "Complaints",
    "ImportRefusedError",
    "Imported",
    "held",
    "hourly",
    "level",
    "load",
    "sniff",
    "truths",
]
