"""Find the silence in which an agent was lost. Pure."""

from collections.abc import Iterable

from heliograph.timestamps import parse_timestamp
from heliograph.units import MINUTE_US
from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.incidents.published.log import IncidentRecord
from heliograph_collector.incidents.state import LoggedIncident
from heliograph_collector.model.signals import VantageLocation

_SLACK_US = MINUTE_US  # between the last sighting of an agent and its silence: a poll


def find_silence(
    incidents: Iterable[LoggedIncident], country: str, asn: int, access: str, at_us: int
) -> str:
    """Return the id of a silence that covered a network at a time; "" if none did.

    It is the first of several, without withdrawn ones. A silence of regions covers
    none of them, since an agent's region is not known here.
    """
    location = VantageLocation(country, "", asn, access)
    return next(
        (
            logged.record.id
            for logged in incidents
            if logged.state != "withdrawn"
            and IncidentKind(logged.record.kind).is_silence
            and _covers(logged.record, location)
            and _lasted(logged.record, at_us)
        ),
        "",
    )


def _covers(record: IncidentRecord, location: VantageLocation) -> bool:
    return any(
        part.to_scope().includes(location)
        and not any(spared.to_scope().includes(location) for spared in part.spared)
        for part in record.parts
    )


def _lasted(record: IncidentRecord, at_us: int) -> bool:
    until = record.ended.latest if record.ended else record.closed
    is_over = until is not None and parse_timestamp(until) < at_us
    return parse_timestamp(record.started.earliest) - _SLACK_US <= at_us and not is_over
