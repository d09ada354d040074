"""A judge host refuses foreign work, and the leader refuses foreign results."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from heliograph_collector.app.cluster_messages import (
    Assign,
    Assignment,
    JudgeOffer,
    JudgeWork,
    ReadBytes,
    WorkReply,
    WriteBytes,
    decode_work_reply,
    encode,
    pack_part,
    unpack_part,
)
from heliograph_collector.app.judge_host import JudgeSlot
from heliograph_collector.app.judge_messages import VERSION
from heliograph_collector.app.judge_role import FRESH_S, RemoteWorkers
from heliograph_collector.app.startup import run_collector
from heliograph_collector.config.errors import CannotServeError
from heliograph_collector.config.settings import Config
from support.virtual_time import VirtualClock, run_virtually


class Process:
    """A process that returns what was written to it."""

    def __init__(self) -> None:
        self.written = asyncio.Queue[bytes]()
        self.is_stopped = False

    async def write(self, content: bytes) -> None:
        self.written.put_nowait(content)

    async def read(self, limit: int) -> bytes:
        return await self.written.get()

    async def stop(self) -> None:
        self.is_stopped = True


class SilentBus:
    """A bus without a listener."""

    async def publish(self, topic: str, content: bytes) -> bool:
        return True

    @asynccontextmanager
    async def answer(self, topic: str, handler: object) -> AsyncIterator[None]:
        yield


class Slot:
    """A slot that is asked without a bus."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self.processes: list[Process] = []
        self._group = group

        async def start(services: object) -> Process:
            self.processes.append(Process())
            return self.processes[-1]

        bus: Any = SilentBus()
        self._slot = JudgeSlot("slot", bus, start)

    async def run_for(self, seconds: float) -> None:
        """Offer the process for so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._slot.run()

    async def ask(self, request: JudgeWork) -> WorkReply:
        return decode_work_reply(await self._slot.answer(self._group, encode(request)))


def test_the_next_leader_takes_a_process_and_the_last_one_is_refused() -> None:
    first = Assignment(1, 5)
    second = Assignment(2, 1)

    async def story(clock: VirtualClock) -> None:
        async with asyncio.TaskGroup() as group:
            slot = Slot(group)
            assert not (
                await slot.ask(WriteBytes(assignment=first, part=0, content=pack_part(b"a")))
            ).is_held
            assert (await slot.ask(Assign(assignment=first, services=[]))).is_ready
            await slot.ask(WriteBytes(assignment=first, part=0, content=pack_part(b"old")))
            assert (await slot.ask(Assign(assignment=second, services=[]))).is_ready
            assert not (await slot.ask(Assign(assignment=first, services=[]))).is_held
            assert not (await slot.ask(ReadBytes(assignment=first, part=0, wanted=1))).is_held
            old, new = slot.processes
            assert old.is_stopped
            assert not new.is_stopped
            assert (await slot.ask(ReadBytes(assignment=second, part=0, wanted=1))).content == b""

    run_virtually(story)


def test_message_that_comes_while_a_host_ends_starts_nothing() -> None:
    """A message that comes while a host ends starts nothing.

    Its leader asks another host, and no process is left behind.
    """

    async def story(clock: VirtualClock) -> None:
        async with asyncio.TaskGroup() as group:
            slot = Slot(group)
            await slot.run_for(1.5)
            reply = await slot.ask(Assign(assignment=Assignment(1, 1), services=[]))
            assert not reply.is_held
        assert slot.processes == []

    run_virtually(story)


def test_what_is_asked_again_is_done_once() -> None:
    held = Assignment(1, 1)

    async def story(clock: VirtualClock) -> None:
        async with asyncio.TaskGroup() as group:
            slot = Slot(group)
            for _ in range(2):
                assert (await slot.ask(Assign(assignment=held, services=[]))).is_ready
                await slot.ask(WriteBytes(assignment=held, part=0, content=pack_part(b"once")))
            for _ in range(2):
                reply = await slot.ask(ReadBytes(assignment=held, part=0, wanted=4))
                assert unpack_part(reply.content) == b"once"
            assert len(slot.processes) == 1
            late = await slot.ask(WriteBytes(assignment=held, part=7, content=pack_part(b"gap")))
            assert late.is_ended, "a part between is missing"

    run_virtually(story)


def test_part_holds_all_that_is_wanted_as_soon_as_it_is_there() -> None:
    """A part is complete as soon as all that it needs is there.

    So a reply takes few messages, though a process writes it in many pieces.
    """
    held = Assignment(1, 1)

    async def story(clock: VirtualClock) -> None:
        async with asyncio.TaskGroup() as group:
            slot = Slot(group)
            await slot.ask(Assign(assignment=held, services=[]))
            (process,) = slot.processes
            process.written.put_nowait(b"ab")
            wanted = ReadBytes(assignment=held, part=0, wanted=4)
            assert (await slot.ask(wanted)).content == b"", "half of it is kept"
            process.written.put_nowait(b"cdef")
            assert unpack_part((await slot.ask(wanted)).content) == b"abcdef"
            damaged = WriteBytes(assignment=held, part=0, content=b"no frame")
            assert (await slot.ask(damaged)).is_ended

    run_virtually(story)


def test_offers_of_another_version_a_later_leader_or_long_ago_are_not_taken(
    caplog: pytest.LogCaptureFixture,
) -> None:
    nobody = Assignment()

    async def story(clock: VirtualClock) -> None:
        bus: Any = None
        workers = RemoteWorkers(bus, 3, [])
        for _ in range(2):
            workers.note_offer("a", JudgeOffer(version="older", held_by=nobody))
        workers.note_offer("b", JudgeOffer(version=VERSION, held_by=Assignment(4, 1)))
        assert not workers.has_room(0)
        workers.note_offer("c", JudgeOffer(version=VERSION, held_by=Assignment(2, 9)))
        assert workers.has_room(0)
        await asyncio.sleep(FRESH_S)
        assert not workers.has_room(0)

    run_virtually(story)
    assert caplog.text.count("with version older") == 1


async def test_a_host_without_servers_or_keys_does_not_start(tmp_path: Path) -> None:
    config = Config(data=tmp_path / "data", roles=frozenset({"judge"}))
    with pytest.raises(CannotServeError, match=r"name them in store\.journal"):
        async with run_collector(config):
            pass
