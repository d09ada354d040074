"""Real events in the formats in which others publish them, as replays. README.md is the manual."""

from heliograph_collector.evaluate.importers.account import Account, account, document, text
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
    "Account",
    "Complaints",
    "ImportRefusedError",
    "Imported",
    "account",
    "document",
    "held",
    "hourly",
    "level",
    "load",
    "sniff",
    "text",
    "truths",
]
