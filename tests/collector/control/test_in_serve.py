"""`serve` with an echo service: it is found and answers."""

import http.client
import json
from pathlib import Path

import pytest

from support import serve_process
from support.ports import HOST, free_port
from support.waiting import until_now


@pytest.mark.slow
def test_serve_answers_requests_for_an_echo(tmp_path: Path) -> None:
    config = f"{serve_process.ONE_PROCESS}echo:\n  listen: {HOST}:{free_port()}\n"
    served = serve_process.start(tmp_path / "data", config=config)
    try:
        served.wait_for("echo")
        connection = http.client.HTTPConnection(str(served.places["echo"]), timeout=60)
        connection.request("GET", "/", headers={"X-oDD": "1"})
        told = json.loads(connection.getresponse().read())
        connection.close()
        assert ["X-oDD", "1"] in told["headers"]
        # The store opens after the ports do; the echo adds no problem.
        until_now(lambda: json.loads(served.get("/readyz")[1])["problems"] == [])
        assert HOST not in served.log.read_text().partition("Echo:")[2].partition("\n")[2]
    finally:
        assert served.stop() == 0
