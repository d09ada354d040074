"""`serve` with an entrance for envelopes: agents learn it; a taken port is named."""

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from heliograph.plan import Carrier, Entrance
from heliograph_collector.config.settings import Config
from support import serve_process
from support.ports import HOST, free_port


def told(data: Path) -> list[dict[str, Any]]:
    """Return the entrances in the present plan."""
    show = [*(sys.executable, "-m", "heliograph_collector", "plan", "show"), "--json"]
    out = subprocess.run([*show, "--data", str(data)], capture_output=True, check=True, timeout=60)
    return list(json.loads(out.stdout).get("entrances", []))


@pytest.mark.slow
def test_the_plan_names_both_doors_once_there_are_two(tmp_path: Path) -> None:
    data, plan = tmp_path / "data", tmp_path / "plan.yml"
    with serve_process.served(data, "--post", f"{HOST}:0") as served:
        served.wait_for("http")
        stream, post = told(data)
        assert f"{stream['host']}:{stream['port']}" == served.places["grpc"]
        assert f"{post['host']}:{post['port']}" == served.places["post"]
        assert (stream["carrier"], post["carrier"]) == ("stream", "post")
    plan.write_text("tasks: [{experiment: tcp, target: 'a.example:1', interval_s: 60}]\n")
    setting = [sys.executable, "-m", "heliograph_collector", "plan", "set", str(plan)]
    subprocess.run([*setting, "--data", str(data)], check=True, capture_output=True, timeout=60)
    assert told(data) == [stream, post], "another plan, the same entrances"


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--post", "--echo"])
def test_a_taken_port_is_told_with_its_cure(tmp_path: Path, option: str) -> None:
    with socket.create_server((HOST, 0)) as taken:
        place = f"{HOST}:{taken.getsockname()[1]}"
        served = serve_process.start(tmp_path / "data", option, place)
        assert served.process.wait(60) == 1
    log = served.log.read_text()
    assert f"{place} cannot be listened on: free it, or say {option} HOST:PORT." in log


def test_what_is_configured_goes_before_what_is_open() -> None:
    mine = (Entrance(carrier=Carrier.POST, host="front.example", port=443),)
    assert Config(entrances=mine, post="127.0.0.1:1").list_entrances(1, 2) == mine


def test_an_address_that_stands_for_all_of_them_is_told_to_nobody() -> None:
    everywhere = Config(grpc="0.0.0.0:7443", post="0.0.0.0:7444")
    assert everywhere.list_entrances(7_443, 7_444) == ()
    named = Config(grpc="0.0.0.0:7443", post="0.0.0.0:7444", endpoint="c.example:443")
    assert [(e.carrier, e.host, e.port) for e in named.list_entrances(7_443, 7_444)] == [
        ("stream", "c.example", 443),
        ("post", "c.example", 7_444),
    ]
    assert Config().list_entrances(free_port(), 0) == (), (
        "the stream alone is known from the invite"
    )
