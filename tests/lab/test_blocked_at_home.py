"""From a real agent behind a real censor to the word on the page: reachable, blocked, lifted.

The control runs abroad and sees everything; home is cut by nftables on its side of the border.
"""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.border import ABROAD, DATA_CENTRE, RESOLVER, SERVICES, WEB_FRONT, Border, border
from support.netns import Namespace
from support.programs import agent, ask, collector, eventually, started

pytestmark = pytest.mark.lab
DOOR, PAGES = f"{ABROAD}:7443", f"{ABROAD}:8080"


class Lab:
    """A collector abroad, its control beside it, a volunteer at home."""

    def __init__(self, border: Border, home: Path) -> None:
        self.border, self.dir = border, home
        (home / "services.yml").write_text(SERVICES)
        settings = {
            "control": {"endpoints": []},
            "feed": {"k_anonymity": 1},
            "plan": {"services_file": str(home / "services.yml")},
        }
        (home / "collector.yml").write_text(yaml.safe_dump(settings))
        net = {"resolver": f"{RESOLVER}:53", "ca_file": str(border.ca_file)}
        (home / "agent.yml").write_text(yaml.safe_dump({"net": net | {"local_targets": "allow"}}))

    def serve(self) -> list[str]:
        return self.border.abroad.command(
            collector(
                "serve", "--data", self.dir / "data", "--config", self.dir / "collector.yml",
                "--grpc", DOOR, "--http", PAGES,
            )
        )  # fmt: skip

    def join(self, space: Namespace, name: str, *invite_options: str) -> None:
        invite = ask(
            collector("invite", "--data", self.dir / "data", "--endpoint", DOOR, *invite_options)
        ).strip()
        ask(
            space.command(
                agent("join", invite, "--yes", "--state", self.dir / name,
                      "--config", self.dir / "agent.yml", "--country", "KZ", "--access", "mobile")
            )
        )  # fmt: skip

    def once(self, space: Namespace, name: str) -> None:
        run = agent("run", "--once", "--state", self.dir / name, "--config", self.dir / "agent.yml")
        log = self.dir / f"{name}.log"
        with started(space.command(run), log) as process:
            assert process.wait(timeout=120) == 0, log.read_text()

    def get(self, path: str) -> Any:
        password = (self.dir / "data" / "keys" / "operator.password").read_text().strip()
        token = base64.b64encode(f"operator:{password}".encode()).decode()
        return json.loads(
            self.border.abroad.run(
                "curl", "--silent", "--fail", "--max-time", "10", "--header",
                f"Authorization: Basic {token}", f"http://{PAGES}{path}",
            )
        )  # fmt: skip

    def up(self) -> bool:
        try:
            self.border.abroad.run("curl", "--silent", "--fail", f"http://{PAGES}/readyz")
        except RuntimeError:
            return False
        return True

    def newest(self, service: str) -> dict[str, Any]:
        """The volunteer's last measurement, and beside it the verdict on the whole of it."""
        rows = self.get("/api/v1/measurements?limit=500")["measurements"]
        of_service = [
            row
            for row in rows
            if service in (row["service"], row["target"])
            and row["role"] == "volunteer"
            and row["verdicts"]
        ]
        if not of_service:
            return {}
        last: dict[str, Any] = max(of_service, key=lambda row: int(row["sequence"]))
        last.update(next(v for v in last["verdicts"] if v["endpoint"] == ""))
        return last


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with border(tmp_path) as wire:
        lab = Lab(wire, tmp_path)
        with started(lab.serve(), tmp_path / "serve.log"):
            eventually(lab.up, "the collector")
            lab.join(wire.abroad, "control", "--control")
            lab.join(wire.home, "volunteer")
            lab.once(wire.abroad, "control")
            yield lab


def test_open_then_blocked_then_open_again(lab: Lab) -> None:
    home = lab.border.home
    lab.once(home, "volunteer")
    seen = eventually(lambda: lab.newest("telegram"), "a first verdict")
    assert (seen["state"], seen["link"]) == ("reachable", "online")

    lab.border.interfere(f"ip daddr {{ {DATA_CENTRE}, {WEB_FRONT} }} drop")
    lab.once(home, "volunteer")
    later = eventually(
        lambda: (lab.newest("telegram")["sequence"] > seen["sequence"]) and lab.newest("telegram"),
        "a verdict under the block",
    )
    assert (later["state"], later["layer"]) == ("blocked", "tcp")
    assert later["rule"]
    assert lab.newest("https://www.wikipedia.org/")["state"] == "reachable"

    lab.border.interfere()
    lab.once(home, "volunteer")
    last = eventually(
        lambda: (lab.newest("telegram")["sequence"] > later["sequence"]) and lab.newest("telegram"),
        "a verdict after the block",
    )
    assert last["state"] == "reachable"


def test_a_reset_after_the_name_is_told_apart(lab: Lab) -> None:
    """The censor lets the handshake of TCP pass and answers the ClientHello with a reset."""
    lab.border.interfere(
        f"ip daddr {WEB_FRONT} tcp dport 443 ip length > 200 reject with tcp reset",
    )
    lab.once(lab.border.home, "volunteer")
    seen = eventually(lambda: lab.newest("telegram"), "a verdict")
    full = lab.get(f"/api/v1/measurements/{seen['id']}")
    web = next(v for v in full["verdicts"] if v["endpoint"] == "web")
    assert (web["state"], web["layer"]) == ("blocked", "tls")
    assert "reset" in web["method"]
