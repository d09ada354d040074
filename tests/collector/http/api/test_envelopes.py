"""`POST /v1/envelopes`."""

import asyncio
from typing import Any

import pytest

from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.http.api.envelopes import MAX_BODY, MAX_CONCURRENT, EnvelopeApi
from support.fake_feed import World
from support.site import Serve


@pytest.mark.parametrize(
    ("receipt", "status"),
    [
        (pb.Receipt(sequence=7, status=pb.STATUS_STORED), 200),
        (pb.Receipt(sequence=7, status=pb.STATUS_DUPLICATE), 200),
        (pb.Receipt(sequence=7, status=pb.STATUS_REJECTED, reason="bad_seal"), 422),
        (pb.Receipt(sequence=7, status=pb.STATUS_RETRY, retry_after_s=30), 503),
    ],
)
async def test_the_receipt_comes_back(serve: Serve, receipt: pb.Receipt, status: int) -> None:
    world = World(receipt=receipt)
    client = await serve(world.feed())
    answer = await client.post("/v1/envelopes", data=b"sealed")
    assert answer.status == status
    assert pb.SubmitResponse.FromString(await answer.read()).receipt == receipt
    assert answer.headers.get("Retry-After") == (str(receipt.retry_after_s or "") or None)
    assert world.envelopes == [(b"sealed", "127.0.0.1")]


async def test_what_proxies_say_goes_along_with_the_peer_last(serve: Serve) -> None:
    world = World()
    client = await serve(world.feed())
    said = [("X-Forwarded-For", "192.0.2.1, 192.0.2.2"), ("X-Forwarded-For", "192.0.2.3")]
    await client.post("/v1/envelopes", data=b"x", headers=said)
    assert world.envelopes == [(b"x", "192.0.2.1, 192.0.2.2,192.0.2.3,127.0.0.1")]
    await client.post("/v1/envelopes", data=b"y", headers={"Heliograph-Place": "elsewhere"})
    assert world.envelopes[1:] == [(b"y", "elsewhere")], (
        "where the user's own proxy stands is no vantage"
    )


async def test_largest_envelope_fits_and_neither_a_larger_one_nor_nothing(serve: Serve) -> None:
    world = World()
    client = await serve(world.feed())
    empty = await client.post("/v1/envelopes")
    assert (empty.status, empty.content_type) == (400, "application/problem+json")
    assert (await client.post("/v1/envelopes", data=b"x" * MAX_BODY)).status == 200
    assert (await client.post("/v1/envelopes", data=b"x" * (MAX_BODY + 1))).status == 413

    async def chunks() -> Any:
        for _ in range(MAX_BODY // 1024 + 1):
            yield b"x" * 1024

    assert (await client.post("/v1/envelopes", data=chunks())).status == 413
    assert len(world.envelopes) == 1


async def test_too_slow_is_told_so(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EnvelopeApi.__init__, "__defaults__", (0.01,))
    world = World()

    async def accept(envelope: bytes, forwarded_for: str, *, is_elsewhere: bool) -> pb.Receipt:
        await asyncio.sleep(60)
        raise AssertionError

    client = await serve(world.feed(accept_envelope=accept))
    assert (await client.post("/v1/envelopes", data=b"x")).status == 408


async def test_a_flood_is_told_to_come_back(serve: Serve) -> None:
    inside, go = asyncio.Semaphore(0), asyncio.Event()

    async def accept(envelope: bytes, forwarded_for: str, *, is_elsewhere: bool) -> pb.Receipt:
        inside.release()
        await go.wait()
        return pb.Receipt(status=pb.STATUS_STORED)

    client = await serve(World().feed(accept_envelope=accept))

    async def post() -> int:
        return int((await client.post("/v1/envelopes", data=b"x")).status)

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        tasks = [group.create_task(post()) for _ in range(MAX_CONCURRENT)]
        for _ in range(MAX_CONCURRENT):
            await inside.acquire()
        assert await post() == 503
        go.set()
    assert {task.result() for task in tasks} == {200}
