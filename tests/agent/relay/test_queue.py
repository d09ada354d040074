"""The relay's queue: bounded, fair, and kept no longer than needed."""

import asyncio

import pytest

from heliograph.v1 import intake_pb2
from heliograph_agent.relay.queue import (
    BUSY_S,
    BYTES,
    FULL_S,
    MAX_RESPONSES,
    PEER_BYTES,
    PEER_SHARE,
    QueueEntry,
    RelayQueue,
)
from heliograph_agent.uplink.single_post import SinglePost
from support.hand_clock import HandClock

SIGNED = intake_pb2.SubmitResponse(receipts=b"signed")
DAY_S = 86_400


def make_queue(bytes_per_day: int = 10**9, clock: HandClock | None = None) -> RelayQueue:
    return RelayQueue(clock or HandClock(), b"salt", bytes_per_day)


def envelope(number: int, size: int = 600) -> SinglePost:
    return SinglePost(number.to_bytes(4, "big") + bytes(size - 4))


def enqueue(queue: RelayQueue, peer: str, number: int, size: int = 600) -> QueueEntry:
    entry = queue.enqueue(queue.hash_peer(peer), envelope(number, size))
    assert isinstance(entry, QueueEntry)
    return entry


async def test_peers_take_turns() -> None:
    queue = make_queue()
    greedy = [enqueue(queue, "a", number) for number in range(6)]
    modest = enqueue(queue, "b", 100)
    turns = [(await queue.dequeue()).digest for _ in range(7)]
    assert turns[:3] == [greedy[0].digest, modest.digest, greedy[1].digest]
    assert turns[2:] == [entry.digest for entry in greedy[1:]]


async def test_same_envelope_is_carried_once() -> None:
    queue = make_queue()
    first = enqueue(queue, "a", 1)
    assert enqueue(queue, "a", 1) is first
    await queue.dequeue()
    queue.complete(first, SIGNED)
    again = enqueue(queue, "a", 1)
    assert await again.response == SIGNED
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await queue.dequeue()


async def test_failed_envelope_may_be_enqueued_again() -> None:
    queue = make_queue()
    first = enqueue(queue, "a", 1)
    await queue.dequeue()
    queue.complete(first, None)
    assert await first.response is None
    second = enqueue(queue, "a", 1)
    assert (await queue.dequeue()) is second


async def test_peer_bytes_are_limited() -> None:
    queue, size = make_queue(10**12), 250_000
    for number in range(PEER_BYTES // size):
        enqueue(queue, "a", number, size)
    assert queue.enqueue(queue.hash_peer("a"), envelope(99, size)) == BUSY_S
    for number in range(PEER_BYTES // size, BYTES // size):
        enqueue(queue, f"b{number}", number, size)
    assert queue.enqueue(queue.hash_peer("c"), envelope(99, size)) == BUSY_S
    queue.complete(await queue.dequeue(), SIGNED)
    enqueue(queue, "c", 99, size)


async def test_daily_bytes_are_shared() -> None:
    clock = HandClock()
    queue = make_queue(600 * 8, clock)
    for number in range(8 // PEER_SHARE):
        enqueue(queue, "a", number)
    assert queue.enqueue(queue.hash_peer("a"), envelope(50)) == FULL_S
    for number in range(2, 8):
        enqueue(queue, f"b{number // 2}", number)
    assert queue.enqueue(queue.hash_peer("c"), envelope(50)) == FULL_S
    clock.advance_us(DAY_S * 1_000_000)
    enqueue(queue, "a", 50)


async def test_oldest_responses_are_dropped() -> None:
    queue = make_queue()
    for number in range(MAX_RESPONSES + 1):
        entry = enqueue(queue, f"p{number}", number)
        await queue.dequeue()
        queue.complete(entry, SIGNED)
    assert not enqueue(queue, "p0", 0).response.done()
    assert enqueue(queue, "p1", 1).response.done()


@pytest.mark.parametrize(
    ("address", "neighbor", "other"),
    [
        ("192.0.2.1", "192.0.2.2", "198.51.100.1"),
        ("2001:db8:1::1", "2001:db8:1:ffff::2", "2001:db8:2::1"),
        ("::ffff:192.0.2.1", "192.0.2.2", "2001:db8::1"),
    ],
)
def test_peer_is_a_network_and_hashed_per_run(address: str, neighbor: str, other: str) -> None:
    this_run, other_run = RelayQueue(HandClock(), b"one", 1), RelayQueue(HandClock(), b"two", 1)
    assert this_run.hash_peer(address) == this_run.hash_peer(neighbor) != this_run.hash_peer(other)
    assert this_run.hash_peer(address) != other_run.hash_peer(address)
