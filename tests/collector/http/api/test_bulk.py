"""`/api/v1/bulk/{day}`: OONI's lines for partners with a key, without small cells."""

import asyncio
import gzip
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from heliograph.units import DAY_US
from heliograph_collector.app.publish_role import build_publisher
from heliograph_collector.config.errors import CannotServeError
from heliograph_collector.config.settings import Config
from heliograph_collector.http.backend import Feed, Publisher
from heliograph_collector.model.filters import MeasurementFilter
from heliograph_collector.model.judgement import MeasurementPage
from heliograph_collector.model.records import (
    AgentRole,
    JudgedMeasurement,
    Vantage,
    VerdictState,
)
from heliograph_collector.model.seniority import Seniority
from heliograph_collector.store.clickhouse import StoreError
from support.fake_feed import BIN_US, World, crowd
from support.hand_clock import HandClock
from support.rows import US, blocked, observations, taken
from support.site import Serve

KEY = "8f" * 32
DIGEST = hashlib.sha256(KEY.encode()).hexdigest()
DAY_START = 1_641_340_800 * US  # 2022-01-05
AT = DAY_START + 10 * 3_600 * US
PATH = "/api/v1/bulk/2022-01-05"
BEARER = {"Authorization": f"Bearer {KEY}"}


def judged(
    number: int, at_us: int = AT, asn: int = 9198, service: str = "telegram", **changes: Any
) -> JudgedMeasurement:
    vantage = Vantage(country="KZ", asn=asn, access="fixed", region="KZ-75")
    record = taken(
        number, at_us=at_us + number * US, service=service, vantage=vantage, steps=observations()
    )
    return replace(record, **changes), (blocked(),)


def build_world(*rows: JudgedMeasurement) -> World:
    """Build a world: 8 vantages of one network test Telegram in a bin, 2 of another."""
    votes = crowd(8, VerdictState.BLOCKED, AT, AT + BIN_US)
    votes += crowd(2, VerdictState.BLOCKED, AT, AT + BIN_US, asn=29355)
    clock = HandClock(wall=DAY_START + DAY_US + 3_600 * US)
    return World(votes=votes, judged=list(rows), clock=clock)


def build_feed(world: World, **changes: Any) -> Feed:
    return world.feed(
        publisher=Publisher(partners={DIGEST: "archive"}, measurements_days=30), **changes
    )


async def read_lines(serve: Serve, feed: Feed, path: str = PATH) -> list[dict[str, Any]]:
    client = await serve(feed)
    async with client.get(path, headers=BEARER) as answer:
        assert (answer.status, answer.content_type) == (200, "application/gzip")
        assert "no-store" in answer.headers["Cache-Control"]
        return [json.loads(line) for line in gzip.decompress(await answer.read()).splitlines()]


async def test_a_partner_gets_lines_that_oonidata_reads(serve: Serve) -> None:
    from oonidata.models.nettests import (  # type: ignore[import-untyped] # it ships no types
        NETTEST_MODELS,
    )

    world = build_world(*(judged(n) for n in range(20)))
    lines = await read_lines(serve, build_feed(world), f"{PATH}?country=kz")
    assert len({line["id"] for line in lines}) == 20
    for line in lines:
        loaded = NETTEST_MODELS[line["test_name"]].from_dict(line)
        assert (loaded.probe_cc, loaded.probe_asn) == ("KZ", "AS9198")
        assert loaded.test_keys.tcp_connect
    assert {filters.country for filters in world.asked} == {"KZ"}


async def test_head_names_the_file_to_a_partner_alone(serve: Serve) -> None:
    client = await serve(build_feed(build_world()))
    answer = await client.head(PATH, headers=BEARER)
    assert (answer.status, answer.content_type) == (200, "application/gzip")
    assert "measurements-2022-01-05.jsonl.gz" in answer.headers["Content-Disposition"]
    assert (await client.head(PATH)).status == 401


