"""The console's paths, put into the collector's application."""

from aiohttp import web

from heliograph_collector.console import templates
from heliograph_collector.console.access import NOBODY, Gate
from heliograph_collector.console.audit_page import Diary
from heliograph_collector.console.backend import Office
from heliograph_collector.console.event_stream import Live
from heliograph_collector.console.fleet import Fleet
from heliograph_collector.console.health import Health
from heliograph_collector.console.home_page import Home
from heliograph_collector.console.invites import Invites
from heliograph_collector.console.login import Login
from heliograph_collector.console.plans import Plans
from heliograph_collector.console.voice_page import Voice

PARTS = (Login, Home, Live, Fleet, Invites, Plans, Health, Voice, Diary)


def routes(app: web.Application, office: Office) -> Gate:
    """Adds them; a part of the console is made with the gate and adds its own."""
    gate = Gate(office)
    add = gate.add(app)
    add("GET", "/console/static/{name}", NOBODY, templates.static)
    for part in PARTS:
        part(gate).routes(add)
    return gate
