"""`/api/v1/imported`: other projects' results, with name and license, kept apart."""

import csv
import io

from heliograph_collector.model.imported import ImportedCell
from support.fake_feed import NOW_US, World
from support.site import Serve

HOUR_US = 3_600_000_000
CELL = ImportedCell(
    source="ooni", country="KZ", asn=9198, test="signal", target="", start_us=1_641_340_800_000_000,
    bin_s=86_400, reachable=1, partial=2, blocked=12, down=0, unknown=3,
    newest_us=NOW_US - 3 * HOUR_US, imported_us=NOW_US - HOUR_US,
)  # fmt: skip


async def test_cells_name_their_source_and_lag(serve: Serve) -> None:
    client = await serve(World(imported=[CELL]).feed())
    body = await client.json("/api/v1/imported?country=KZ")
    (source,) = body["sources"]
    assert (source["id"], source["license"]) == ("ooni", "CC-BY-NC-SA-4.0")
    assert body["cells"] == [{
        "source": "ooni", "country": "KZ", "asn": 9198, "test_name": "signal", "target": "",
        "start": "2022-01-05T00:00:00Z", "reachable": 1, "partial": 2, "blocked": 12,
        "down": 0, "unknown": 3, "newest": "2022-01-05T10:43:20Z", "lag_s": 7200,
    }]  # fmt: skip
    assert body["complete"] is True
    assert (await client.json("/api/v1/imported?country=IT"))["cells"] == []


async def test_each_line_of_the_table_names_the_license(serve: Serve) -> None:
    client = await serve(World(imported=[CELL]).feed())
    async with client.get("/api/v1/imported?country=KZ&format=csv") as answer:
        assert answer.content_type == "text/csv"
        (row,) = csv.DictReader(io.StringIO(await answer.text()))
    assert (row["test_name"], row["asn"], row["blocked"]) == ("signal", "9198", "12")
    assert row["license"] == "CC-BY-NC-SA-4.0"


async def test_imports_are_no_votes(serve: Serve) -> None:
    """Imports are no votes: twelve blocked imports change nothing in our status."""
    client = await serve(World(imported=[CELL]).feed())
    empty = await (await serve(World().feed())).json("/api/v1/status?country=KZ")
    assert await client.json("/api/v1/status?country=KZ") == empty


async def test_a_year_is_the_most(serve: Serve) -> None:
    client = await serve(World().feed())
    answer = await client.get("/api/v1/imported?since=2010-01-01T00:00:00Z")
    assert answer.status == 400


async def test_days_are_those_of_the_pages(serve: Serve) -> None:
    """The last day is included, as in the address of a page and in the history."""
    client = await serve(World().feed())
    body = await client.json("/api/v1/imported?country=KZ&since=2022-01-01&until=2022-01-31")
    assert (body["since"], body["until"]) == ("2022-01-01T00:00:00Z", "2022-02-01T00:00:00Z")
