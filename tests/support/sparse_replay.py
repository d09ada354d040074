"""Replays of sparse rows, and when their incidents are confirmed."""

from collections.abc import Sequence

from heliograph.units import HOUR_US
from heliograph_collector.detect.replay import replay_signals
from heliograph_collector.incidents.incident import Incident
from heliograph_collector.model.signals import ServiceVote


def confirm(votes: Sequence[ServiceVote]) -> list[Incident]:
    """Replay votes; return every incident that was confirmed."""
    incidents = replay_signals((), [(vote.at_us, vote) for vote in votes]).incidents
    return [incident for incident in incidents if incident.confirmed_us is not None]


def hours_after(onset_us: int, incident: Incident) -> float:
    """Return the hours from an onset until an incident was confirmed."""
    assert incident.confirmed_us is not None
    return (incident.confirmed_us - onset_us) / HOUR_US
