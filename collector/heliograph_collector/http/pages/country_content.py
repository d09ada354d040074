"""The content of a country's page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from markupsafe import Markup

from heliograph_collector.http.pages.recent_incidents import IncidentLine, RecentIncidents
from heliograph_collector.http.pages.state_rows import RowGroup
from heliograph_collector.http.templates import PageContent


@dataclass(frozen=True, slots=True, kw_only=True)
class CountryContent(PageContent):
    template: ClassVar[str] = "country.html"
    chosen: str  # the country's name
    code: str
    query: str
    recent: RecentIncidents
    is_measured: bool  # whether anybody measured there lately
    headline: str
    last_days: tuple[str, str]  # text and address
    line: IncidentLine | None  # the headline's incident
    below: str
    windows: Sequence[tuple[str, str, bool]]  # name, path, is shown
    hours: Sequence[tuple[str, str, bool]]  # label, path, is shown
    by_minute: bool
    minutes_from: int  # vantages that a minute needs to be public, 0 for any number
    past: str
    step: str
    too_much: bool
    lanes: Markup
    lanes_told: str
    groups: Sequence[RowGroup]
    shape: str
    networks: int
    axis: Markup
    at: str
    entry: int
    outdated: str
