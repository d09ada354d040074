"""The collector's own control comes back by itself, whatever its files hold."""

import asyncio
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from heliograph_collector.control import agent_process
from heliograph_collector.control.agent_process import ControlAgent, keep_control
from support.virtual_time import VirtualClock, run_virtually


class Invites:
    async def create_invite(self) -> str:
        return "heliograph1:invite"


def test_control_that_fails_at_each_start_joins_again_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A control that fails at each start joins again once.

    After an upgrade that could not read its files it looped, and without a control nothing is
    judged blocked.
    """
    control = ControlAgent(
        state_directory=tmp_path / "control",
        log_file=tmp_path / "control.log",
        endpoint="127.0.0.1:1",
        invites=Invites(),
        rng=Random(1),
    )
    control.state_directory.mkdir()
    damaged = control.state_directory / "plan.pb"
    damaged.write_bytes(b"\xff")
    (tmp_path / "control.endpoint").write_text(control.endpoint)
    commands: list[str] = []

    async def run_agent(_: ControlAgent, *arguments: str) -> int:
        commands.append(arguments[0])
        if arguments[0] == "join":
            control.state_directory.mkdir()
            return 0
        assert "--yes" in arguments, "nobody is asked"
        if damaged.exists():
            return 1
        await asyncio.sleep(3_600)
        return 0

    async def story(_: VirtualClock) -> None:
        monkeypatch.setattr(agent_process, "_run_agent", run_agent)
        monkeypatch.setattr(asyncio, "to_thread", call_at_once)  # threads have no virtual time
        with suppress(TimeoutError):
            async with asyncio.timeout(1_800):
                await keep_control(control)

    run_virtually(story)
    assert commands == ["run", "run", "run", "join", "run"]


async def call_at_once(work: object, *arguments: object) -> None:
    assert callable(work)
    work(*arguments)
