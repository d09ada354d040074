"""`make run` on loopback targets alone: it starts, answers, and ends on Ctrl-C."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path

import pytest

from support.loopback_plan import prepare
from support.ports import HOST, free_port
from support.serve_process import NO_INGEST_PROCESS
from support.tcp_server import say_nothing, tcp_server
from support.waiting import until_now

SCRIPT = Path(__file__).parents[2] / "deploy" / "run.py"
START_S, STOP_S = 400.0, 240.0  # many processes share two cores


@contextmanager
def running(folder: Path, *more: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the program; its output goes to `output` in the folder."""
    options: Sequence[str] = ["--data", "data", "--config", "run.yml", "--join=--country=KZ", *more]
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), *options], cwd=folder, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(240)
        print(said(folder))


def said(folder: Path) -> str:
    return (folder / "output").read_text()


def status(port: int) -> dict[str, object]:
    connection = HTTPConnection(HOST, port, timeout=60)
    try:
        connection.request("GET", "/api/v1/status")
        return dict(json.loads(connection.getresponse().read()))
    except OSError:
        return {}
    finally:
        connection.close()


def alive(folder: Path) -> list[str]:
    """Return all processes that still run in this directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended as we looked
            if (process / "cwd").readlink() == folder:
                found.append((process / "cmdline").read_text())
    return found


@pytest.mark.slow
def test_it_comes_up_shows_this_vantage_ends_on_ctrl_c_and_goes_on_again(tmp_path: Path) -> None:
    with tcp_server(say_nothing) as target:
        prepare(tmp_path, target, is_one_process=False)
        grpc, http = free_port(), free_port()
        ports = [f"--grpc={HOST}:{grpc}", f"--http={HOST}:{http}"]
        for first in (True, False):
            with running(tmp_path, *ports) as process:
                until_now(lambda: "Ctrl-C stops" in said(tmp_path), START_S)
                until_now(lambda: f"{HOST}:{target}" in str(status(http)), START_S)
                process.send_signal(signal.SIGINT)
                assert process.wait(STOP_S) == 0
            text = said(tmp_path)
            assert f"Open  http://{HOST}:{http}/" in text
            assert "verdicts compare this network with itself" in text
            assert ("Who can see it" in text) is first, "what is agreed to is printed"
            assert ("has joined before" in text) is not first
            assert "Traceback" not in text
            assert alive(tmp_path) == []
            with (tmp_path / "run.yml").open("a") as config:  # one program less to load
                config.write(NO_INGEST_PROCESS)


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    with tcp_server(say_nothing) as taken:
        prepare(tmp_path, taken)
        options = (f"--grpc={HOST}:{free_port()}", f"--http={HOST}:{taken}")
        with running(tmp_path, *options) as process:
            assert process.wait(60) == 1
        text = said(tmp_path)
        assert f"{HOST}:{taken} cannot be listened on" in text
        assert "Traceback" not in text
