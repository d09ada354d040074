"""What a relay carries for others: bounded, in turns, and no longer than it must."""

import asyncio

import pytest

from heliograph.v1 import intake_pb2
from heliograph_agent.relay.queue import (
    ANSWERS,
    BUSY_S,
    BYTES,
    FULL_S,
    PEER_BYTES,
    PEER_SHARE,
    Cargo,
    Parcel,
)
from heliograph_agent.uplink.single_post import Lone
from support.hand_clock import HandClock

SIGNED = intake_pb2.SubmitResponse(receipts=b"signed")
DAY_S = 86_400


def cargo(bytes_per_day: int = 10**9, clock: HandClock | None = None) -> Cargo:
    return Cargo(clock or HandClock(), b"salt", bytes_per_day)


def envelope(number: int, size: int = 600) -> Lone:
    return Lone(number.to_bytes(4, "big") + bytes(size - 4))


def given(hold: Cargo, peer: str, number: int, size: int = 600) -> Parcel:
    parcel = hold.offer(hold.peer(peer), envelope(number, size))
    assert isinstance(parcel, Parcel)
    return parcel


async def test_each_peer_has_its_turn_whoever_gives_most() -> None:
    hold = cargo()
    greedy = [given(hold, "a", number) for number in range(6)]
    modest = given(hold, "b", 100)
    turns = [(await hold.next()).name for _ in range(7)]
    assert turns[:3] == [greedy[0].name, modest.name, greedy[1].name]
    assert turns[2:] == [parcel.name for parcel in greedy[1:]]


async def test_the_same_envelope_is_carried_once_and_its_answer_waits_for_who_asks_again() -> None:
    hold = cargo()
    first = given(hold, "a", 1)
    assert given(hold, "a", 1) is first
    await hold.next()
    hold.done(first, SIGNED)
    again = given(hold, "a", 1)
    assert await again.answered == SIGNED
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await hold.next()


async def test_what_did_not_arrive_may_be_given_again() -> None:
    hold = cargo()
    first = given(hold, "a", 1)
    await hold.next()
    hold.done(first, None)
    assert await first.answered is None
    second = given(hold, "a", 1)
    assert (await hold.next()) is second


async def test_one_peer_fills_its_own_room_and_nobody_elses() -> None:
    hold, size = cargo(10**12), 250_000
    for number in range(PEER_BYTES // size):
        given(hold, "a", number, size)
    assert hold.offer(hold.peer("a"), envelope(99, size)) == BUSY_S
    for number in range(PEER_BYTES // size, BYTES // size):
        given(hold, f"b{number}", number, size)
    assert hold.offer(hold.peer("c"), envelope(99, size)) == BUSY_S
    hold.done(await hold.next(), SIGNED)
    given(hold, "c", 99, size)


async def test_a_day_has_its_bytes_and_one_peer_its_share_of_them() -> None:
    clock = HandClock()
    hold = cargo(600 * 8, clock)
    for number in range(8 // PEER_SHARE):
        given(hold, "a", number)
    assert hold.offer(hold.peer("a"), envelope(50)) == FULL_S
    for number in range(2, 8):
        given(hold, f"b{number // 2}", number)
    assert hold.offer(hold.peer("c"), envelope(50)) == FULL_S
    clock.advance_us(DAY_S * 1_000_000)
    given(hold, "a", 50)


async def test_answers_nobody_asks_for_are_forgotten_oldest_first() -> None:
    hold = cargo()
    for number in range(ANSWERS + 1):
        parcel = given(hold, f"p{number}", number)
        await hold.next()
        hold.done(parcel, SIGNED)
    assert not given(hold, "p0", 0).answered.done()
    assert given(hold, "p1", 1).answered.done()


def test_who_gave_it_is_not_to_be_read_from_it() -> None:
    here, there = Cargo(HandClock(), b"one", 1), Cargo(HandClock(), b"two", 1)
    assert here.peer("192.0.2.1") == here.peer("192.0.2.1") != here.peer("192.0.2.2")
    assert here.peer("192.0.2.1") != there.peer("192.0.2.1")
