"""The event loop runs between groups of envelopes, whatever an agent sends."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from heliograph import envelope, keys
from heliograph.v1 import envelope_pb2 as pb
from heliograph.v1 import observation_pb2 as opb
from heliograph_collector.fleet.keyring import SealingKeys
from heliograph_collector.ingest import envelope_opener
from heliograph_collector.ingest.agent_directory import AgentDirectory
from heliograph_collector.ingest.envelope_opener import (
    GROUP,
    SMALL_BATCH,
    THREADS,
    EnvelopeOpener,
)

SIGNER = keys.SigningKey(bytes(range(32)))
COLLECTOR = keys.SealingKey(bytes(range(32, 64)))
NOW_US = 1_641_378_600_000_000


class OneAgent:
    """A directory that knows one agent."""

    def list_keys(self, agent: bytes) -> tuple[bytes, ...]:
        return (SIGNER.public,)


def seal(sequence: int, inside: int = 0) -> pb.Envelope:
    """Seal one measurement with `inside` bytes that compress to nothing."""
    measured = opb.Measurement(sequence=1, started_us=NOW_US, target="x" * inside)
    batch = pb.Batch(agent=keys.agent_id(SIGNER.public), sequence=sequence, measurements=[measured])
    return pb.Envelope.FromString(envelope.seal_batch(batch, SIGNER, COLLECTOR.public))


@pytest.fixture
async def opener(tmp_path: Path) -> EnvelopeOpener:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "sealing.key").write_bytes(bytes(range(32, 64)))
    return EnvelopeOpener(SealingKeys(tmp_path), cast("AgentDirectory", OneAgent()))


async def test_envelope_that_is_large_inside_is_opened_apart(
    opener: EnvelopeOpener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An envelope that is large inside is opened in a thread, off the event loop."""
    large = seal(1, inside=4 * SMALL_BATCH)
    assert len(large.sealed) <= envelope_opener.SMALL_BYTES
    threads = []
    check = envelope_opener.check_batch

    def note_thread(
        contents: envelope.VerifiedBatch, received_us: int
    ) -> envelope_opener.OpenedEnvelope:
        threads.append((contents.sequence, asyncio._get_running_loop() is not None))
        return check(contents, received_us)

    monkeypatch.setattr(envelope_opener, "check_batch", note_thread)
    opened = await asyncio.gather(opener.open(large, NOW_US), opener.open(seal(2), NOW_US))
    opener.close()
    assert [each.contents.sequence for each in opened] == [1, 2]
    assert dict(threads) == {1: False, 2: True}


async def test_loop_has_its_turn_between_groups(
    opener: EnvelopeOpener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop runs between groups, even if large ones end at once and more wait."""
    loop = asyncio.get_running_loop()
    call_soon = loop.call_soon_threadsafe
    ended = threading.Semaphore(0)

    def call_and_count(callback: Callable[..., object], *args: object) -> object:
        handle = call_soon(callback, *args)
        ended.release()
        return handle

    monkeypatch.setattr(loop, "call_soon_threadsafe", call_and_count)
    large = [seal(n, inside=4 * SMALL_BATCH) for n in range(1, 3)]
    waiting = [asyncio.create_task(opener.open(each, NOW_US)) for each in large]
    waiting += [asyncio.create_task(opener.open(seal(10 + n), NOW_US)) for n in range(6 * GROUP)]
    await asyncio.sleep(0)  # all are asked for
    for _ in range(THREADS):
        assert ended.acquire(timeout=60.0)  # the loop stands meanwhile
    most = done = 0
    while done < len(waiting):
        await asyncio.sleep(0)  # a turn of the loop: that is what is counted
        newly_done = sum(task.done() for task in waiting) - done
        most = max(most, newly_done)
        done += newly_done
    opener.close()
    assert GROUP <= most <= 2 * GROUP + 1  # what a thread had, and one group of what waits
