"""Four days of January 2022 in Kazakhstan, our history and OONI's, as files."""

from collections.abc import Mapping
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from heliograph.units import DAY_US, HOUR_US
from heliograph_collector.http.backend import Feed
from heliograph_collector.http.history_rows import HourCount, build_day_rows
from heliograph_collector.model.history import BlockingNetwork, CellHistory, HistoryFilter
from heliograph_collector.model.imported import ImportedFilter, ImportedHistory, ImportedResult
from heliograph_collector.model.records import VerdictState
from heliograph_collector.store.history import HistoryReader, HistoryTable
from heliograph_collector.store.imported_results import ImportedReader, ImportedResults
from support.incident_book import KEY, evening_book
from support.kazakhstan_votes import evening

JAN_1 = 1_640_995_200_000_000  # 2022-01-01T00:00:00Z
SITE = "https://news.example/"
_NETWORKS = ((9198, "fixed", "KZ-75"), (29355, "mobile", ""), (206026, "mobile", ""))
_RESET = ("blocked", "tls", "reset_after_hello")
_WORKS = ("reachable", "", "")
_TARGETS = (("telegram", ""), ("signal", ""), ("web_connectivity", "https://www.facebook.com/"))


def count(
    asn: int, service: str, state: tuple[str, str, str] = _WORKS, **changes: Any
) -> HourCount:
    """Return an hour of a service in a network; ten vantages test each five minutes."""
    access, region = next((a, r) for n, a, r in _NETWORKS if n == asn)
    made = HourCount("KZ", region, asn, access, service, *state, 120, 10, 0)
    return made._replace(**changes)


def silence(asn: int) -> HourCount:
    """Return an hour in which no vantage of a network measured, and seven were silent."""
    return count(asn, "", ("unknown", "", ""), votes=0, vantages=0, silent=7)


def build_hour(day: int, hour: int) -> list[HourCount]:
    """Return one hour of counts of all networks.

    AS9198 blocks Telegram from the 3rd on, all block Signal for a morning, and AS206026 is dark
    from noon of the 4th.
    """
    counts = []
    for asn, _, _ in _NETWORKS:
        if (day, asn) == (3, 206026) and hour > 12:
            counts.append(silence(asn))
            continue
        for service in ("telegram", "whatsapp", "signal", SITE):
            is_blocked = (
                (service == "telegram" and asn == 9198 and day >= 2)
                or (service == "signal" and day == 1 and 7 <= hour < 15)
                or (service == SITE and asn == 29355 and day == 0)
            )
            counts.append(count(asn, service, _RESET if is_blocked else _WORKS))
    return counts


def write_history(file: Path) -> None:
    with closing(HistoryTable(file)) as history:
        for day in range(4):
            day_us = JAN_1 + day * DAY_US
            hours = {hour: build_hour(day, hour) for hour in range(24)}
            history.replace_day(day_us, f"digest {day}", build_day_rows(hours, day_us))


def list_results() -> list[ImportedResult]:
    """List three measurements a day of each target in three networks, some blocked."""
    return [
        ImportedResult(
            source="ooni", key=f"{day} {asn} {test} {target} {n}", country="KZ", asn=asn, test=test,
            target=target, started_us=JAN_1 + day * DAY_US + n * HOUR_US,
            state=VerdictState.BLOCKED
            if day >= 2 and test != "signal" and asn != 48503
            else VerdictState.REACHABLE,
            layer="", method="", rule="x", confidence=0.9, reachable_endpoints=0, endpoints=1,
        )
        for day in range(5)
        for asn in (9198, 29355, 48503)
        for test, target in _TARGETS
        for n in range(3)
    ]  # fmt: skip


def past(folder: Path) -> dict[str, Any]:
    """Write the four days and an import to a folder; return the feed's answers."""
    for name, content in _make_files().items():
        (folder / name).write_bytes(content)
    return read_past(folder)


@cache
def _make_files() -> Mapping[str, bytes]:
    """Return the two databases, which are made once per process."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_history(folder / "history.db")
        with closing(ImportedResults(folder / "imported.db")) as imported:
            imported.add(list_results(), JAN_1 + 40 * DAY_US, 12)
        return {file.name: file.read_bytes() for file in folder.iterdir()}


def read_past(folder: Path) -> dict[str, Any]:
    """Return the feed's answers from the files of a folder."""
    history = HistoryReader(folder / "history.db")
    others = ImportedReader(folder / "imported.db")

    async def read_history(filters: HistoryFilter) -> CellHistory:
        return history.read(filters)

    async def count_blocking_networks(filters: HistoryFilter) -> list[BlockingNetwork]:
        return history.count_blocking_networks(filters)

    async def read_imported(filters: ImportedFilter, most: int) -> ImportedHistory:
        return others.read_history(filters, most)

    return {
        "read_history": read_history,
        "count_blocking_networks": count_blocking_networks,
        "read_imported": read_imported,
    }


def feed_with_past(folder: Path, **changes: Any) -> Feed:
    """Return a feed of 5 January, with the four days before it and an import."""
    known = {"book": evening_book(), "public_key": KEY.public, **past(folder)}
    return evening().feed(**known | changes)
