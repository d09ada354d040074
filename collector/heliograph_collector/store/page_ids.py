"""Find the ids of the newest matching measurements, in windows of growing length.

No table is in the order of time, so a query without a window reads all rows that are kept. Most
readers want the latest ones. Each part of a table has the first and last start of its rows, and so
a query for a short window skips the parts before it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from heliograph.units import DAY_US, HOUR_US, MINUTE_US
from heliograph_collector.model.filters import MeasurementFilter
from heliograph_collector.store.queries import Query, WhereClause

# Before the newest start. Assumed: a page has 50 or 100 of one a second, or of hundreds.
SPANS_US = (MINUTE_US, HOUR_US, 3 * DAY_US)

PageId = tuple[str, int]  # id, start
_NEWEST = Query("SELECT toUnixTimestamp64Micro(max(started)) FROM measurements", {})


async def find_page_ids(
    read_rows: Callable[[Query], Awaitable[list[Any]]],
    filters: MeasurementFilter,
    after: tuple[int, str] | None,
    limit: int,
) -> list[PageId]:
    """Find (id, started) of measurements, newest first, after (started, id).

    A span's rows are newer than all before it, so a full page of it is the page.
    Raises StoreError.
    """
    newest_us = after[0] if after is not None else (await read_rows(_NEWEST))[0][0]
    if filters.until_us is not None:
        newest_us = min(newest_us, filters.until_us)
    for span_us in SPANS_US:
        since_us = newest_us - span_us
        if since_us <= (filters.since_us or 0):
            break
        query = _query_ids(replace(filters, since_us=since_us), after, limit)
        page: list[PageId] = await read_rows(query)
        if len(page) == limit:
            return page
    return await read_rows(_query_ids(filters, after, limit))


def _query_ids(filters: MeasurementFilter, after: tuple[int, str] | None, limit: int) -> Query:
    """Select (id, started) of measurements, newest first, after (started, id).

    It leaves out message bodies, which only the rows of the page need.
    """
    clause = WhereClause().add_place(
        filters.country or None, filters.region or None, filters.asn, filters.access or None
    )
    clause.add_time_range("started", filters.since_us, filters.until_us)
    clause.add_service(filters.service or None)
    clause.add_condition("experiment = {experiment:String}", experiment=filters.experiment or None)
    clause.add_condition("role = {role:String}", role=filters.role or None)
    if filters.state:
        id_sql = f"SELECT id FROM verdicts FINAL WHERE {clause.sql} AND endpoint = ''"  # noqa: S608 fixed text, values are parameters
        clause.add_condition(f"id IN ({id_sql} AND state = {{state:String}})", state=filters.state)
    clause.add_condition("target = {target:String}", target=filters.target or None)
    clause.add_cursor("<", after)
    sql = f"""
SELECT id, toUnixTimestamp64Micro(started) AS started_us FROM measurements FINAL WHERE {clause.sql}
ORDER BY started DESC, id DESC LIMIT {{limit:UInt32}}"""  # noqa: S608 fixed text, values are parameters
    return Query(sql, clause.parameters | {"limit": limit})
