"""Show measurements: a filtered list, and one beside its control, step by step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from aiohttp import web

from heliograph_collector.console import templates
from heliograph_collector.console.access import VIEWER, AccessControl, AddRoute
from heliograph_collector.http.backend import MeasurementSource
from heliograph_collector.http.measurement_view import (
    FIELDS,
    STATES,
    MeasurementDetail,
    MeasurementLine,
    MeasurementReader,
)
from heliograph_collector.http.problem import Problem

PATH = "/console/measurements"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementListView(templates.PageView):
    template: ClassVar[str] = "measurements.html"
    lines: Sequence[MeasurementLine]
    next_cursor: str  # "" on the last page
    query: Mapping[str, str]  # the filter as it was typed
    error_text: str
    services: Sequence[str]
    states: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementView(templates.PageView):
    template: ClassVar[str] = "measurement.html"
    detail: MeasurementDetail


class MeasurementPages:
    def __init__(self, access_control: AccessControl, source: MeasurementSource) -> None:
        self._backend = access_control.backend
        self._reader = MeasurementReader(source)

    def routes(self, add_route: AddRoute) -> None:
        add_route("GET", PATH, VIEWER, self.show_list)
        add_route("GET", PATH + "/{id}", VIEWER, self.show_measurement)

    async def show_list(self, request: web.Request) -> web.StreamResponse:
        """Show a page of measurements, newest first. A field that is wrong is named."""
        query = {name: request.query.get(name, "").strip()[:64] for name in FIELDS}
        lines: list[MeasurementLine] = []
        cursor = error_text = ""
        status = 200
        try:
            lines, cursor = await self._reader.list_page(
                query, request.query.get("cursor", "")[:256]
            )
        except Problem as problem:
            error_text = str(problem)
            status = problem.status
        view = MeasurementListView(
            lines=lines,
            next_cursor=cursor,
            query=query,
            error_text=error_text,
            services=[service.name for service in self._backend.services.services],
            states=STATES,
        )
        return templates.render(request, view, status=status)

    async def show_measurement(self, request: web.Request) -> web.StreamResponse:
        detail = await self._reader.find_detail(request.match_info["id"])
        if detail is None:
            raise Problem(404, "No such measurement", f"Those that are kept are at {PATH}.")
        return templates.render(request, MeasurementView(detail=detail))
