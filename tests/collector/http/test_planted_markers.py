"""Texts that Sybils plant in the store are on no public path of the OpenAPI."""

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any
from urllib.parse import urlencode

import pytest

from heliograph_collector.aggregate.query_cache import CellQueryCache
from heliograph_collector.http.cell_queries import feed_disclosure
from heliograph_collector.store.store import Store
from support.crowds import keep
from support.examples import only_in_soak
from support.fake_feed import NOW_US, World
from support.rows import US, blocked, reachable, taken
from support.site import Serve

FORMULA = "=cmd|' /C calc'!A0"
MARKERS = (FORMULA, "@SUM(1)", "https://unlisted.example/", "unlisted")
LISTED_FORMULA = "+listed"  # a formula that the operator's own plan lists
ENDLESS = "/api/v1/stream"
VALUES = {
    "country": ("KZ",),
    "probe_cc": ("KZ",),
    "since": ("2022-01-05T12:00:00Z",),
    "axis_x": ("input", "domain", "test_name", "probe_asn"),
    "format": ("JSON", "CSV"),
    "bin": ("5m", "1m", "1h"),
}


async def plant(store: Store) -> None:
    """Store results of six established lines for a listed service and each text."""
    rows = []
    for number, (name, who) in enumerate(product(("telegram", LISTED_FORMULA, *MARKERS), range(6))):
        record = taken(number, who=f"nym{who}", service=name, at_us=NOW_US - 1_800 * US)
        verdict = reachable() if name == "telegram" else blocked(method=name)
        rows.append((replace(record, received_us=NOW_US - 1_700 * US), (verdict,)))
    await keep(store, *rows)


def list_questions(document: dict[str, Any]) -> Iterator[str]:
    """Yield each GET of the document, alone and with every allowed value of VALUES."""
    for path, operations in document["paths"].items():
        if "get" not in operations or path == ENDLESS or "measurements" in path:
            continue
        names = [p["name"] for p in operations["get"].get("parameters", ()) if p["in"] == "query"]
        known = [name for name in names if name in VALUES]
        filled = path.replace("{code}", "KZ").replace("{id}", "5e1f" * 4).replace("{name}", "x")
        filled = filled.replace("{day}", "2022-01-05")
        yield filled
        for values in product(*(VALUES[name] for name in known)):
            yield f"{filled}?{urlencode(dict(zip(known, values, strict=True)))}"


# Where no group is too small the list of the plan alone hides a text.
@pytest.mark.parametrize("k", [1, pytest.param(5, marks=only_in_soak)])
async def test_no_public_path_names_what_the_plan_does_not_list(
    serve: Serve, store: Store, k: int
) -> None:
    await plant(store)
    world = World()
    client = await serve(
        world.feed(
            votes=store.votes,
            silences=store.silences,
            totals=store.totals,
            wide=CellQueryCache(store, world.clock, k).cells,
            targets=(LISTED_FORMULA,),
            k_anonymity=k,
        )
    )
    questions = list(list_questions(await client.json("/openapi.json")))
    found = []
    telegrams = 0
    for question in questions:
        async with client.get(question) as answer:
            assert answer.status < 500, (question, answer.status)
            told = (await answer.read()).decode("latin-1")
        telegrams += "telegram" in told.lower()
        found += [(question, marker) for marker in MARKERS if marker in told]
        if answer.content_type == "text/csv":
            cells = [cell for row in csv.reader(io.StringIO(told)) for cell in row]
            assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))], question
    assert found == []
    print(f"{len(questions)} questions, {telegrams} answers name Telegram")
    assert telegrams > 5, "the listed service is there"


async def test_daily_files_hold_nothing_else(store: Store) -> None:
    await plant(store)
    window = (NOW_US - 3_600 * US, NOW_US, 300)
    cells = await CellQueryCache(store, World().clock).cells(*window, wider=(), country="KZ")
    assert set(MARKERS) < {cell.service for cell in cells}
    released = feed_disclosure(World().feed()).release(cells)
    assert {cell.service for cell in released} == {"telegram"}
