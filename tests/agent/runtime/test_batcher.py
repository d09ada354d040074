"""Batches are closed as long as it takes, whatever the disk says meanwhile."""

import logging
import random
from dataclasses import replace
from pathlib import Path

import pytest

from heliograph.clock import SystemClock
from heliograph.envelope import open_envelope
from heliograph.observation import Epoch, Measurement
from heliograph.v1 import envelope_pb2
from heliograph_agent.runtime.batcher import Sealing
from heliograph_agent.spool import Priority, Spool
from heliograph_agent.state import KEY, Collector, State
from support.scripted_intake import identity

MEASUREMENT = Measurement(
    experiment="tcp", experiment_version=1, target="192.0.2.1:1", started_us=1,
    monotonic_us=1, boot="b", runtime_us=1, epoch="e1",
)  # fmt: skip


async def test_a_key_that_cannot_be_read_now_is_said_once_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    who, state, clock = identity(), State(tmp_path), SystemClock()
    collector = Collector(
        endpoint="192.0.2.1:7443", pin=who.pin, certificate="", agent=b"a" * 16,
        signing_key=who.signing.public, sealing_key=who.sealing.public,
    )  # fmt: skip
    spool = Spool(tmp_path / "spool.db", clock=clock)
    closed: list[bool] = []
    sealing = Sealing(state, collector, spool, clock, closed=lambda: closed.append(True))
    try:
        await spool.append(MEASUREMENT, Epoch(id="e1", started_us=1), Priority.P1)
        state.path(KEY).mkdir()  # stands in for a disk that fails to read
        with caplog.at_level(logging.WARNING, "heliograph"):
            await sealing.close_all()
            await sealing.close_all()
        assert len(caplog.records) == 1
        assert (await spool.counts()).open == 1
        state.path(KEY).rmdir()
        state.private_key(make=True)
        await sealing.close_all()
        assert closed == [True]
        assert (await spool.counts()).waiting == 1
    finally:
        await spool.close()


async def test_a_batch_fits_a_network_that_freezes_long_flows(tmp_path: Path) -> None:
    who, state, clock = identity(), State(tmp_path), SystemClock()
    state.private_key(make=True)
    collector = Collector(
        endpoint="192.0.2.1:7443", pin=who.pin, certificate="", agent=b"a" * 16,
        signing_key=who.signing.public, sealing_key=who.sealing.public,
    )  # fmt: skip
    agents = {collector.agent: state.signer().public}
    noise = random.Random(3)
    spool = Spool(tmp_path / "spool.db", clock=clock)
    try:
        for _ in range(150):
            told = replace(MEASUREMENT, target=noise.randbytes(40).hex())
            await spool.append(told, Epoch(id="e1", started_us=1), Priority.P1)
        large = replace(MEASUREMENT, not_measured=noise.randbytes(9_000).hex())
        await spool.append(large, Epoch(id="e1", started_us=1), Priority.P1)
        await Sealing(state, collector, spool, clock, closed=lambda: None).close_all()
        envelopes = [
            envelope_pb2.Envelope.FromString(sealed) for _, sealed in await spool.waiting(64)
        ]
    finally:
        await spool.close()
    opened = [open_envelope(e, who.sealing, agents.get).batch for e in envelopes]
    assert sorted(m.sequence for b in opened for m in b.measurements) == list(range(1, 152))
    assert [len(e.sealed) for e in envelopes if len(e.sealed) > 6_144] == [24_576], "alone"
    assert 2 < len(envelopes) < 6, "and as full as may be"
