"""Our reachability channel for measurements that come now and then, as OONI's do.

The same evidence in bins of an hour, votes of three hours; nothing else is changed. The channel as
it runs wants a test a minute, and of runs that come by the hour it would see one at a time.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from heliograph_collector.detect.blocking.detector import reach
from heliograph_collector.incidents.incident import Incident, Kind
from heliograph_collector.model.signals import SECOND_US, Opinion
from heliograph_collector.model.thresholds import THRESHOLDS
from heliograph_collector.sources.replay import Alarm, Replay
from heliograph_collector.sources.replay import Kind as Name

_HOUR_US = 3_600 * SECOND_US
HOURLY = replace(THRESHOLDS, bin_s=3_600.0, fresh_s=10_800.0)


def hourly(replay: Replay) -> Sequence[Alarm]:
    """Suspected and confirmed, each at the end of its hour."""
    if not replay.opinions:
        return ()
    since_us = replay.since_us // _HOUR_US * _HOUR_US
    until_us = -(-replay.until_us // _HOUR_US) * _HOUR_US
    by: defaultdict[str, list[Opinion]] = defaultdict(list)
    for opinion in replay.opinions:
        by[opinion.service].append(opinion)
    found = [
        alarm
        for own in by.values()  # one after another: pages are many, and each looks at all of them
        for incident in reach(own, since_us, until_us, HOURLY)
        for alarm in _alarms(incident)
    ]
    return sorted(found, key=lambda alarm: (alarm.at_us, alarm.scope, alarm.service))


def _alarms(incident: Incident) -> Iterator[Alarm]:
    name: Name = "throttle" if incident.kind is Kind.THROTTLING else "block"
    stages = [(False, incident.suspected_us)]
    stages += [(True, incident.confirmed_us)] if incident.confirmed_us is not None else []
    for confirmed, at_us in stages:
        for part in incident.parts:
            yield Alarm(
                at_us=at_us,
                scope=part.scope,
                service=incident.service,
                kind=name,
                started=(incident.started.earliest_us, incident.started.latest_us),
                ended_at_us=incident.closed_us,
                label=incident.label,
                confirmed=confirmed,
                layer=incident.layer,
            )
