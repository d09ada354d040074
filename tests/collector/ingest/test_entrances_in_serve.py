"""`serve` with an echo and an entrance for envelopes, which agents learn of."""

import http.client
import json
import socket
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from heliograph.plan import Carrier, Entrance
from heliograph_collector.cli import main
from heliograph_collector.config.settings import Config
from support import serve_process
from support.ports import HOST, free_port
from support.serve_process import Served
from support.waiting import until_now


def read_entrances(data: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return the entrances in the present plan."""
    capsys.readouterr()
    assert main(["plan", "show", "--json", "--data", str(data)]) == 0
    return list(json.loads(capsys.readouterr().out).get("entrances", []))


def check_echo(served: Served) -> None:
    connection = http.client.HTTPConnection(str(served.places["echo"]), timeout=60)
    with closing(connection):
        connection.request("GET", "/", headers={"X-oDD": "1"})
        told = json.loads(connection.getresponse().read())
    assert ["X-oDD", "1"] in told["headers"]
    # The store opens after the ports do; the echo adds no problem.
    until_now(lambda: json.loads(served.get("/readyz")[1])["problems"] == [])
    assert HOST not in served.log.read_text().partition("Echo:")[2].partition("\n")[2]


@pytest.mark.slow
def test_echo_answers_and_the_plan_names_both_doors_once_there_are_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, plan = tmp_path / "data", tmp_path / "plan.yml"
    config = f"{serve_process.ONE_PROCESS}echo:\n  listen: {HOST}:{free_port()}\n"
    with serve_process.served(data, "--post", f"{HOST}:0", config=config) as served:
        served.wait_for("echo")
        served.wait_for("http")
        check_echo(served)
        stream, post = read_entrances(data, capsys)
        assert f"{stream['host']}:{stream['port']}" == served.places["grpc"]
        assert f"{post['host']}:{post['port']}" == served.places["post"]
        assert (stream["carrier"], post["carrier"]) == ("stream", "post")
        assert served.stop() == 0
    plan.write_text("tasks: [{experiment: tcp, target: 'a.example:1', interval_s: 60}]\n")
    assert main(["plan", "set", str(plan), "--data", str(data)]) == 0
    assert read_entrances(data, capsys) == [stream, post], "another plan, the same entrances"


@pytest.mark.parametrize("option", ["--post", "--echo"])
def test_a_taken_port_is_told_with_its_cure(tmp_path: Path, option: str) -> None:
    with socket.create_server((HOST, 0)) as taken:
        place = f"{HOST}:{taken.getsockname()[1]}"
        reason = serve_process.run_refused(tmp_path / "data", option, place)
    assert f"{place} cannot be listened on: free it, or say {option} HOST:PORT." in reason


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
