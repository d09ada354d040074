"""Without a network an agent reports it and stores; nothing is judged blocked."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support import local_targets
from support.netns import Namespace, namespace
from support.programs import age_agents, agent, ask, collector, eventually, operator_header, started

pytestmark = pytest.mark.lab
DOOR, PAGES = "127.0.0.1:7443", "127.0.0.1:8080"


@pytest.fixture
def island() -> Iterator[Namespace]:
    """Make a namespace with loopback alone: nothing of the plan can be reached."""
    with namespace() as space:
        yield space


def fetch(island: Namespace, data: Path, path: str) -> str:
    return island.run(
        "curl", "--silent", "--fail", "--max-time", "10", "--header",
        operator_header(data), f"http://{PAGES}{path}",
    )  # fmt: skip


def answers(island: Namespace, data: Path) -> bool:
    try:
        fetch(island, data, "/healthz")
    except (OSError, RuntimeError):
        return False
    return True


def kazakhstan(island: Namespace, data: Path) -> dict[str, Any]:
    """Return the only group that the status shows, or nothing before it does."""
    groups = json.loads(fetch(island, data, "/api/v1/status?country=KZ"))["groups"]
    assert len(groups) <= 1
    return dict(*groups)


def test_offline_vantage_is_shown_offline_and_nothing_blocked(
    island: Namespace, tmp_path: Path
) -> None:
    data, state = tmp_path / "data", tmp_path / "agent"
    config = tmp_path / "collector.yml"
    config.write_text(yaml.safe_dump({"control": {"endpoints": []}, "feed": {"k_anonymity": 1}}))
    serve = collector("serve", "--data", data, "--config", config, "--grpc", DOOR, "--http", PAGES)
    with started(island.command(serve), tmp_path / "serve.log"):
        eventually(lambda: answers(island, data), "the collector")
        invite = ask(collector("invite", "--data", data, "--endpoint", DOOR)).strip()
        local_targets.allow(state)
        ask(island.command(agent("join", invite, "--yes", "--state", state, "--country", "KZ")))
        age_agents(data)
        with started(
            island.command(agent("run", "--once", "--state", state)), tmp_path / "agent.log"
        ) as once:
            assert once.wait(timeout=240) == 0, (tmp_path / "agent.log").read_text()
        assert "this vantage is offline" in (tmp_path / "agent.log").read_text()

        path = "/api/v1/measurements?limit=500"
        listed = eventually(
            lambda: json.loads(fetch(island, data, path))["measurements"], "measurements stored"
        )
        by_experiment = {row["experiment"] for row in listed}
        assert {"connectivity", "telegram", "whatsapp", "signal", "web"} <= by_experiment
        assert {row["link"] for row in listed if row["experiment"] != "connectivity"} == {"offline"}
        assert {verdict["state"] for row in listed for verdict in row["verdicts"]} <= {"unknown"}
        with started(island.command(agent("run", "--state", state)), tmp_path / "agent.log"):
            eventually(
                lambda: kazakhstan(island, data).get("link") == "offline", "the link's state", 60
            )
        shown = kazakhstan(island, data)
        assert {service["state"] for service in shown["services"]} == {"unknown"}
