"""A country that reported until a minute ago, and the incident of its cut."""

import re
from dataclasses import replace
from typing import Any

from heliograph_collector.incidents.incident import Incident, IncidentState
from heliograph_collector.model.records import VerdictState
from support.fake_feed import BIN_US, NOW_US, World, crowd
from support.incident_book import part, silence
from support.site import Site

STATES = re.compile(r'id="([A-Za-z0-9-]+)" class="([^"]*)"')
SECOND = 1_000_000
CUT_US = NOW_US // BIN_US * BIN_US + 70 * SECOND


def country_before_the_cut() -> World:
    world = World()
    for asn, access, n in ((9198, "fixed", 30), (29355, "mobile", 20), (1, "fixed", 3)):
        world.votes += crowd(
            n, VerdictState.REACHABLE, CUT_US - 4 * 3600 * SECOND, CUT_US, asn=asn, access=access
        )
    world.votes += crowd(9, VerdictState.REACHABLE, CUT_US - 3600 * SECOND, CUT_US, country="DE")
    return world


def cut(state: IncidentState, *where: Any, **changes: Any) -> Incident:
    """Return the incident thirty seconds after the cut, as the detector writes it."""
    minutes = (NOW_US - CUT_US) / 60 / SECOND
    incident = silence(minutes=minutes, parts=(part(50.0, *(where or ("KZ",))),), **changes)
    at_us = CUT_US + 30 * SECOND
    return replace(
        incident, state=state, suspected_us=at_us,
        confirmed_us=at_us if state is IncidentState.CONFIRMED else None,
    )  # fmt: skip


async def read_green(client: Site, country: str = "KZ") -> list[str]:
    """Return what the status page shows as working in a country now."""
    status = await client.json(f"/api/v1/status?country={country}")
    green = [
        f"{group['asn']} {service['service']}"
        for group in status["groups"]
        for service in group["services"]
        if service["state"] == "reachable"
    ]
    for path in ("/", f"/?country={country}", f"/countries/{country}"):
        page = await client.html(path)
        green += [
            f"{path} {id_}"
            for id_, classes in STATES.findall(page)
            if "reachable" in classes.split() and not re.search("-DE|-de-", id_)
        ]
    return green
