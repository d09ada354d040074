"""What of ours failed is written down, and nobody is called silent for it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from heliograph.observation import Link
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.ingest.collector_faults import AGAIN_US, Doubt, cut_off, fault_row, follow
from heliograph_collector.ingest.stall_detector import STALL_US, Moment, Span, stall
from heliograph_collector.model.records import JournalRow, Kind
from support.hand_clock import HandClock
from support.intake import Call, Caller, House, channel, enrolled, greeted, hear, house
from support.waiting import until

S = 1_000_000


@pytest.mark.parametrize(
    ("wall_s", "monotonic_s", "gone_s"),
    [
        (1, 1, None),
        (9, 9, None),
        (60, 60, 60),  # the loop hung
        (10, 1, 10),  # the machine slept
        (-30, 1, None),  # the clock was set back: nobody stood still …
        (-30, 60, 60),  # … but here it did
    ],
)
def test_standing_still_is_seen_on_either_clock(
    wall_s: int, monotonic_s: int, gone_s: int | None
) -> None:
    before = Moment(1_000 * S, 7 * S)
    now = Moment((1_000 + wall_s) * S, (7 + monotonic_s) * S)
    gone = None if gone_s is None else Span(now.wall_us - gone_s * S, now.wall_us)
    assert stall(before, now) == gone


@pytest.mark.parametrize(
    ("links", "doubtful"),
    [
        ([], False),
        ([Link.UNKNOWN], False),
        ([Link.OFFLINE], True),
        ([Link.DOMESTIC_ONLY, Link.OFFLINE], True),
        ([Link.OFFLINE, Link.ONLINE], False),
        ([Link.OFFLINE, Link.UNKNOWN], False),
    ],
)
def test_our_way_is_in_doubt_when_every_control_says_so(links: list[Link], doubtful: bool) -> None:
    assert cut_off(links) is doubtful


def test_a_fault_is_told_when_it_begins_each_minute_and_when_it_ends() -> None:
    doubt: Doubt | None = None
    told: list[tuple[int, int, int]] = []
    for second in range(200):
        doubt, span = follow(doubt, 10 <= second < 150, second * S)
        if span is not None:
            told.append((second, span.since_us // S, span.until_us // S))
    assert told == [(10, 10, 10), (70, 10, 70), (130, 10, 130), (150, 10, 150)]
    assert doubt is None
    assert AGAIN_US == 60 * S


def test_the_row_says_what_and_from_when() -> None:
    row = fault_row("carrier", Span(5, 9), country="KZ", carrier="edge")
    assert (row.kind, row.heard_us, row.received_us, row.agent) == (Kind.FAULT, 5, 9, bytes(16))
    assert json.loads(row.body) == {"why": "carrier", "country": "KZ", "carrier": "edge"}


@asynccontextmanager
async def session(home: House, caller: Caller, link: str = "online") -> AsyncIterator[Call]:
    """One that has said how its link is; it breaks off at the end."""
    async with channel(home) as stub:
        call = await greeted(stub, caller)
        await call.write(pb.AgentMessage(heartbeat=pb.Heartbeat(sent_us=1, link=link)))
        await hear(call)
        yield call
        call.cancel()


async def written(home: House, kind: Kind, count: int = 1) -> list[JournalRow]:
    async def enough() -> bool:
        return len(await home.rows(kind)) >= count

    await until(enough)
    return await home.rows(kind)


async def connected(home: House, count: int) -> None:
    async def so_many() -> bool:
        return len(home.intake.presence) == count

    await until(so_many)


@pytest.mark.parametrize("slept", [False, True])
async def test_nobody_is_lost_for_the_time_we_stood_still(tmp_path: Path, slept: bool) -> None:
    """Sessions hold, and who was away gets a whole span of silence from when we woke."""
    clock = HandClock()
    async with house(tmp_path, heartbeat_s=1, clock=clock) as home:
        here, away = await enrolled(home), await enrolled(home)
        async with session(home, away):
            pass
        async with session(home, here) as call:
            began_us = clock.wall
            clock.wall += 600 * S
            clock.monotonic += 1 if slept else 600 * S
            (fault,) = await written(home, Kind.FAULT)
            assert json.loads(fault.body)["why"] == "stalled"
            assert (fault.heard_us, fault.received_us) == (began_us, clock.wall)
            await call.write(pb.AgentMessage(heartbeat=pb.Heartbeat(sent_us=77)))
            assert (await hear(call)).clock.heartbeat_sent_us == 77
            clock.advance_us(3 * S)
            (lost,) = await written(home, Kind.LOST)
            assert lost.agent == away.id
            assert lost.received_us >= fault.received_us + 2.5 * S, "not before its span was over"


async def test_a_control_that_is_offline_puts_our_way_in_doubt(tmp_path: Path) -> None:
    clock = HandClock()
    async with house(tmp_path, clock=clock) as home:
        control = Caller(home.keyring)
        token = home.invite(role="control")
        async with channel(home) as stub:
            await stub.Enrol(control.enrol_request(token), timeout=30)
        async with session(home, await enrolled(home), "offline"):
            async with session(home, control, "offline") as call:
                (begun,) = await written(home, Kind.FAULT)
                assert json.loads(begun.body)["why"] == "probe"
                clock.advance_us(STALL_US - S)
                beat = pb.Heartbeat(sent_us=1, link="online")
                await call.write(pb.AgentMessage(heartbeat=beat))
                _, over = await written(home, Kind.FAULT, 2)
                assert (over.heard_us, over.received_us) == (begun.received_us, clock.wall)
            await connected(home, 1)


async def test_a_restart_invents_no_silence(tmp_path: Path) -> None:
    """Who is back in time was never away, and who said goodbye is not waited for."""
    clock = HandClock()
    async with house(tmp_path, heartbeat_s=1, clock=clock) as home:
        back, gone, polite = [await enrolled(home) for _ in range(3)]
        async with session(home, polite) as call:
            await call.write(pb.AgentMessage(goodbye=pb.Goodbye(reason="stop")))
            assert await call.read() is grpc.aio.EOF
        async with session(home, back), session(home, gone):
            clock.advance_us(2 * S)
            stopped_us = clock.wall
    clock.advance_us(60 * S)
    async with house(tmp_path, heartbeat_s=1, clock=clock) as home:
        before = await home.rows(Kind.LOST, Kind.FAULT)
        _, started = await home.rows(Kind.START)
        assert (started.heard_us, started.received_us) == (stopped_us, clock.wall)
        later = await enrolled(home)
        async with session(home, back):
            async with session(home, later):
                pass
            await connected(home, 1)
            clock.advance_us(2 * S)
            async with session(home, back):
                pass
            clock.advance_us(S)
            lost = await written(home, Kind.LOST)
        assert before == []
        assert [row.agent for row in lost] == [later.id], "of the others nothing is said"
