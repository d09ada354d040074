"""Detectors for imported events: level drops, and blocking in bins of an hour.

Both are those of the collector (`detect/level`, `detect/sparse_votes.py`). A series counts
addresses or queries, not vantages. An alarm names the sources whose level fell, and no number of
observers. It is readable at the end of its step; the delay of the publisher is unknown.
"""

from collections.abc import Iterator, Sequence
from operator import attrgetter

from heliograph_collector.detect.level.detector import detect_levels
from heliograph_collector.detect.sparse_votes import detect_sparse
from heliograph_collector.incidents.incident import Incident, IncidentKind
from heliograph_collector.sources.replay import Alarm, Replay
from heliograph_collector.sources.replay import Kind as AlarmKind
from heliograph_collector.sources.signal_writer import list_readings


def detect_hourly(replay: Replay) -> Sequence[Alarm]:
    """Detect blocking in irregular measurements, such as OONI's.

    It is the live detector with bins of an hour, and votes of three hours or more. With bins of a
    minute, hourly runs would be in different bins. Suspected and confirmed alarms come at the end
    of their hour.
    """
    incidents = detect_sparse(replay.opinions)
    alarms = [alarm for incident in incidents for alarm in _hourly_alarms(incident)]
    return sorted(alarms, key=attrgetter("at_us", "scope", "service"))


def _hourly_alarms(incident: Incident) -> Iterator[Alarm]:
    name: AlarmKind = "throttle" if incident.kind is IncidentKind.THROTTLING else "block"
    stages = [(False, incident.suspected_us)]
    stages += [(True, incident.confirmed_us)] if incident.confirmed_us is not None else []
    for is_confirmed, at_us in stages:
        for cell in incident.parts:
            yield Alarm(
                at_us=at_us,
                scope=cell.scope,
                service=incident.service,
                kind=name,
                started=(incident.started.earliest_us, incident.started.latest_us),
                ended_at_us=incident.closed_us,
                label=incident.label,
                confirmed=is_confirmed,
                layer=incident.layer,
            )


def detect_level_drops(replay: Replay) -> Sequence[Alarm]:
    """Detect drops in the series of the replay, as a collector does."""
    readings = [reading for series in replay.series for reading in list_readings(series)]
    incidents = detect_levels(readings, replay.until_us)
    alarms = [alarm for incident in incidents for alarm in _level_alarms(incident)]
    return sorted(alarms, key=attrgetter("at_us", "scope", "layer"))


def _level_alarms(incident: Incident) -> Iterator[Alarm]:
    stages = [(False, incident.suspected_us)] * (incident.suspected_us != incident.confirmed_us)
    stages += [(True, incident.confirmed_us)] if incident.confirmed_us is not None else []
    ended = incident.ended
    end = (ended.earliest_us, ended.latest_us) if ended else None
    for is_confirmed, at_us in stages:
        yield Alarm(
            at_us=at_us,
            scope=incident.scope,
            service="",
            kind="cut",
            started=(incident.started.earliest_us, incident.started.latest_us),
            ended_at_us=incident.closed_us,
            confirmed=is_confirmed,
            layer=incident.layer,
            ended=end,
            incident=incident.id,
        )
