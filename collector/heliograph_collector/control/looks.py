"""Further looks of controls at one target, chosen for what they add to the best control."""

from collections.abc import Sequence
from operator import attrgetter

from heliograph.observation import Measurement
from heliograph_collector.control.met_endpoints import MetEndpoint, list_met_endpoints
from heliograph_collector.model.control_look import MAX_LOOKS, ControlLook
from heliograph_collector.model.records import ReceivedMeasurement


def choose_looks(
    records: Sequence[ReceivedMeasurement], measurement: Measurement, at_us: int, day: int
) -> tuple[ControlLook, ...]:
    """Choose at most MAX_LOOKS results, newest first.

    A visit counts only where it went to an endpoint that the measurement met. A result that looks
    at one of those endpoints from a further network comes before one that repeats a look.

    Args:
        records: Fresh results of controls on the same target, without the best control's.
        at_us: Time of the compared measurement.
        day: The day whose prefixes name networks.
    """
    if not records:
        return ()
    met = list_met_endpoints(measurement)
    covered: set[tuple[MetEndpoint, str]] = set()
    adding: list[ReceivedMeasurement] = []
    repeating: list[ReceivedMeasurement] = []
    for record in sorted(records, key=attrgetter("started_us"), reverse=True):
        network = name_network(record, day)
        looks = {(end, network) for end in met & list_met_endpoints(record.measurement)}
        if looks - covered:
            adding.append(record)
        elif looks or not (record.measurement.is_visit or record.measurement.is_light):
            repeating.append(record)
        covered |= looks
    chosen = (*adding, *repeating)[:MAX_LOOKS]
    return tuple(
        ControlLook(
            measurement=record.measurement,
            age_us=abs(record.started_us - at_us),
            link=record.link,
            network=name_network(record, day),
            is_visit=record.measurement.is_visit,
        )
        for record in sorted(chosen, key=attrgetter("started_us"), reverse=True)
    )


def find_day(records: Sequence[ReceivedMeasurement]) -> int:
    """Return the last day for which one of the records names its line, 0 without records."""
    return max((record.line_day for record in records), default=0)


def name_network(record: ReceivedMeasurement, day: int) -> str:
    """Name a control's network: its AS, else its prefix, "" when it cannot be compared.

    The hash of a prefix changes every day, so that of another day than `day` names nothing.
    """
    if record.vantage.asn:
        return f"AS{record.vantage.asn}"
    return record.prefix if day == record.line_day else ""
