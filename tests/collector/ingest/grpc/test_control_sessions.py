"""Only a control that is online, unsuspected and has the plan is asked for visits."""

from pathlib import Path

import pytest

from heliograph.v1 import intake_pb2
from heliograph_collector.ingest.agent_sessions import ControlSessions
from support.intake import Caller, beat, channel, enrolled, greeted, hear, ingest_server

ORDER = intake_pb2.SignedVisitOrder(order=b"o", signature=b"s")


@pytest.mark.parametrize(
    ("role", "link", "is_cloned", "is_asked"),
    [
        ("control", "online", False, True),
        ("control", "offline", False, False),
        ("control", "online", True, False),
        ("volunteer", "online", False, False),
    ],
)
async def test_visits_go_to_controls_alone(
    tmp_path: Path, *, role: str, link: str, is_cloned: bool, is_asked: bool
) -> None:
    async with ingest_server(tmp_path) as server, channel(server) as stub:
        caller = Caller(server.keyring)
        await stub.Enrol(caller.enrol_request(server.invite(role=role)), timeout=60)
        call = await greeted(stub, caller)
        await beat(call, link=link)
        sessions = ControlSessions(server.intake.connections, server.intake.directory)
        if is_cloned:
            (connection,) = server.intake.connections
            connection.agent = server.intake.directory.get(caller.id) or connection.agent
            object.__setattr__(connection.agent, "cloned_s", 1)
        assert [site.agent for site in sessions.list_sites()] == [caller.id] * is_asked
        assert sessions.plan_version == sessions.read_plan().version
        if is_asked:
            assert sessions.send_visits(caller.id, ORDER)
            assert (await hear(call)).visits == ORDER
            assert sessions.list_sites()[0].network, "by its prefix, where no AS is known"
        elif role == "volunteer":
            assert not sessions.send_visits(caller.id, ORDER)
        assert not sessions.send_visits(bytes(16), ORDER)
        call.cancel()


async def test_control_that_does_not_read_is_not_waited_for(tmp_path: Path) -> None:
    async with ingest_server(tmp_path) as server, channel(server) as stub:
        caller = Caller(server.keyring)
        await stub.Enrol(caller.enrol_request(server.invite(role="control")), timeout=60)
        call = await greeted(stub, caller)
        await beat(call, link="online")
        sessions = ControlSessions(server.intake.connections, server.intake.directory)
        sent = [sessions.send_visits(caller.id, ORDER) for _ in range(1_000)]
        assert sent[0]
        assert not sent[-1]
        call.cancel()
        await enrolled(server)  # the collector still works
