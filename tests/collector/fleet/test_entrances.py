"""The entrance of a session, as its rows give it to the detectors."""

import asyncio
from pathlib import Path

import pytest

from heliograph.plan import Carrier, Entrance
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.app.session_report import SessionReporter
from heliograph_collector.fleet.entrances import (
    EntranceNames,
    describe_carriers,
    name_carrier,
    own_entrance,
)
from heliograph_collector.fleet.plans import announce_entrances
from heliograph_collector.fleet.registry import EnrolledAgent
from heliograph_collector.ingest.geo.lookup import UNKNOWN_LOCATION
from heliograph_collector.ingest.presence import AgentConnection
from heliograph_collector.model.records import RowKind
from support.intake import HOST, channel, enrolled, hear, ingest_server

OWN = own_entrance("collector.example:0", 7443)
LISTED = Entrance(carrier=Carrier.STREAM, host="198.51.100.7", port=443)
POST = Entrance(carrier=Carrier.POST, host="198.51.100.7", port=443)
RELAY = Entrance(carrier=Carrier.RELAY, host="192.0.2.9", port=9443, pin="ab" * 32)
STRANGE = Entrance(carrier=Carrier.STREAM, host="10.0.0.5", port=7443)


@pytest.mark.parametrize("entrance", [OWN, LISTED, POST])
def test_known_entrance_is_the_carrier(entrance: Entrance) -> None:
    names = EntranceNames()
    names.add_own(OWN)
    names.replace_listed([LISTED, POST])
    hello = pb.Hello(entrance=entrance.tag)
    assert names.take_carrier(hello) == f"session/{entrance.tag:08x}"
    assert hello.entrance == entrance.tag


@pytest.mark.parametrize("tag", [STRANGE.tag, RELAY.tag, LISTED.tag, 0])
def test_what_nobody_lists_is_not_kept(tag: int) -> None:
    """An unlisted entrance is not stored.

    It may be an address that only an agent has, one that left the plan, or none.
    """
    names = EntranceNames()
    names.add_own(OWN)
    names.replace_listed([LISTED])
    names.replace_listed([RELAY])
    hello = pb.Hello(entrance=tag, country="KZ")
    assert names.take_carrier(hello) == "session"
    assert hello == pb.Hello(country="KZ")


def test_every_row_of_a_session_names_it() -> None:
    agent = EnrolledAgent(id=bytes(16), public_key=b"", role="volunteer", version="", created_s=0)
    connection = AgentConnection(
        agent=agent, location=UNKNOWN_LOCATION, hello=pb.Hello(), last_heard_us=0,
        outbox=asyncio.Queue(1), carrier=name_carrier(LISTED),
    )  # fmt: skip
    for kind in (RowKind.ARRIVAL, RowKind.GOODBYE):
        assert connection.build_row(kind, 5).carrier == name_carrier(LISTED)
    assert connection.build_lost_row(9, 9).carrier == name_carrier(LISTED)


async def test_session_by_the_plan_and_by_the_invite(tmp_path: Path) -> None:
    """The plan's entrances count as soon as it is issued; that of invites always."""
    async with ingest_server(tmp_path) as server:
        own = own_entrance(server.endpoint, 0)
        announce_entrances(server.fleet, server.keyring.signing, (LISTED,), 1)
        server.intake.directory.reload_fleet(force=True)
        for number, dialed in enumerate((own, LISTED, STRANGE), 1):
            caller = await enrolled(server)
            async with channel(server) as stub:
                call = stub.Session()
                message = caller.hello((await hear(call)).challenge.nonce)
                message.hello.entrance = dialed.tag
                await call.write(message)
                rows = await server.wait_rows(RowKind.ARRIVAL, number)
                changes = SessionReporter(server.intake).compose()
                assert changes is not None
                assert changes.added[-1].carrier == rows[-1].carrier, "another process knows it"
                call.cancel()
    assert [row.carrier for row in rows] == [name_carrier(own), name_carrier(LISTED), "session"]
    assert pb.Hello.FromString(rows[2].body).entrance == 0


def test_operators_read_the_address() -> None:
    carriers = (name_carrier(LISTED), "post", name_carrier(STRANGE))
    told = describe_carriers(carriers, [OWN, LISTED])
    assert told == f"198.51.100.7:443, post, session/{STRANGE.tag:08x}"
    assert describe_carriers((), [OWN]) == "their entrance"
    assert own_entrance(f"{HOST}:0", 7443).port == 7443
