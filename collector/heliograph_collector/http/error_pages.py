"""A refusal as a page, for whoever came with a browser; programs keep their problem JSON."""

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware

from heliograph_collector.http import i18n
from heliograph_collector.http.i18n import Tongue
from heliograph_collector.http.problem import Handler
from heliograph_collector.http.templates import environment

_FOR_PROGRAMS = ("/api/", "/v1/", "/openapi.json", "/healthz", "/readyz", "/metrics", "/feeds/")
_PROBLEM = "application/problem+json"
_TOLD = (400, 404, 429, 500, 503)  # what a reader can run into; each has words of its own
_MAX_ACCEPT = 1_000  # characters of the header that are looked at


def as_pages(assets: Mapping[str, str]) -> Middleware:
    """Stands around what answers problems. `assets` maps a static file's name to its address."""

    @web.middleware
    async def tell(request: web.Request, handler: Handler) -> web.StreamResponse:
        answer = await handler(request)
        if not isinstance(answer, web.Response) or not _reads(request, answer):
            return answer
        page = web.Response(
            status=answer.status,
            text=render(json.loads(answer.text or "{}"), assets, i18n.of(request)),
            content_type="text/html",
            headers={"Vary": "Accept, Accept-Language"},
        )
        page.headers.update({n: v for n, v in answer.headers.items() if n not in _OF_THE_BODY})
        return page

    return tell


_OF_THE_BODY = ("Content-Type", "Content-Length", "Content-Encoding")


def _reads(request: web.Request, answer: web.Response) -> bool:
    return (
        answer.content_type == _PROBLEM
        and answer.status in _TOLD
        and not request.path.startswith(_FOR_PROGRAMS)
        and "text/html" in request.headers.get("Accept", "")[:_MAX_ACCEPT]
    )


def render(problem: Mapping[str, Any], assets: Mapping[str, str], t: Tongue) -> str:
    """`problem` is RFC 9457's; its detail is English, and what it says in short is not."""
    return (
        environment()
        .get_template("refusal.html")
        .render(
            t=t,
            assets=assets,
            lede=t(f"refused.lede_{problem['status']}"),
            status=problem["status"],
            detail="" if problem["status"] == 404 else problem["detail"],
            parameter=problem.get("parameter", ""),
            allowed=problem.get("allowed", ""),
        )
    )
