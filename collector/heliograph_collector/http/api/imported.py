"""`/api/v1/imported`: what other projects measured, by day, beside our own cells.

It is their data, under their license, and all of it is public already; so no anonymity rule of ours
applies. It is part of no cell, incident or daily file.
"""

import csv
import io
from collections.abc import Sequence

from aiohttp import web

from heliograph.timestamps import format_time
from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.http.api.aggregation import quote_formula
from heliograph_collector.http.api.coverage import check_span
from heliograph_collector.http.api.history import CSV, FORMAT
from heliograph_collector.http.api.parameters import COUNTRY, FIRST_DAY, LAST_DAY, parse
from heliograph_collector.http.backend import ArchiveSource
from heliograph_collector.http.headers import respond_json, respond_text
from heliograph_collector.model.imported import (
    IMPORT_SOURCES,
    MAX_CELLS,
    ImportedCell,
    ImportedFilter,
)
from heliograph_collector.model.published.imported import (
    ImportedCellDocument,
    ImportedDocument,
    ImportSourceDocument,
)

IMPORTED = (COUNTRY, FIRST_DAY, LAST_DAY, FORMAT)
_WEEK_US = 7 * DAY_US
_MAX_AGE_S = 300


class ImportedApi:
    def __init__(self, archive: ArchiveSource) -> None:
        self._archive = archive

    async def __call__(self, request: web.Request) -> web.Response:
        values = parse(request.query, IMPORTED)
        now_us = self._archive.clock.wall_us() // SECOND_US * SECOND_US
        until_us = values.get(LAST_DAY, now_us)
        since_us = values.get(FIRST_DAY, until_us - _WEEK_US)
        check_span(since_us, until_us)
        country = values.get(COUNTRY, "")
        filters = ImportedFilter(since_us=since_us, until_us=until_us, country=country)
        cells = await self._archive.count_imported(filters)
        if values.get(FORMAT) == "csv":
            return respond_text(request, _format_csv(cells), CSV, max_age_s=_MAX_AGE_S)
        document = ImportedDocument(
            since=format_time(since_us),
            until=format_time(until_us),
            sources=tuple(
                ImportSourceDocument(
                    id=id_,
                    name=source.name,
                    origin=source.origin,
                    license=source.license,
                    license_url=source.license_url,
                )
                for id_, source in IMPORT_SOURCES.items()
            ),
            cells=tuple(map(build_cell, cells)),
            complete=len(cells) < MAX_CELLS,
        )
        return respond_json(request, document, max_age_s=_MAX_AGE_S)


def build_cell(cell: ImportedCell) -> ImportedCellDocument:
    return ImportedCellDocument(
        source=cell.source,
        country=cell.country,
        asn=cell.asn,
        test_name=cell.test,
        target=cell.target,
        start=format_time(cell.start_us),
        reachable=cell.reachable,
        partial=cell.partial,
        blocked=cell.blocked,
        down=cell.down,
        unknown=cell.unknown,
        newest=format_time(cell.newest_us),
        lag_s=cell.lag_us // SECOND_US,
    )


def _format_csv(cells: Sequence[ImportedCell]) -> str:
    """Format a line for each cell, which names the source's license."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow((*ImportedCellDocument.__struct_fields__, "license"))
    for cell in cells:
        document = build_cell(cell)
        values = (getattr(document, name) for name in document.__struct_fields__)
        writer.writerow((*map(quote_formula, values), IMPORT_SOURCES[cell.source].license))
    return out.getvalue()
