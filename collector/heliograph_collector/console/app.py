"""The console's paths, put into the collector's application."""

from aiohttp import web

from heliograph_collector.console import frame, home
from heliograph_collector.console.gate import NOBODY, Gate
from heliograph_collector.console.login import Login
from heliograph_collector.console.office import Office


def routes(app: web.Application, office: Office) -> Gate:
    """Adds them; a part of the console adds its own by the same `add`."""
    gate = Gate(office)
    add = gate.add(app)
    Login(gate).routes(add)
    add("GET", "/console/static/{name}", NOBODY, frame.static)
    home.routes(add, office)
    return gate
