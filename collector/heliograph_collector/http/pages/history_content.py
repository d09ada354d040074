"""The content of the page of chosen days."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from markupsafe import Markup

from heliograph_collector.http.pages.imported_rows import ImportedTable
from heliograph_collector.http.pages.recent_incidents import IncidentLine
from heliograph_collector.http.pages.state_rows import RowGroup
from heliograph_collector.http.pages.subject_page import Subject
from heliograph_collector.http.templates import PageContent


@dataclass(frozen=True, slots=True, kw_only=True)
class DataLinks:
    """Where rows are as a table, a document, a picture and a frame."""

    csv: str
    json: str
    picture: str
    drawing: str  # sharp in print
    frame: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryContent(PageContent):
    template: ClassVar[str] = "history.html"
    base: str
    subject: Subject
    title: str
    summary: str  # of the troubles, in a sentence
    answers: Sequence[tuple[str, str]]  # what was blocked, and how
    below: str
    address: str
    now_path: str
    chosen_since: str
    chosen_until: str
    chosen_service: str
    archive: str
    links: DataLinks
    imported_links: DataLinks
    step: str
    lines: Sequence[IncidentLine]
    incident_count: int
    lanes: Markup
    lanes_told: str
    groups: Sequence[RowGroup]
    axis: Markup
    imported: ImportedTable | None
    too_much: bool
    printed: str
