"""web_connectivity: every row gives OONI's verdict, or a better one with a reason."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.ooni import judge_document, web

CATALOGUE = Path(__file__).with_name("web.yml")
ROWS: list[dict[str, Any]] = yaml.load(CATALOGUE.read_text(encoding="utf-8"), yaml.CSafeLoader)


def cases() -> Iterator[Any]:
    for row in ROWS:
        for version in [row["only"]] if "only" in row else ["0.5", "0.4"]:
            yield pytest.param(row, version, id=f"{row['name']} ({version})")


@pytest.mark.parametrize(("row", "version"), list(cases()))
def test_row(row: Mapping[str, Any], version: str) -> None:
    found = judge_document(web(row, version))
    wanted = row.get("ours", row["ooni"])
    assert [found["blocking"], found["accessible"]] == wanted, found


def test_catalogue_is_large_and_tells_why_it_differs_from_ooni() -> None:
    assert len(ROWS) >= 60
    assert len({row["name"] for row in ROWS}) == len(ROWS)
    for row in ROWS:
        assert ("ours" in row) == ("why" in row), row["name"]
        assert row.get("ours") != row["ooni"], row["name"]
