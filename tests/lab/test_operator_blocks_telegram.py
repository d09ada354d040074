"""An operator's browser sees Telegram blocked on one network of a country.

A guest joins, the block begins, the incident appears on the open page, and the operator's update on
it is public and signed. The seconds from the block to the incident are printed.
"""

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.country import prompt, window
from lab.country.country import Country, country
from lab.country.topology import FIRST_ASN, small_country
from lab.country.world import require_for_test
from support.browser_reader import Open, Reader
from support.operator_journey import invite, log_in, publish
from support.programs import ask, collector

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(1_200)]
GUEST, ITS_REGION = "kcell-nqz-1", "KZ-71"  # the only agent there
KCELL_ASN, TELE2_ASN = FIRST_ASN, FIRST_ASN + 1
KCELL, TELE2 = (f"#cell-KZ-{asn}-mobile-telegram" for asn in (KCELL_ASN, TELE2_ASN))
AGENTS = {"kcell": {"ala": 5, "nqz": 1}, "tele2": {"ala": 4}}
PLAN = {
    "heartbeat_s": 2,
    "limits": {"bytes_per_month": 10**12, "concurrency": 16, "target_pause_s": 1},
    "tasks": [
        {"experiment": "connectivity", "service": "anchors", "interval_s": 10},
        {"experiment": "telegram", "service": "telegram", "interval_s": 15},
    ],
}
# A minute of failures is judged 20 s after its end, and two or three of them are enough.
FOUND_MS = 260_000
SEEN_MS = 90_000
REASON = "Two readers in Astana say so by telephone."


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Country]:
    """Start a country with all agents but the guest."""
    require_for_test()
    described = small_country(AGENTS, {"ala": "KZ-75", "nqz": ITS_REGION})
    with country(tmp_path / "country", described, tested=("telegram",)) as made:
        made.collect(PLAN)
        made.populate(leave=(GUEST,))
        yield made


async def test_an_operator_confirms_what_was_blocked(
    lab: Country, reader: Open, tmp_path: Path
) -> None:
    password = lab.password_file.read_text().strip()
    with (
        socket.create_server(("127.0.0.1", 0)) as door,
        window.opened(lab.world, door) as origin,
    ):
        async with reader(origin) as seen, reader(origin) as public:
            await log_in(seen, password)
            await _a_guest_comes(lab, seen)
            await _telegram_is_blocked(lab, seen, public)
            await _the_operator_confirms(seen, public)
            await _anybody_can_tell(public, tmp_path / "alerts.jsonl")


async def _a_guest_comes(lab: Country, seen: Reader) -> None:
    invitation = await invite(seen)
    await _stays_open(seen, "/console/fleet")
    assert ITS_REGION not in await seen.text("#agents")
    (place,) = (place for place in lab.topology.agents if place.name == GUEST)
    await asyncio.to_thread(lab.join_place, place, invitation)
    lab.start_place(place)
    row, line = f"tr:has-text('{ITS_REGION}') .state.here", "#line:has-text('10 of 10 volunteers')"
    for came in (row, line):
        await seen.page.wait_for_selector(came, timeout=SEEN_MS)
    await _stayed(seen)


async def _telegram_is_blocked(lab: Country, seen: Reader, public: Reader) -> None:
    """Block Telegram on Kcell alone, as at the lab's prompt; both pages must update."""
    await _stays_open(public, "/")
    for cell in (KCELL, TELE2):
        await public.page.wait_for_selector(f"{cell}.reachable", timeout=SEEN_MS)
    await _stays_open(seen, "/console/incidents")
    assert "No incident is open" in await seen.text("#case-list")
    await asyncio.to_thread(prompt.obey, lab, "block telegram on kcell")
    began = time.monotonic()
    await seen.page.wait_for_selector("#case-list .case a", timeout=FOUND_MS)
    print(f"the incident is there after {time.monotonic() - began:.0f} s")
    told = await seen.text("#case-list .case")
    assert "Telegram" in told
    assert f"AS{KCELL_ASN}" in told
    assert f"AS{TELE2_ASN}" not in told
    await _stayed(seen)
    await public.page.wait_for_selector(f"#incidents a:has-text('AS{KCELL_ASN}')")
    await public.page.wait_for_selector(f"{TELE2}.reachable")
    await _stayed(public)


async def _the_operator_confirms(seen: Reader, public: Reader) -> None:
    """Confirm the incident as the operator, while its public page is open."""
    await public.page.click(f"#incidents a:has-text('AS{KCELL_ASN}')")
    await public.live()
    await public.page.evaluate("window.stayed = true")
    await seen.page.click("#case-list .case a")
    assert f"AS{KCELL_ASN} mobile" in await seen.text("#case-votes")
    await seen.page.fill("#text", REASON)
    await publish(seen, "confirmed")
    assert (await seen.text("h1")).startswith("Confirmed by the operator")
    assert REASON in await seen.text("#case-said")
    await public.page.wait_for_selector("text=confirmed by the operator")
    assert REASON in await public.text("main")
    await _stayed(public)


async def _anybody_can_tell(public: Reader, file: Path) -> None:
    """Verify the log by the command that the public page shows."""
    page = public.page
    link = await page.get_attribute("a:has-text('alerts.jsonl')", "href")
    log = await (await page.context.request.get(public.origin + link)).body()
    named = (await public.text("code:has-text('log verify')")).split()
    assert named[:4] == ["heliograph-collector", "log", "verify", file.name]
    proof = await asyncio.to_thread(_of, file, log, [*named[1:3], str(file), *named[4:]])
    assert "1 of them are the operator's own words" in proof
    bodies = [json.loads(line)["body"] for line in log.splitlines()]
    (act,) = (body for body in bodies if body.get("by") == "operator")
    assert (act["change"], act["text"], act["name"]) == ("operator_confirmed", REASON, "")
    assert _spoken_of(bodies, act)["service"] == "telegram"


def _of(file: Path, log: bytes, words: list[str]) -> str:
    """Return the output of a collector's command on this log."""
    file.write_bytes(log)
    return ask(collector(*words))


def _spoken_of(bodies: list[dict[str, Any]], act: dict[str, Any]) -> dict[str, Any]:
    """Return the scope of the incident that an operator's entry is about."""
    incident = bodies[act["about"]["entry"] - 1]["incident"]
    assert incident["id"] == act["incident"]["id"]
    return dict(incident["scope"])


async def _stays_open(seen: Reader, path: str) -> None:
    """Open a page that must update by itself from now on."""
    await seen.goto(path)
    await seen.live()
    await seen.page.evaluate("window.stayed = true")


async def _stayed(seen: Reader) -> None:
    assert await seen.page.evaluate("window.stayed"), "the page was loaded anew"
