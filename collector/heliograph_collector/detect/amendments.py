"""Amend incidents that the live detector has or missed, by late data. Pure.

The live detector does not change. Its incidents are amended before they are written. When the judge
is minutes behind, the live detector has few votes or none: what it only suspects, and what it never
sees end, is replaced by the result of detecting the window again.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace

from heliograph_collector.detect.blocking.detector import BlockingDetector, ServiceVotes
from heliograph_collector.detect.blocking.episode import BlockingEpisode
from heliograph_collector.detect.blocking.evidence import count_failures
from heliograph_collector.detect.blocking.latest_votes import NewVoters, list_worst_votes
from heliograph_collector.incidents.incident import Incident, IncidentState
from heliograph_collector.model.thresholds import THRESHOLDS

_OVER = (IncidentState.CLOSED, IncidentState.WITHDRAWN)


def apply_amendments(
    live: Sequence[Incident],
    amendments_by_id: Mapping[str, Incident],
    failing: Container[str] = (),
) -> list[Incident]:
    """Return the amended live incidents, and amendments that were missed live.

    A missed one that the live detector meanwhile sees as well gives it its beginning.

    Args:
        live: The incidents of the live detector.
        amendments_by_id: The results of detecting windows again.
        failing: The live blocks that fresh votes show: what came late ends none of them.
    """
    ids = {incident.id for incident in live}
    missed = [i for name, i in amendments_by_id.items() if name not in ids]
    amended_incidents: list[Incident] = []
    used: set[str] = set()  # amendments that stand in the place of a live incident
    for incident in live:
        amendment = amendments_by_id.get(incident.id) or _find_same(incident, missed)
        amended = incident
        if amendment is not None:
            amended = _amend(incident, amendment, is_failing=incident.id in failing)
        if amended is amendment:
            if amended.id in used:
                continue
            used.add(amended.id)
        amended_incidents.append(amended)
    return amended_incidents + [
        m for m in missed if not any(m.overlaps(i) for i in amended_incidents)
    ]


def close_amendments(
    live: Sequence[Incident], amendments_by_id: Mapping[str, Incident]
) -> dict[str, Incident]:
    """Return ongoing amendments that the live detector saw end, with that end."""
    closed_by_id = {}
    for name, amendment in amendments_by_id.items():
        incident = _find_same(amendment, live) if amendment.closed_us is None else None
        if incident is not None and incident.closed_us is not None:
            closed_by_id[name] = replace(
                amendment, state=incident.state, ended=incident.ended, closed_us=incident.closed_us
            )
    return closed_by_id


def list_failing(live: BlockingDetector, among: Container[str]) -> frozenset[str]:
    """List the given blocks that are confirmed and that fresh votes still show."""
    return frozenset(
        episode.id
        for service in live.services.values()
        for country in service.countries.values()
        for episode in country.confirmed
        if episode.id in among and _is_failing(episode, service, live.since_us)
    )


def _is_failing(episode: BlockingEpisode, service: ServiceVotes, now_us: int) -> bool:
    worst = list_worst_votes(service.latest, NewVoters())
    inside = [vote for vote in worst if episode.holds(vote.witness.place)]
    count = count_failures(inside, now_us, THRESHOLDS)
    return count.votes >= THRESHOLDS.witnesses and count.share > THRESHOLDS.clear_share


def _find_same(incident: Incident, others: Iterable[Incident]) -> Incident | None:
    return next((other for other in others if other.overlaps(incident)), None)


def _amend(incident: Incident, amendment: Incident, *, is_failing: bool) -> Incident:
    if incident.confirmed_us is None and not incident.held:
        return amendment
    is_same = amendment.id == incident.id
    if not is_same and amendment.started.earliest_us >= incident.started.earliest_us:
        return incident
    is_over = is_same and amendment.state in _OVER
    if is_over and (incident.state in _OVER or not (is_failing or _is_later(incident, amendment))):
        return amendment
    times_us = [i.confirmed_us for i in (incident, amendment) if i.confirmed_us is not None]
    return replace(
        incident,
        started=amendment.started,
        suspected_us=min(incident.suspected_us, amendment.suspected_us),
        confirmed_us=min(times_us, default=None),
    )


def _is_later(incident: Incident, amendment: Incident) -> bool:
    """Return whether a live incident began again after the end in an amendment."""
    over_us = amendment.closed_us or 0
    return any(turn.seen_us > over_us for turn in incident.turns)
