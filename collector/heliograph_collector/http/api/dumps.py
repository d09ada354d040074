"""`/dumps/`: the daily files of cells, their index and their data dictionary."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import msgspec
from aiohttp import web
from markupsafe import Markup
from msgspec import Struct
from msgspec.structs import asdict

from heliograph_collector.http.api import parquet
from heliograph_collector.http.api.parameters import parse
from heliograph_collector.http.backend import Feed, Publisher
from heliograph_collector.http.headers import respond_json, respond_text
from heliograph_collector.http.pages.structured_data import describe_dataset
from heliograph_collector.http.problem import Problem
from heliograph_collector.http.request_addresses import find_site_address
from heliograph_collector.http.templates import PageContent, render_page
from heliograph_collector.model.published.files import (
    ColumnDescription,
    DumpFile,
    DumpFileDocument,
    DumpsDocument,
)

INDEX_FILE = "index.json"
MEDIA = "application/vnd.apache.parquet"
_MAX_AGE_S = 300


class DumpIndex(Struct, frozen=True, kw_only=True):
    """The index in the folder of the files; `seen` is the data version of each day."""

    schema: int = 0
    k_anonymity: int = 0
    files: tuple[DumpFile, ...] = ()  # newest day first
    seen: dict[str, int] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class DumpsContent(PageContent):
    template: ClassVar[str] = "dumps.html"
    files: Sequence[DumpFile]
    columns: Sequence[ColumnDescription]
    publisher: Publisher
    structured: Markup


class DumpRoutes:
    def __init__(self, feed: Feed, assets: Mapping[str, str]) -> None:
        self._feed = feed
        self._assets = assets

    async def page(self, request: web.Request) -> web.Response:
        """Respond with the page, or with the index for clients that accept only JSON."""
        parse(request.query, ())
        accept = request.headers.get("Accept", "")
        if "application/json" in accept and "text/html" not in accept:
            response = await self.index(request)
        else:
            files = (await self._read_index()).files
            html = render_page(
                DumpsContent(
                    assets=self._assets,
                    files=files,
                    columns=parquet.COLUMNS,
                    publisher=self._feed.site.publisher,
                    structured=describe_dataset(
                        self._feed.site.publisher,
                        find_site_address(self._feed, request),
                        (files[-1].day, files[0].day) if files else None,
                    ),
                )
            )
            response = respond_text(request, html, "text/html", max_age_s=_MAX_AGE_S)
        response.headers["Vary"] = "Accept, Accept-Encoding"
        return response

    async def index(self, request: web.Request) -> web.Response:
        parse(request.query, ())
        document = DumpsDocument(
            dictionary="/dumps/README.json",
            k_anonymity=self._feed.k_anonymity,
            license=self._feed.site.publisher.license,
            files=tuple(
                DumpFileDocument(**asdict(file), url=f"/dumps/{file.name}")
                for file in (await self._read_index()).files
            ),
        )
        return respond_json(request, document, max_age_s=_MAX_AGE_S)

    async def dictionary(self, request: web.Request) -> web.Response:
        parse(request.query, ())
        document = parquet.build_dictionary(
            self._feed.k_anonymity, self._feed.site.publisher.license
        )
        return respond_json(request, document, max_age_s=_MAX_AGE_S)

    async def file(self, request: web.Request) -> web.StreamResponse:
        """Respond with a file, with ETag, Last-Modified and ranges."""
        parse(request.query, ())
        name = request.match_info["name"]
        folder = self._feed.site.dumps
        names = {file.name for file in (await self._read_index()).files}
        if folder is None or name not in names:
            raise Problem(
                404,
                "No such file",
                "There is no file of this name; /dumps/index.json lists them. A day has none until "
                "half an hour after its end, nor where too few measured.",
            )
        headers = {"Content-Type": MEDIA, "Cache-Control": f"public, max-age={_MAX_AGE_S}"}
        return web.FileResponse(folder / name, headers=headers)

    async def _read_index(self) -> DumpIndex:
        folder = self._feed.site.dumps
        return DumpIndex() if folder is None else await asyncio.to_thread(read_index, folder)


def read_index(folder: Path) -> DumpIndex:
    """Read the index; empty if it is missing or damaged."""
    try:
        return msgspec.json.decode((folder / INDEX_FILE).read_bytes(), type=DumpIndex)
    except (OSError, ValueError, RecursionError):
        return DumpIndex()
