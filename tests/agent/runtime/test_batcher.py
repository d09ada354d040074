"""Batches are closed and sealed, however long the disk fails."""

import logging
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from heliograph.envelope import open_envelope
from heliograph.v1 import envelope_pb2
from heliograph_agent.runtime.batcher import Batcher
from heliograph_agent.runtime.collector_sealer import CollectorSealer
from heliograph_agent.spool import Priority, Spool
from heliograph_agent.state import KEY, Collector, State
from support.agent_host import RecordingHost
from support.hand_clock import HandClock
from support.results import append, open_spool
from support.scripted_intake import identity

WHO = identity()
COLLECTOR = Collector(
    endpoint="192.0.2.1:7443", pin=WHO.pin, certificate="", agent=b"a" * 16,
    signing_key=WHO.signing.public, sealing_key=WHO.sealing.public,
)  # fmt: skip


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    sealer = CollectorSealer(State(tmp_path), COLLECTOR, HandClock())
    async with open_spool(tmp_path / "spool.db", sealer=sealer) as spool:
        yield spool


def make_batcher(spool: Spool, host: RecordingHost) -> Batcher:
    clock = HandClock()
    return Batcher(spool, clock, host)


async def test_unreadable_key_is_logged_once_and_retried(
    spool: Spool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = State(tmp_path)
    host = RecordingHost()
    batcher = make_batcher(spool, host)
    await append(spool, "a", priority=Priority.P1)
    state.path(KEY).mkdir()  # stands in for a disk that fails to read
    with caplog.at_level(logging.WARNING, "heliograph"):
        await batcher.close_batches()
        await batcher.close_batches()
    assert len(caplog.records) == 1
    assert (await spool.read_counts()).open == 1
    state.path(KEY).rmdir()
    state.private_key(create=True)
    await batcher.close_batches()
    assert host.closed_count == 1
    assert (await spool.read_counts()).waiting == 1


async def test_batches_fit_a_network_that_freezes_long_flows(spool: Spool, tmp_path: Path) -> None:
    state, noise = State(tmp_path), random.Random(3)
    state.private_key(create=True)
    agents = {COLLECTOR.agent: state.signer().public}
    targets = [noise.randbytes(40).hex() for _ in range(150)]
    await append(spool, *targets, priority=Priority.P1)
    await append(spool, "large", priority=Priority.P1, not_measured=noise.randbytes(9_000).hex())
    await make_batcher(spool, RecordingHost()).close_batches()
    waiting = await spool.list_waiting(64)
    envelopes = [envelope_pb2.Envelope.FromString(sealed) for _, sealed in waiting]
    opened = [open_envelope(e, WHO.sealing, agents.get).batch for e in envelopes]
    assert sorted(m.sequence for b in opened for m in b.measurements) == list(range(1, 152))
    assert [len(e.sealed) for e in envelopes if len(e.sealed) > 6_144] == [24_576], "alone"
    assert 2 < len(envelopes) < 6, "and as full as may be"
