"""`/dumps/`: the daily files of cells, their index and their data dictionary."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from heliograph_collector.http.api import parquet
from heliograph_collector.http.api.parameters import parse
from heliograph_collector.http.backend import Feed
from heliograph_collector.http.headers import respond_json, respond_text
from heliograph_collector.http.templates import environment

INDEX_FILE = "index.json"
MEDIA = "application/vnd.apache.parquet"
Json = dict[str, Any]
_MAX_AGE_S = 300
_EMPTY: Json = {"files": []}


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
            files = [_format_file(file) for file in (await self._read_index())["files"]]
            template = environment().get_template("dumps.html")
            html = template.render(assets=self._assets, files=files, columns=parquet.COLUMNS)
            response = respond_text(request, html, "text/html", html.encode(), max_age_s=_MAX_AGE_S)
        response.headers["Vary"] = "Accept"
        return response

    async def index(self, request: web.Request) -> web.Response:
        parse(request.query, ())
        files = (await self._read_index())["files"]
        body = {
            "dictionary": "/dumps/README.json",
            "k_anonymity": self._feed.k_anonymity,
            "files": [{**file, "url": f"/dumps/{file['name']}"} for file in files],
        }
        return respond_json(request, body, max_age_s=_MAX_AGE_S)

    async def dictionary(self, request: web.Request) -> web.Response:
        parse(request.query, ())
        body = parquet.build_dictionary() | {"k_anonymity": self._feed.k_anonymity}
        return respond_json(request, body, max_age_s=_MAX_AGE_S)

    async def file(self, request: web.Request) -> web.StreamResponse:
        """Respond with a file, with ETag, Last-Modified and ranges."""
        parse(request.query, ())
        name = request.match_info["name"]
        folder = self._feed.dumps
        names = {file["name"] for file in (await self._read_index())["files"]}
        if folder is None or name not in names:
            raise web.HTTPNotFound
        headers = {"Content-Type": MEDIA, "Cache-Control": f"public, max-age={_MAX_AGE_S}"}
        return web.FileResponse(folder / name, headers=headers)

    async def _read_index(self) -> Json:
        folder = self._feed.dumps
        return _EMPTY if folder is None else await asyncio.to_thread(read_index, folder)


def read_index(folder: Path) -> Json:
    """Read {"files": newest day first, …}; no files if it is missing or damaged."""
    try:
        content = json.loads((folder / INDEX_FILE).read_bytes())
    except (OSError, ValueError):
        return dict(_EMPTY)
    return (
        content if isinstance(content, dict) and isinstance(content.get("files"), list) else _EMPTY
    )


def _format_file(file: Mapping[str, Any]) -> Json:
    return {**file, "size": f"{file['bytes'] / 1_024:,.0f} KiB", "rows": f"{file['rows']:,}"}