async def test_nothing_singles_a_vantage_out(serve: Serve) -> None:
    """No line identifies a vantage.

    None is of too few, of a young key, of a control, or of a site that is not listed.
    """
    hidden = (
        judged(1, asn=29355),
        judged(2, at_us=AT + BIN_US),
        judged(3, service="https://mine.example/"),
        judged(4, role=AgentRole.CONTROL),
        judged(5, seniority=Seniority.YOUNG),
        judged(6, at_us=AT + 3 * DAY_US, received_us=AT),
    )
    shown = [judged(n) for n in range(10, 14)]
    lines = await read_lines(serve, build_feed(build_world(*hidden, *shown)))
    assert [line["id"] for line in lines] == sorted(record.id for record, _ in shown)
    assert {line["measurement_start_time"] for line in lines} == {"2022-01-05 10:00:00"}
    text = json.dumps(lines)
    assert not any(word in text for word in ("KZ-75", "nym", "net-", "10:00:1"))
    assert await read_lines(serve, build_feed(build_world(*hidden[:1]), k_anonymity=2))


@pytest.mark.parametrize(
    ("path", "headers", "status", "told"),
    [
        (PATH, {}, 401, "partners"),
        (PATH, {"Authorization": f"Bearer {KEY[1:]}"}, 401, "partners"),
        (PATH, {"Authorization": f"Bearer {DIGEST}"}, 401, "partners"),
        ("/api/v1/bulk/2022-01-06", BEARER, 404, "not over"),
        ("/api/v1/bulk/2022-02-30", BEARER, 404, "2022-01-05"),
        ("/api/v1/bulk/2021-12-01", BEARER, 404, "kept for 30 days"),
        (f"{PATH}?contry=KZ", BEARER, 400, "contry"),
    ],
)
async def test_a_refusal_says_what_would_do(
    serve: Serve, path: str, headers: dict[str, str], status: int, told: str
) -> None:
    client = await serve(build_feed(build_world(judged(1))))
    assert told in str(await client.problem(path, status, headers=headers))


class Held:
    """A store that waits before it answers, and fails at its second page."""

    def __init__(self, rows: Sequence[JudgedMeasurement]) -> None:
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self._rows = tuple(rows)

    async def read(self, filters: MeasurementFilter, cursor: str, limit: int) -> MeasurementPage:
        self.asked.set()
        await self.go_on.wait()
        if cursor:
            raise StoreError("The store is away.")
        return MeasurementPage(items=self._rows, next="1")


async def test_a_day_that_breaks_off_does_not_look_whole(serve: Serve) -> None:
    """A day that breaks off does not look whole; its key gets one day at a time."""
    rows = [judged(n) for n in range(20)]
    held = Held(rows)
    client = await serve(build_feed(build_world(*rows), measurements=held.read))

    async def read() -> bytes:
        async with client.get(PATH, headers=BEARER) as answer:
            assert answer.status in (200, 503)
            return gzip.decompress(await answer.read())

    reading = asyncio.create_task(read())
    await held.asked.wait()
    await client.problem(PATH, 429, headers=BEARER)
    held.go_on.set()
    with pytest.raises((aiohttp.ClientError, OSError, EOFError)):
        await reading
    async with client.get(PATH, headers=BEARER) as answer:
        assert answer.status != 429, "the key is free again"


def test_keys_of_partners_are_read_from_their_file(tmp_path: Path) -> None:
    file = tmp_path / "partners"
    file.write_text(f"# name, SHA-256\narchive {DIGEST}  # since 2026\n\n")
    assert build_publisher(Config(partners_file=file)).partners == {DIGEST: "archive"}
    file.write_text(f"archive {DIGEST}  -\n")
    assert build_publisher(Config(partners_file=file)).partners == {DIGEST: "archive"}, "sha256sum"
    file.write_text(f"archive {DIGEST}\nnewsroom {KEY[:-1]}\n")
    with pytest.raises(CannotServeError, match="line 2: must be NAME SHA256") as caught:
        build_publisher(Config(partners_file=file))
    assert KEY[:-1] not in str(caught.value)
