"""Show measurements: a filtered list, and one beside its control, step by step."""

from aiohttp import web

from heliograph_collector.console import templates
from heliograph_collector.console.access import VIEWER, AccessControl, AddRoute
from heliograph_collector.http.backend import MeasurementSource
from heliograph_collector.http.measurement_view import (
    FIELDS,
    STATES,
    MeasurementLine,
    MeasurementReader,
)
from heliograph_collector.http.problem import Problem

PATH = "/console/measurements"


class MeasurementPages:
    def __init__(self, access_control: AccessControl, source: MeasurementSource) -> None:
        self._backend = access_control.backend
        self._reader = MeasurementReader(source)

    def routes(self, add_route: AddRoute) -> None:
        add_route("GET", PATH, VIEWER, self.show_list)
        add_route("GET", PATH + "/{id}", VIEWER, self.show_measurement)

    async def show_list(self, request: web.Request) -> web.StreamResponse:
        """Show a page of measurements, newest first. A field that is wrong is named."""
        asked = {name: request.query.get(name, "").strip()[:64] for name in FIELDS}
        lines: list[MeasurementLine] = []
        cursor = error_text = ""
        status = 200
        try:
            lines, cursor = await self._reader.list_page(
                asked, request.query.get("cursor", "")[:256]
            )
        except Problem as problem:
            error_text = str(problem)
            status = problem.status
        return templates.render(
            request,
            "measurements.html",
            status=status,
            lines=lines,
            next=cursor,
            asked=asked,
            wrong=error_text,
            services=[service.name for service in self._backend.services.services],
            states=STATES,
        )

    async def show_measurement(self, request: web.Request) -> web.StreamResponse:
        detail = await self._reader.find_detail(request.match_info["id"])
        if detail is None:
            raise Problem(404, "No such measurement", f"Those that are kept are at {PATH}.")
        return templates.render(request, "measurement.html", detail=detail)
