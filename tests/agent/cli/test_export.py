"""`export` beside a running agent, and what does not fit or cannot be written."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from heliograph import bundle, plan_chunks
from heliograph.clock import SystemClock
from heliograph.keys import key_id
from heliograph_agent import cli
from heliograph_agent.config import Config
from heliograph_agent.consent import OPERATORS_CONSENT
from heliograph_agent.runtime.plan_updater import PlanUpdater
from heliograph_agent.runtime.settings import AgentSettings
from heliograph_agent.spool import Spool, iter_envelopes
from heliograph_agent.state import DELIVERED_PLAN, SPOOL, State
from support.agent_host import RecordingHost
from support.scripted_intake import Collector, Identity, plan_of
from support.uplink_agent import Agent, UplinkSealer


@pytest_asyncio.fixture
async def agent(tmp_path: Path, who: Identity) -> AsyncIterator[Agent]:
    """An agent that has joined, with its spool open as while it runs."""
    state = State(tmp_path / "state")
    state.prepare()
    spool = Spool(state.path(SPOOL), UplinkSealer(who), clock=SystemClock())
    made = Agent(state, spool, who)
    made.know(Collector(who, plan_of()))
    with state.hold_lock():
        yield made
    await spool.close()


async def command(agent: Agent, *words: str | Path) -> int:
    line = ["export", *map(str, words), "--state", str(agent.state.root)]
    return await asyncio.to_thread(cli.main, line)


async def envelopes(agent: Agent) -> dict[int, bytes]:
    return dict(await agent.spool.list_waiting(64))


async def test_a_running_agent_is_not_disturbed(
    agent: Agent, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await agent.put(5)
    file = tmp_path / "b"
    assert await command(agent, file) == 0
    said = capsys.readouterr()
    assert f"{file}: 5 batches, sealed to the collector." in said.out
    assert "last half minute" in said.err
    assert sorted(bundle.unpack_bundle(file)) == sorted((await envelopes(agent)).values())


async def test_receipts_settle_what_they_name_beside_a_running_agent(
    agent: Agent, who: Identity, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await agent.put(4)
    held = await envelopes(agent)
    numbers = sorted(held)
    said = {
        bundle.digest_envelope(held[numbers[0]]): bundle.SignedReceipt("stored"),
        bundle.digest_envelope(held[numbers[1]]): bundle.SignedReceipt("duplicate"),
        bundle.digest_envelope(held[numbers[2]]): bundle.SignedReceipt("rejected", "bad_batch"),
        bundle.digest_envelope(b"of another agent"): bundle.SignedReceipt("stored"),
    }
    file = tmp_path / "r"
    file.write_bytes(bundle.pack_receipts(key_id(who.sealing.public), said, who.signing))
    for _ in range(2):  # twice is once
        assert await command(agent, "--receipts", file) == 0
        assert list(await envelopes(agent)) == numbers[3:]
    assert (await agent.spool.read_counts()).quarantined == 1
    first = capsys.readouterr().out.splitlines()
    assert first[:2] == [
        "Arrived, and removed here: 2 batches. Still without a receipt: 1 batch.",
        "Refused by the collector, and kept apart: 1 batch.",
    ]
    await agent.put()
    assert min(await envelopes(agent)) == numbers[3]
    assert len(await envelopes(agent)) == 2, "and it goes on"


async def test_a_plan_that_came_with_receipts_waits_for_the_agent_to_look_at_it(
    agent: Agent, who: Identity, tmp_path: Path
) -> None:
    await agent.put()
    plan = Collector(who, plan_of()).signed(plan_of(version=9))
    file, key = tmp_path / "r", key_id(who.sealing.public)
    packed = plan_chunks.pack_plan(plan.SerializeToString())
    for more in (packed, b"of a later edition"):
        file.write_bytes(bundle.pack_receipts(key, {}, who.signing, more))
        assert await command(agent, "--receipts", file) == 0
    assert agent.state.read(DELIVERED_PLAN) == plan.SerializeToString()
    settings = AgentSettings(
        state=agent.state,
        config=Config(),
        collector=agent.state.joined_collector(),
        consent=OPERATORS_CONSENT,
        plan=plan_of(),
    )
    host = RecordingHost()
    updater = PlanUpdater(settings, SystemClock(), host)
    updater.take_delivered_plan()
    assert updater.settings.plan.version == 9
    updater.take_delivered_plan()
    assert len(host.plans) == 1, "once"
    file.write_bytes(bundle.pack_receipts(key, {}, who.signing, packed)[:-1])
    assert await command(agent, "--receipts", file) == 1
    assert agent.state.read(DELIVERED_PLAN) is None, "changed on the way: not kept"


async def test_receipts_that_cannot_be_read_are_named_with_the_cure(
    agent: Agent, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await command(agent, "--receipts", tmp_path / "elsewhere") == 1
    message = capsys.readouterr().err
    assert f"Cannot read {tmp_path / 'elsewhere'} (No such file or directory)" in message
    assert "name a file that this user may read" in message


async def test_what_finds_no_room_is_said_and_the_worthiest_goes(
    agent: Agent,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await agent.put(5)
    sizes = [len(e) for e in iter_envelopes(agent.state.path(SPOOL))]
    monkeypatch.setattr(bundle, "MAX_BYTES", bundle.bundle_size(sizes[:2]))
    file = tmp_path / "b"
    assert await command(agent, file) == 0
    assert "No room was left for 3 batches" in capsys.readouterr().out
    assert len(list(bundle.unpack_bundle(file))) == 2


async def test_a_file_that_cannot_be_is_a_sentence(
    agent: Agent, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await agent.put()
    assert await command(agent, tmp_path / "no" / "such" / "place") == 1
    assert "Cannot write" in capsys.readouterr().err
    assert await command(agent, "--receipts", tmp_path / "absent") == 1
    assert "Cannot read" in capsys.readouterr().err
    (tmp_path / "odd").write_bytes(b"odd")
    assert await command(agent, "--receipts", tmp_path / "odd") == 1
    assert "holds no receipts" in capsys.readouterr().err
