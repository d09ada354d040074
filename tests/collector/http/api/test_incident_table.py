"""Incidents as a spreadsheet: the JSON's content by lines, without live formulas."""

import asyncio
import csv
import io
import re
import threading
from typing import Any

import pytest
from msgspec import structs

from heliograph_collector.http.api import incidents
from heliograph_collector.http.api.incident_table import COLUMNS, MAX_ROWS, format_incidents
from heliograph_collector.http.i18n import ENGLISH
from heliograph_collector.http.incident_document import build_document
from support.fake_feed import World
from support.incident_book import (
    ALMATY,
    DOUBT,
    GONE,
    MOBILE,
    TELEGRAM,
    blocking,
    book,
    closed,
    evening_book,
    part,
    silence,
)
from support.site import Serve
from support.waiting import until_true


async def rows_of(client: Any, query: str) -> list[dict[str, str]]:
    answer = await client.get(f"/api/v1/incidents{query}")
    assert (answer.status, answer.content_type) == (200, "text/csv")
    return list(csv.DictReader(io.StringIO(await answer.text())))


async def test_each_line_says_what_the_document_says(serve: Serve) -> None:
    client = await serve(World().feed(book=evening_book()))
    documents = (await client.json("/api/v1/incidents"))["incidents"]
    rows = await rows_of(client, "?format=csv&limit=1")
    assert [row["id"] for row in rows] == [DOUBT, TELEGRAM, MOBILE, ALMATY, GONE], "without pages"
    for row, document in zip(rows, documents, strict=True):
        assert tuple(row) == COLUMNS
        assert row["started_earliest"] == document["started"]["earliest"]
        assert row["started_latest"] == document["started"]["latest"]
        assert row["ended_latest"] == (document["ended"] or {"latest": ""})["latest"]
        assert row["country"] == document["scope"]["country"]
        assert row["service"] == document["scope"]["service"]
        assert row["confirmed"] == (document["confirmed"] or "")
        assert float(row["confidence"]) == document["confidence"]
        for name in ("kind", "state", "sentence", "updated", "suspected"):
            assert row[name] == document[name]
        assert row["page"].endswith(f"/incidents/{row['id']}")
        assert row["page"].startswith("http")
        assert row["license"] == "CC-BY-4.0"
    assert [row["id"] for row in await rows_of(client, "?format=csv&service=telegram")] == [
        TELEGRAM
    ]


async def test_the_archive_links_to_the_table_of_what_it_shows(serve: Serve) -> None:
    client = await serve(World().feed(book=evening_book()))
    page = await (
        await client.get("/incidents?country=KZ&since=2022-01-05&until=2022-01-05")
    ).text()
    (path,) = re.findall(r'href="/api/v1/incidents([^"]*format=csv)"', page)
    shown = set(re.findall(r"/incidents/([0-9a-f]{16})", page))
    assert {row["id"] for row in await rows_of(client, path.replace("&amp;", "&"))} == shown
    (path,) = re.findall(r'href="/api/v1/incidents([^"]*)">JSON<', page)
    document = await client.json(f"/api/v1/incidents{path.replace('&amp;', '&')}")
    assert {incident["id"] for incident in document["incidents"]} == shown


async def test_nothing_is_in_it_that_few_saw(serve: Serve) -> None:
    client = await serve(World().feed(book=book(silence(parts=(part(2.0, "KZ"),))), k_anonymity=5))
    assert await rows_of(client, "?format=csv") == []


async def test_a_large_table_lets_other_readers_pass_and_few_wait_for_one(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()

    def take_long(*_: object) -> str:
        release.wait(20)
        return "id\r\n"

    monkeypatch.setattr(incidents, "format_incidents", take_long)
    monkeypatch.setattr(incidents, "_MAX_TABLES", 2)
    client = await serve(World().feed(book=evening_book()))
    waiting = [asyncio.create_task(client.get("/api/v1/incidents?format=csv")) for _ in range(3)]
    try:
        await until_true(lambda: any(task.done() for task in waiting))
        assert await client.json("/api/v1/incidents")
    finally:
        release.set()
    answers = await asyncio.gather(*waiting)
    assert sorted(answer.status for answer in answers) == [200, 200, 503]
    assert [a.headers["Retry-After"] for a in answers if a.status == 503] == ["10"]


def test_no_cell_is_run_and_the_table_is_bounded() -> None:
    document = build_document(book(closed(blocking(), 5)).entries, {}, 5)
    assert document is not None
    hostile = structs.replace(document, title="=HYPERLINK(1)", sentence='@SUM(1), "x"\n-2')
    table = format_incidents([hostile] * (MAX_ROWS + 1), "", "CC-BY-4.0", ENGLISH)
    rows = list(csv.DictReader(io.StringIO(table, newline="")))
    assert len(rows) == MAX_ROWS
    assert (rows[0]["title"], rows[0]["sentence"]) == ("'=HYPERLINK(1)", '\'@SUM(1), "x"\n-2')
    assert rows[0]["page"].startswith("/incidents/")
