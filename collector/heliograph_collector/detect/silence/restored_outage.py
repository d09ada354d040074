"""Outages restored from the log after a restart without a checkpoint."""

from heliograph_collector.detect.silence.outage import OutageEpisode
from heliograph_collector.incidents.incident import ONE_WAY, Incident
from heliograph_collector.model.thresholds import Thresholds


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
