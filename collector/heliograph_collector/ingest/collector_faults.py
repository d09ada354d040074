"""What of ours failed, as rows: it began, it lasts, it is over. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from heliograph.observation import Link
from heliograph_collector.ingest.stall_detector import Span
from heliograph_collector.model.records import JournalRow, Kind

COLLECTOR = bytes(16)  # the agent id of rows about the collector itself
AGAIN_US = 60_000_000  # a row so often while it lasts
_SAYS_NOTHING = (Link.ONLINE, Link.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something is wrong since then; `told_us` is when that was last written down."""

    since_us: int
    told_us: int


def cut_off(controls: Sequence[Link]) -> bool:
    """Whether every control that is connected says that it is not online.

    Then it is our own way to the world that is in doubt. With none connected nobody says so.
    """
    return bool(controls) and not any(link in _SAYS_NOTHING for link in controls)


def follow(doubt: Doubt | None, failing: bool, now_us: int) -> tuple[Doubt | None, Span | None]:
    """What is in doubt from now on, and the span to be written down now, if any.

    At the beginning at once: a silence is confirmed within a minute, and has to be held until then.
    """
    if not failing:
        return None, Span(doubt.since_us, now_us) if doubt else None
    if doubt is None:
        return Doubt(now_us, now_us), Span(now_us, now_us)
    if now_us - doubt.told_us < AGAIN_US:
        return doubt, None
    return Doubt(doubt.since_us, now_us), Span(doubt.since_us, now_us)


def fault_row(why: str, span: Span, country: str = "", carrier: str = "") -> JournalRow:
    """`why` is probe, stalled, carrier or update; "" stands for every country, every carrier."""
    said = {"why": why, "country": country, "carrier": carrier}
    return JournalRow(
        kind=Kind.FAULT,
        agent=COLLECTOR,
        received_us=span.until_us,
        heard_us=span.since_us,
        body=json.dumps(said, separators=(",", ":")).encode(),
    )
