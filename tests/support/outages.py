"""Outage episodes for tests of what becomes of them."""

from typing import Any

from heliograph_collector.detect.silence.outage import OutageEpisode
from heliograph_collector.incidents.incident import Bracket
from heliograph_collector.model.scope import AffectedCell, Scope
from heliograph_collector.model.thresholds import THRESHOLDS
from support.presence_model import at


def build_outage(scope: Scope, since_s: float, **changes: Any) -> OutageEpisode:
    """Build a suspected outage of one cell, which began within a minute."""
    values: dict[str, Any] = {
        "id": "outage",
        "country": scope.country,
        "parts": (AffectedCell(scope, 20, 0.6, 20),),
        "started": Bracket(at(since_s), at(since_s + 60)),
        "from_us": at(since_s),
        "suspected_us": at(since_s + 60),
        "certainty": 0.5,
        "limits": THRESHOLDS,
    }
    return OutageEpisode(**(values | changes))
