"""Hosts that only publish, as real processes; the cluster's leader is killed.

A host without a key must show the leader's incidents; without a leader it must show no present and
give the reason; with the next leader it must show that one's.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from heliograph.failure import Operation
from heliograph.observation import Observation
from heliograph.v1 import intake_pb2 as pb
from heliograph.v1.envelope_pb2 import Envelope
from heliograph_collector.incidents.log_file import LOG_FILE_NAME
from support.clickhouse_front import open_front
from support.cluster import ALONE, Cluster, cluster
from support.incident_book import book, closed, silence
from support.intake import Caller, channel, enrolled, greeted, measurement, receipts
from support.serve_process import Served
from support.waiting import until, until_now

pytestmark = [pytest.mark.slow, pytest.mark.real, pytest.mark.xdist_group("nats")]


@pytest.fixture
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("publishers")
    with (
        open_front(folder / "store") as port,
        cluster(folder, store_url=f"clickhouse://127.0.0.1:{port}", k_anonymity=1) as running,
    ):
        yield running


def read(served: Served, path: str) -> Any:
    status, body = served.get(path)
    return json.loads(body) if status in (200, 503) else status


def read_status(served: Served) -> Any:
    """Return the status of countries, without its time."""
    status = read(served, "/api/v1/status")
    return status if isinstance(status, int) else {n: status.get(n) for n in ("entry", "groups")}


def is_ready(served: Served) -> bool:
    return "http" in served.places and bool(read(served, "/readyz").get("ready"))


def list_open_gaps(served: Served) -> list[str]:
    blind = read(served, "/api/v1/coverage")["blind"]
    return [gap["because"] for gap in blind if gap["until"] is None]


async def shows_agent(served: Served) -> bool:
    """Return whether a host shows the connected agent and its measurement."""
    blind = read(served, "/api/v1/coverage")["blind"]
    is_known = "KZ" in {gap["country"] for gap in blind}  # one agent there is too few
    return is_known and bool(list_measurements(served))


def list_measurements(served: Served) -> Any:
    status, body = served.get("/api/v1/measurements", operator=True)
    assert status == 200, body
    return json.loads(body)["measurements"]


def seal_telegram(caller: Caller) -> Envelope:
    """Return one test of Telegram in Kazakhstan, which reached an endpoint."""
    step = Observation(operation=Operation.CONNECT, started_us=0, duration_us=3, endpoint="dc1")
    made = replace(
        measurement("telegram"), experiment="telegram", service="telegram", observations=(step,)
    )
    batch = caller.batch(1, [made])
    batch.epochs[0].country = "KZ"
    return Envelope.FromString(caller.seal(batch))


def seed_log(running: Cluster) -> int:
    """Write an old incident into the first leader's log, signed by its key."""
    key = running.keyring.log
    entries = book(closed(silence(), 10), key=key).entries
    file = running.directory / "leader0" / LOG_FILE_NAME
    file.write_bytes(b"".join(entry.line + b"\n" for entry in entries))
    return len(entries)


async def test_it_says_what_the_leader_says_and_nothing_while_none_is_heard(
    running: Cluster,
) -> None:
    entries = seed_log(running)
    leader = running.start_leader(0, ALONE)
    leader.wait_for("http")
    host = running.start_host(0)
    publisher = running.start_publisher(0)
    publisher.wait_for("http")
    until_now(lambda: is_ready(leader) and is_ready(publisher))  # their stores are open
    assert [file.name for file in (publisher.data / "keys").iterdir()] == ["operator.password"]
    caller = await enrolled(host)
    async with channel(host) as stub:
        call = await greeted(stub, caller)
        await call.write(pb.AgentMessage(envelope=seal_telegram(caller)))
        await receipts(call, 1)
        await until(lambda: shows_agent(leader))
        await until(lambda: shows_agent(publisher))
        assert read_status(publisher) == read_status(leader)
        assert read_status(publisher)["entry"] == entries
        assert list_measurements(publisher) == list_measurements(leader) != []
        mine, theirs = (read(s, "/api/v1/incidents")["incidents"] for s in (publisher, leader))
        assert mine == theirs != []
        assert publisher.get("/api/v1/log")[1] == leader.get("/api/v1/log")[1]
        running.kill(leader)
        until_now(lambda: "stalled" in list_open_gaps(publisher))
        assert not is_ready(publisher)
        assert "was last heard" in str(read(publisher, "/readyz"))
        assert read(publisher, "/api/v1/incidents")["incidents"] == theirs
    next_leader = running.start_leader(1, ALONE)
    next_leader.wait_for("http")
    until_now(lambda: is_ready(publisher))
    assert read(publisher, "/api/v1/incidents")["incidents"] == theirs
    assert list_open_gaps(publisher) == list_open_gaps(next_leader)
    assert running.verify_log(1).entries >= entries
