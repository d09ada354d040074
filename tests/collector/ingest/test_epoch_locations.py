"""Results of one network stay there, whatever network uploads them later."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_network
from operator import attrgetter
from pathlib import Path

import pytest

from heliograph import codec
from heliograph.observation import Epoch
from heliograph.units import HOUR_US, MINUTE_US, SECOND_US
from heliograph.v1 import envelope_pb2, intake_pb2_grpc
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.fleet.forgetting import ERASE
from heliograph_collector.ingest import epoch_locations
from heliograph_collector.ingest.epoch_locations import EpochLocations
from heliograph_collector.ingest.geo.asn_table import write_table
from heliograph_collector.ingest.geo.lookup import UNKNOWN_LOCATION, PeerLocation
from heliograph_collector.model.records import RowKind
from support.intake import Caller, IngestServer, channel, enrolled, hear, ingest_server, receipts
from support.waiting import until_true

HOME = PeerLocation("KZ", 9198, "18997.home")
VPN = PeerLocation("NL", 9009, "18997.vpn")
NOW_US = 1_641_380_400_000_000
AGENT = b"a" * 16


def batch_of(*epochs: str, ago_us: int = 0, country: str = "KZ") -> envelope_pb2.Batch:
    """A batch of these epochs, the last one the newest."""
    return envelope_pb2.Batch(
        agent=AGENT,
        sealed_us=NOW_US - ago_us,
        epochs=[
            codec.epoch_to_pb(Epoch(id=name, started_us=number, country=country))
            for number, name in enumerate(epochs)
        ],
    )


@pytest.fixture
def places() -> EpochLocations:
    noted = EpochLocations()
    noted.note(AGENT, "home", HOME, NOW_US - HOUR_US)
    noted.note(AGENT, "vpn", VPN, NOW_US - MINUTE_US)
    return noted


def place(
    places: EpochLocations, batch: envelope_pb2.Batch, current: str = "vpn"
) -> tuple[str, int]:
    found = places.locate(AGENT, batch, VPN, current)
    return found.country, found.asn


def test_backlog_by_a_vpn_stays_at_home(places: EpochLocations) -> None:
    assert place(places, batch_of("home", ago_us=10 * MINUTE_US)) == ("KZ", 9198)
    assert place(places, batch_of("vpn")) == ("NL", 9009)
    assert places.locate(AGENT, batch_of("vpn"), VPN, "vpn") is VPN, "with its line"
    tomorrow = PeerLocation("KZ", 9198, "18998.home")
    places.note(AGENT, "home", tomorrow, NOW_US)
    at_home = places.locate(AGENT, batch_of("home"), VPN, "vpn")
    assert at_home.prefix == "18997.home 18998.home", "a vote of its line, on each day"
    assert at_home.line is None


def test_epoch_that_never_reached_us_is_where_it_was_declared(places: EpochLocations) -> None:
    assert place(places, batch_of("dark")) == ("ZZ", 0), "the judge takes the declaration then"
    assert place(places, batch_of("dark", country="")) == ("ZZ", 0), "it may be a VPN"
    assert place(places, batch_of("dark", country="NL")) == ("NL", 9009), "a restart in its country"
    assert place(places, batch_of("dark"), current="") == ("NL", 9009), "nothing says it is another"


def test_batch_of_two_places_is_of_none(places: EpochLocations) -> None:
    assert place(places, batch_of("home", "vpn")) == ("ZZ", 0)


def test_line_that_changes_its_address_is_placed_by_time(places: EpochLocations) -> None:
    """A router that turns its VPN on begins no epoch on the machines behind it."""
    places.note(AGENT, "home", VPN, NOW_US - MINUTE_US)
    assert place(places, batch_of("home", ago_us=2 * MINUTE_US), "home") == ("KZ", 9198)
    assert place(places, batch_of("home", ago_us=30 * SECOND_US), "home") == ("NL", 9009)
    behind = batch_of("home", ago_us=9 * HOUR_US)
    measurement = behind.measurements.add(clock_offset_us=9 * HOUR_US)
    assert place(places, behind, "home") == ("NL", 9009), "by our clock, where the agent knows it"
    measurement.ClearField("clock_offset_us")
    assert place(places, behind, "home") == ("KZ", 9198)


def test_results_of_before_a_new_address_are_not_of_it_although_sealed_later(
    places: EpochLocations,
) -> None:
    """A session may be back over a VPN before the agent begins an epoch for it."""
    places.note(AGENT, "home", VPN, NOW_US - MINUTE_US)
    batch = batch_of("home")
    batch.measurements.add(epoch="home", started_us=NOW_US - 2 * MINUTE_US)
    batch.measurements.add(epoch="other", started_us=NOW_US)
    assert place(places, batch, "home") == ("KZ", 9198)
    batch.measurements.add(epoch="home", started_us=NOW_US - 10 * SECOND_US)
    assert place(places, batch, "home") == ("ZZ", 0), "of both"
    del batch.measurements[0]
    assert place(places, batch, "home") == ("NL", 9009)
    summed = batch_of("home")
    run = summed.measurements.add(epoch="home", started_us=NOW_US - HOUR_US)
    run.summary.span_us = HOUR_US
    assert place(places, summed, "home") == ("ZZ", 0)
    early = batch_of("home")
    early.measurements.add(epoch="home", started_us=NOW_US - 9 * HOUR_US)
    assert place(places, early, "home") == ("KZ", 9198), "where it was first"


def test_lone_envelope_tells_where_its_epoch_is_while_it_is_fresh() -> None:
    places = EpochLocations()
    assert places.locate(AGENT, batch_of("home"), HOME, "") is HOME
    places.note_batch(AGENT, batch_of("home"), HOME, NOW_US)
    late = batch_of("home", ago_us=MINUTE_US)
    assert places.locate(AGENT, late, VPN, "vpn") == HOME
    old = batch_of("old", ago_us=HOUR_US)
    assert places.locate(AGENT, old, HOME, "") is HOME
    places.note_batch(AGENT, old, HOME, NOW_US)
    assert places.locate(AGENT, old, VPN, "vpn") == UNKNOWN_LOCATION, "it taught nothing"


def test_a_relay_places_nothing_and_nothing_is_learned_of_it() -> None:
    places = EpochLocations()
    batch = batch_of("home")
    assert places.locate(AGENT, batch, UNKNOWN_LOCATION, "") is UNKNOWN_LOCATION
    places.note(AGENT, "home", UNKNOWN_LOCATION, NOW_US)
    places.note_batch(AGENT, batch, UNKNOWN_LOCATION, NOW_US)
    assert places.locate(AGENT, batch, VPN, "home") is VPN


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epoch_locations, "MAX_AGENTS", 3)
    places = EpochLocations()
    for number in range(50):
        places.note(AGENT, f"e{number}", HOME, number)
        places.note(bytes([number]) * 16, "e" * 65, HOME, number)
        places.note(bytes([number]) * 16, "e", HOME, number)
        places.note(AGENT, "e0", HOME if number % 2 else VPN, number)
    assert len(places._agents) == 3
    assert len(places._agents[AGENT]) == epoch_locations.MAX_EPOCHS
    assert len(places._agents[AGENT]["e0"]) == epoch_locations.MAX_STAYS


def test_memory_of_agents_that_change_all_the_time_is_bounded_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(epoch_locations, "MAX_TOTAL_STAYS", 100)
    places = EpochLocations()
    for number in range(5_000):
        agent = bytes([number % 40]) * 16
        epoch = f"e{number // 40 % 20}"
        places.note(agent, epoch, HOME if number // 800 % 2 else VPN, number)
        if number % 7 == 0:
            places.forget(bytes([number % 11]) * 16)
        kept = [len(stays) for epochs in places._agents.values() for stays in epochs.values()]
        assert sum(kept) == places._stay_count <= 100
    assert agent in places._agents, "the newest stays"


@asynccontextmanager
async def two_countries(data: Path) -> AsyncIterator[IngestServer]:
    """Open a server that believes its peer about addresses.

    203.0.113/24 is KZ, 198.51.100/24 is NL.
    """
    ranges = [
        (first, first + 255, int.from_bytes(country, "big"))
        for first, country in ((0xC6336400, b"NL"), (0xCB007100, b"KZ"))
    ]
    write_table(data / "c.table", ranges, [])
    proxies = (ip_network("127.0.0.0/8"),)
    async with ingest_server(data, trusted_proxies=proxies, country_file=data / "c.mmdb") as server:
        yield server


async def deliver(
    stub: "intake_pb2_grpc.IntakeAsyncStub", caller: Caller, source: str, epoch: str,
    batches: Sequence[envelope_pb2.Batch],
) -> None:  # fmt: skip
    call = stub.Session(metadata=(("x-forwarded-for", source),))
    hello = caller.hello((await hear(call)).challenge.nonce)
    hello.hello.epoch = epoch
    await call.write(hello)
    for batch in batches:
        envelope = envelope_pb2.Envelope.FromString(caller.seal(batch))
        await call.write(pb.AgentMessage(envelope=envelope))
    await receipts(call, max(1, len(batches)))
    await call.done_writing()
    call.cancel()


async def test_an_agent_that_turns_on_a_vpn_in_a_block_blocks_nothing_abroad(
    tmp_path: Path,
) -> None:
    async with two_countries(tmp_path) as server, channel(server) as stub:
        caller = await enrolled(server)

        def batch(number: int, epoch: str) -> envelope_pb2.Batch:
            made = caller.batch(number)
            made.epochs[0].id = made.measurements[0].epoch = epoch
            made.epochs[0].country = "KZ"
            return made

        async with asyncio.timeout(60):
            await deliver(stub, caller, "203.0.113.9", "e1", [batch(1, "e1")])
            later = [batch(2, "e1"), batch(3, "e2"), batch(4, "dark")]
            await deliver(stub, caller, "198.51.100.9", "e2", later)
        # The envelopes of a session are opened side by side, and stored as each is ready.
        rows = sorted(await server.rows(RowKind.ENVELOPE), key=attrgetter("sequence"))
        assert [(row.sequence, row.country) for row in rows] == [
            (1, "KZ"), (2, "KZ"), (3, "NL"), (4, "ZZ"),
        ]  # fmt: skip
        assert [bool(row.prefix) for row in rows] == [True, True, True, False]
        assert rows[0].prefix == rows[1].prefix != rows[2].prefix


async def test_a_lone_envelope_places_later_ones_only_where_its_agent_sends_it(
    tmp_path: Path,
) -> None:
    """A single envelope places later ones only where its agent itself sends it.

    A relay that hides, or repeats a copy, would move its neighbor's results.
    """
    async with two_countries(tmp_path) as server:
        caller = await enrolled(server)
        receiver = server.intake.receiver
        known = receiver.epoch_locations._agents
        own = receiver.directory.get(caller.id)
        assert own is not None
        sealed = caller.seal(caller.batch(1))
        await receiver.accept(sealed, "198.51.100.9")
        assert known == {}, "nobody proved to send it"
        await receiver.accept(sealed, "198.51.100.9", sender=own)
        assert known == {}, "it was here before"
        await receiver.accept(caller.seal(caller.batch(2)), "203.0.113.9", sender=own)
        (stay,) = known[caller.id]["e1"]
        assert stay.location.country == "KZ"


async def test_an_agent_that_erases_itself_is_forgotten_here_too(tmp_path: Path) -> None:
    async with two_countries(tmp_path) as server, channel(server) as stub:
        caller = await enrolled(server)
        call = stub.Session(metadata=(("x-forwarded-for", "203.0.113.9"),))
        hello = caller.hello((await hear(call)).challenge.nonce)
        hello.hello.epoch = "e1"
        await call.write(hello)
        agents = server.intake.receiver.epoch_locations._agents
        await until_true(lambda: caller.id in agents)
        await call.write(pb.AgentMessage(goodbye=pb.Goodbye(reason=ERASE)))
        await until_true(lambda: caller.id not in agents)
