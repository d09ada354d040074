"""The first page after the login."""

from aiohttp import web

from heliograph_collector.console import frame
from heliograph_collector.console.gate import VIEWER, Add
from heliograph_collector.console.office import Office


def routes(add: Add, office: Office) -> None:
    async def show(request: web.Request) -> web.StreamResponse:
        return frame.render(request, "home.html")

    add("GET", "/console", VIEWER, show)
