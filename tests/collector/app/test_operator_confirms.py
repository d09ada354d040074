"""An operator's confirmation reaches pages, log, proof and newsroom."""

import asyncio
import base64
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from heliograph.clock import SystemClock
from heliograph.durable_file import read_lines
from heliograph_collector.cli import main
from heliograph_collector.incidents.log_file import LOG_FILE_NAME, body_of
from heliograph_collector.incidents.published.log import OperatorBody
from support.browser_reader import Open, Reader
from support.operator_journey import log_in, publish
from support.receivers import Receiving, receiving
from support.serve_process import ONE_PROCESS, Served, served
from support.two_cuts import history, incidents, written
from support.waiting import until, until_now

pytestmark = pytest.mark.xdist_group("browser")

ALERTS = """\
feed: {{url: "https://sun.example.org"}}
alerts:
  - {{name: newsroom, kind: webhook, url: "{origin}/hook", private: true, secret_file: hook.secret}}
"""


@pytest.mark.slow  # a whole collector as a process, twice, and a browser
async def test_an_operator_confirms_and_everybody_can_tell(
    reader: Open, tmp_path: Path, capsys: Any
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    await written(data, history(SystemClock().wall_us()))
    (tmp_path / "hook.secret").write_text("whsec_" + base64.b64encode(b"s" * 32).decode())
    async with receiving(status=500) as newsroom:
        config = ONE_PROCESS + ALERTS.format(origin=newsroom.origin)
        with served(data, config=config) as door:
            await asyncio.to_thread(_both_told, door)
            await _dead_then_well(newsroom)
            found, password = incidents(door), (data / "keys" / "operator.password").read_text()
            async with reader(f"http://{door.places['http']}") as seen:
                await _confirms(seen, found["KZ"]["id"], password.strip())
                await _withdraws(seen, found["UZ"]["id"])
            await asyncio.to_thread(door.stop, signal.SIGKILL)
        with served(data, config=config) as door:
            await asyncio.to_thread(_both_told, door)
            again = incidents(door)
            assert again["KZ"]["confirmed_by"] == ["detector", "operator"]
            assert (again["UZ"]["state"], again["UZ"]["withdrawn_by"]) == ("withdrawn", "operator")
            assert main(["log", "verify", "--again", "--json", "--data", str(data)]) == 0
            proof = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (proof["bad"], proof["operator"]) == (None, 2)
    assert list(proof["again"]["uncovered"].values()) == [2], "nothing is there to be made again"
    acts = [
        body
        for body in map(body_of, read_lines(data / LOG_FILE_NAME))
        if isinstance(body, OperatorBody)
    ]
    assert [act.name for act in acts] == ["", "operator"]


def _both_told(door: Served) -> None:
    door.wait_for("http")
    until_now(lambda: set(incidents(door)) == {"KZ", "UZ"})


async def _dead_then_well(newsroom: Receiving) -> None:
    """Check that a failed delivery is sent again under the same id."""

    async def tried(times: int) -> bool:
        return len(newsroom.came) >= times

    await until(lambda: tried(1))
    newsroom.status = 200
    await until(lambda: tried(2), deadline_s=60)
    ids = {headers["webhook-id"] for _, _, headers, _ in newsroom.came}
    assert len(ids) == 1
    told = json.loads(newsroom.came[-1][3])
    assert told["base"] == "https://sun.example.org"
    countries = {(a["incident"]["scope"]["country"], a["state"]) for a in told["alerts"]}
    assert ("KZ", "confirmed") in countries


async def _confirms(seen: Reader, id_: str, password: str) -> None:
    """Confirm the incident; check that the list and an open public page update."""
    page = seen.page
    await log_in(seen, password)
    await seen.goto("/console/alerts")
    assert "arrived" in await seen.text("#alert-deliveries")
    public = await page.context.new_page()
    await public.goto(f"{seen.origin}/incidents/{id_}")
    await public.wait_for_selector('#live[data-state="live"]')
    await public.evaluate("window.stayed = true")
    await seen.goto(f"/console/incidents/{id_}")
    await page.fill("#text", "Two providers say so by telephone.")
    await publish(seen, "confirmed")
    await public.wait_for_selector("text=confirmed by the operator")
    assert await public.evaluate("window.stayed")
    assert "Two providers" in await public.inner_text("main")
    await public.close()


async def _withdraws(seen: Reader, id_: str) -> None:
    page = seen.page
    await seen.goto(f"/console/incidents/{id_}")
    await page.fill("#text", "Our carrier failed there.")
    await page.check("input[name=named]")
    await publish(seen, "withdrawn")
    assert (await seen.text("h1")).startswith("Withdrawn by the operator")
