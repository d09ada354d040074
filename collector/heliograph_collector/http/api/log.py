"""`/api/v1/log`: the lines of the alert log exactly as signed, and their proof."""

from collections.abc import Sequence
from hashlib import sha256
from itertools import accumulate
from typing import Protocol

import msgspec
from aiohttp import web

from heliograph_collector.http import headers
from heliograph_collector.http.api.parameters import AFTER, LIMIT, LINES, parse
from heliograph_collector.incidents.published.log import LogProof
from heliograph_collector.incidents.state import IncidentBook, LogEntry

LOG_PARAMETERS = (AFTER, LIMIT, LINES)
MEDIA = "application/jsonl"
_MAX_AGE_S = 5
_MAX_BYTES = 4_194_304
_LINES_PER_WRITE = 64  # lines in one write


class SignedLog(Protocol):
    """The entries read so far, and the Ed25519 key that verifies them."""

    book: IncidentBook
    public_key: bytes


class AlertLogApi:
    def __init__(self, log: SignedLog) -> None:
        self._log = log

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        values = parse(request.query, LOG_PARAMETERS)
        book = self._log.book
        after = values.get(AFTER, 0)
        limit = values.get(LIMIT)
        if values.get(LINES) == "jsonl":
            end = len(book.entries) if limit is None else after + limit
            return await _send_lines(request, book.entries[after:end])
        return self._build_page(request, _fit_rows(book.entries[after : after + (limit or 100)]))

    def _build_page(self, request: web.Request, rows: Sequence[LogEntry]) -> web.Response:
        """Build a page with the lines inserted unchanged, byte for byte as signed."""
        book = self._log.book
        last = rows[-1].number if rows else len(book.entries)
        proof = LogProof(
            head=book.head,
            total=len(book.entries),
            public_key=self._log.public_key.hex(),
            next=last if last < len(book.entries) else None,
        )
        lines = ",".join(entry.line.decode() for entry in rows)
        content = f'{{"entries":[{lines}],{msgspec.json.encode(proof).decode()[1:]}'
        return headers.respond_text(request, content, "application/json", max_age_s=_MAX_AGE_S)


def _fit_rows(rows: Sequence[LogEntry]) -> Sequence[LogEntry]:
    """Return as many rows as fit into one response, at least one."""
    sizes = accumulate(len(entry.line) for entry in rows)
    return rows[: max(1, sum(size <= _MAX_BYTES for size in sizes))]


async def _send_lines(request: web.Request, rows: Sequence[LogEntry]) -> web.StreamResponse:
    digest = sha256("".join(entry.hash for entry in rows).encode()).hexdigest()[:20]
    cache_headers = {"ETag": f'"{digest}"', "Cache-Control": f"public, max-age={_MAX_AGE_S}"}
    if headers.etag_matches(request, digest):
        return web.Response(status=304, headers=cache_headers)
    response = web.StreamResponse(
        headers={**cache_headers, "Content-Type": f"{MEDIA}; charset=utf-8"}
        | {"Content-Disposition": 'attachment; filename="alerts.jsonl"'}
    )
    response.content_length = sum(len(entry.line) + 1 for entry in rows)
    headers.apply_headers(request, response)
    await response.prepare(request)
    for first in range(0, len(rows), _LINES_PER_WRITE):
        batch = rows[first : first + _LINES_PER_WRITE]
        await response.write(b"".join(entry.line + b"\n" for entry in batch))
    return response
