"""Batches are closed as long as it takes, whatever the disk says meanwhile."""

import logging
from pathlib import Path

import pytest

from heliograph.clock import SystemClock
from heliograph.observation import Epoch, Measurement
from heliograph_agent.agent.sealing import Sealing
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
