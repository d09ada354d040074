"""Real events in the formats in which others publish them, as replays. README.md is the manual."""

from heliograph_collector.sources.complaints import Complaints, Imported, ImportRefusedError
from heliograph_lab.evaluate.event.account import Account, account, document, text
from heliograph_lab.evaluate.event.formats import load, sniff
from heliograph_lab.evaluate.event.hourly import hourly
from heliograph_lab.evaluate.event.level import level
from heliograph_lab.evaluate.event.truths import held, truths

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
