"""Mark silences of which only one way to the collector is known. Pure.

A block of the collector's only address looks the same to it as a cut. So a state from such a
silence alone is called silent, as in the incident's sentence, and never offline.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from heliograph.observation import Link
from heliograph_collector.http.snapshot import NetworkColumn
from heliograph_collector.incidents.incident import ONE_WAY, IncidentKind
from heliograph_collector.incidents.published.incident import IncidentSummary


def mark_one_way(
    columns: Iterable[NetworkColumn], silences: Sequence[IncidentSummary]
) -> tuple[NetworkColumn, ...]:
    """Mark the offline networks of countries whose confirmed silences are all one-way.

    Args:
        silences: The open ones.
    """
    by_country: dict[str, list[bool]] = {}
    for silence in silences:
        if silence.state == "confirmed":
            is_one_way = silence.kind == IncidentKind.SILENCE and ONE_WAY in silence.hints
            by_country.setdefault(silence.scope.country, []).append(is_one_way)
    countries = {code for code, are_one_way in by_country.items() if all(are_one_way)}
    return tuple(
        replace(column, is_one_way=column.link is Link.OFFLINE)
        if column.group.country in countries
        else column
        for column in columns
    )
