"""Convert an outage to an incident, and back from the log without a checkpoint."""

from heliograph_collector.detect.silence.outage import OutageEpisode
from heliograph_collector.incidents.incident import (
    ONE_WAY,
    Incident,
    IncidentKind,
    hint_on_the_hour,
    hint_power_or_network,
)
from heliograph_collector.model.thresholds import Thresholds


def build_incident(outage: OutageEpisode) -> Incident:
    """Build the incident that an outage is at present."""
    return Incident(
        id=outage.id,
        kind=outage.kind,
        state=outage.state,
        parts=outage.parts,
        started=outage.started,
        suspected_us=outage.suspected_us,
        confidence=outage.confidence,
        confirmed_us=outage.confirmed_us,
        ended=outage.ended,
        closed_us=outage.closed_us,
        turns=tuple(outage.turns),
        kinds=tuple(outage.kinds),
        method=outage.method,
        held=outage.held,
        reports=len(outage.replays),
        told=outage.count_told(),
        several=outage.evidence.count_several(outage.second_way),
        hints=_list_hints(outage),
    )


def _list_hints(outage: OutageEpisode) -> tuple[str, ...]:
    hints = hint_on_the_hour(outage.started)
    if outage.kind is IncidentKind.COLLECTOR_BLOCKED:
        return hints
    hints += hint_power_or_network(outage.replays.values())
    is_one_way = outage.ways < outage.limits.ways and not outage.is_proven
    return (*hints, ONE_WAY) if is_one_way and outage.kind is IncidentKind.SILENCE else hints


def restore_outage(incident: Incident, limits: Thresholds) -> OutageEpisode:
    """Restore an outage from the log, without its silent vantages."""
    votes = sum(part.votes for part in incident.parts)
    return OutageEpisode(
        id=incident.id,
        country=incident.scope.country,
        parts=incident.parts,
        started=incident.started,
        from_us=incident.started.earliest_us,
        suspected_us=incident.suspected_us,
        certainty=incident.confidence,
        limits=limits,
        kind=incident.kind,
        kinds=list(incident.kinds),
        ways=1 if ONE_WAY in incident.hints else limits.ways,
        state=incident.state,
        confirmed_us=incident.confirmed_us,
        turns=list(incident.turns),
        needed=votes * (1.0 - limits.confirm_share),
    )
