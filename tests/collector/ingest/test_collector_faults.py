"""Faults of the collector are recorded, and make no agent silent."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from heliograph.observation import Link
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.ingest import collector_faults
from heliograph_collector.ingest.collector_faults import (
    MIN_STALL_US,
    REPEAT_US,
    ClockReading,
    SuspectedFault,
    TimeSpan,
    build_fault_row,
    detect_stall,
    is_cut_off,
    run_alive_marks,
    update_fault,
)
from heliograph_collector.model.records import RowKind
from heliograph_collector.store.journal.journal import JournalError
from support.hand_clock import HandClock
from support.intake import (
    Call,
    Caller,
    IngestServer,
    beat,
    channel,
    enrolled,
    greeted,
    ingest_server,
    say_goodbye,
)

S = 1_000_000


@pytest.mark.parametrize(
    ("wall_s", "monotonic_s", "gone_s"),
    [
        (1, 1, None),
        (9, 9, None),
        (60, 60, 60),  # the loop hung
        (10, 1, 10),  # the machine slept
        (-30, 1, None),  # the clock was set back: no stall …
        (-30, 60, 60),  # … but here it did
        (50 * 365 * 86_400, 1, None),  # a clock without a battery was set at last
    ],
)
def test_stall_is_detected_on_either_clock(
    wall_s: int, monotonic_s: int, gone_s: int | None
) -> None:
    before = ClockReading(1_000 * S, 7 * S)
    now = ClockReading((1_000 + wall_s) * S, (7 + monotonic_s) * S)
    gone = None if gone_s is None else TimeSpan(now.wall_us - gone_s * S, now.wall_us)
    assert detect_stall(before, now) == gone


@pytest.mark.parametrize(
    ("marks_s", "outages_s"),
    [
        ([(0, True), (5, True), (12, True)], []),
        ([(0, True), (5, False), (12, True)], []),  # a leader was chosen
        ([(0, True), (5, False), (20, False), (35, True), (40, True)], [(0, 35)]),  # no quorum
        ([(0, False), (100, True)], [(0, 100)]),
    ],
)
async def test_time_without_a_journal_is_a_fault_of_ours(
    marks_s: list[tuple[int, bool]],
    outages_s: list[tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(collector_faults, "ALIVE_INTERVAL_S", 0.0)
    clock = HandClock()
    began_us = clock.wall_us()
    remaining = iter(marks_s)

    class Journal:
        async def mark_alive(self, at_us: int) -> None:
            at_s, is_stored = next(remaining, (None, True))
            if at_s is None:
                raise asyncio.CancelledError
            clock.advance_us(began_us + at_s * S - clock.wall_us())
            if not is_stored:
                raise JournalError("no quorum")

    outages: list[TimeSpan] = []
    with pytest.raises(asyncio.CancelledError):
        await run_alive_marks(Journal(), clock, outages)
    assert [((o.since_us - began_us) / S, (o.until_us - began_us) / S) for o in outages] == (
        outages_s
    )


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
def test_collector_is_cut_off_when_every_control_says_so(links: list[Link], doubtful: bool) -> None:
    assert is_cut_off(links) is doubtful


def test_fault_is_written_at_its_start_each_minute_and_at_its_end() -> None:
    doubt: SuspectedFault | None = None
    told: list[tuple[int, int, int]] = []
    for second in range(200):
        doubt, span = update_fault(doubt, 10 <= second < 150, second * S)
        if span is not None:
            told.append((second, span.since_us // S, span.until_us // S))
    assert told == [(10, 10, 10), (70, 10, 70), (130, 10, 130), (150, 10, 150)]
    assert doubt is None
    assert REPEAT_US == 60 * S


def test_fault_row_holds_reason_and_time() -> None:
    row = build_fault_row("carrier", TimeSpan(5, 9), country="KZ", carrier="edge")
    assert (row.kind, row.heard_us, row.received_us, row.agent) == (RowKind.FAULT, 5, 9, bytes(16))
    assert json.loads(row.body) == {"why": "carrier", "country": "KZ", "carrier": "edge"}


@asynccontextmanager
async def session(
    server: IngestServer, caller: Caller, link: str = "online"
) -> AsyncIterator[Call]:
    """Open a session that reports its link; it breaks off at the end."""
    async with channel(server) as stub:
        call = await greeted(stub, caller)
        await beat(call, link=link)
        yield call
        call.cancel()


@pytest.mark.parametrize("slept", [False, True])
async def test_stall_loses_no_agent(tmp_path: Path, slept: bool) -> None:
    """A stall loses no agent: sessions last, and silence is counted from its end."""
    clock = HandClock()
    async with ingest_server(tmp_path, heartbeat_s=1, clock=clock) as server:
        here, away = await enrolled(server), await enrolled(server)
        async with session(server, away):
            pass
        async with session(server, here) as call:
            began_us = clock.wall
            clock.wall += 600 * S
            clock.monotonic += 1 if slept else 600 * S
            (fault,) = await server.wait_rows(RowKind.FAULT)
            assert json.loads(fault.body)["why"] == "stalled"
            assert (fault.heard_us, fault.received_us) == (began_us, clock.wall)
            for sent_us in (77, 78):
                assert (await beat(call, sent_us=sent_us)).clock.heartbeat_sent_us == sent_us
                clock.advance_us(S + S // 2)
            (lost,) = await server.wait_rows(RowKind.LOST)
            assert lost.agent == away.id
            assert lost.received_us >= fault.received_us + 2.5 * S, "not before its span was over"


async def test_offline_control_writes_a_fault(tmp_path: Path) -> None:
    clock = HandClock()
    async with ingest_server(tmp_path, clock=clock) as server:
        control = Caller(server.keyring)
        token = server.invite(role="control")
        async with channel(server) as stub:
            await stub.Enrol(control.enrol_request(token), timeout=60)
        async with session(server, await enrolled(server), "offline"):
            async with session(server, control, "offline") as call:
                (begun,) = await server.wait_rows(RowKind.FAULT)
                assert json.loads(begun.body)["why"] == "probe"
                clock.advance_us(MIN_STALL_US - S)
                beat = pb.Heartbeat(sent_us=1, link="online")
                await call.write(pb.AgentMessage(heartbeat=beat))
                _, over = await server.wait_rows(RowKind.FAULT, 2)
                assert (over.heard_us, over.received_us) == (begun.received_us, clock.wall)
            await server.wait_connected(1)


async def test_restart_loses_only_agents_seen_since(tmp_path: Path) -> None:
    """A restart loses only agents seen since.

    An agent that is back in time was never away, and one that said goodbye is not awaited.
    """
    clock = HandClock()
    async with ingest_server(tmp_path, heartbeat_s=1, clock=clock) as server:
        back, gone, polite = [await enrolled(server) for _ in range(3)]
        async with session(server, polite) as call:
            await say_goodbye(call)
        async with session(server, back), session(server, gone):
            clock.advance_us(2 * S)
            stopped_us = clock.wall
    clock.advance_us(60 * S)
    async with ingest_server(tmp_path, heartbeat_s=1, clock=clock) as server:
        before = await server.rows(RowKind.LOST, RowKind.FAULT)
        _, started = await server.rows(RowKind.START)
        assert (started.heard_us, started.received_us) == (stopped_us, clock.wall)
        later = await enrolled(server)
        async with session(server, back):
            async with session(server, later):
                pass
            await server.wait_connected(1)
            clock.advance_us(2 * S)
            async with session(server, back):
                pass
            clock.advance_us(S)
            lost = await server.wait_rows(RowKind.LOST)
        assert before == []
        assert [row.agent for row in lost] == [later.id], "of the others nothing is said"
