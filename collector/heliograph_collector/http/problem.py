"""RFC 9457 problem JSON: a refusal names the parameter and the correction.

A bug is a 500 and a log entry. A browser gets the same refusal as a page.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import msgspec
from aiohttp import web
from aiohttp.typedefs import Middleware

from heliograph_collector.http import i18n
from heliograph_collector.http.backend import PublicScope, find_service
from heliograph_collector.http.i18n import Locale
from heliograph_collector.http.templates import PageContent, render_page
from heliograph_collector.model.published.files import ProblemDocument
from heliograph_collector.store.clickhouse import StoreError, TooMuchError, TooSlowError

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_PROGRAM_PATHS = ("/api/", "/v1/", "/openapi.json", "/healthz", "/readyz", "/metrics", "/feeds/")
_PROBLEM = "application/problem+json"
_PAGE_STATUSES = (400, 404, 429, 500, 503)  # statuses that readers meet; each has a text
_BODY_HEADERS = ("Content-Type", "Content-Length", "Content-Encoding")
_MAX_ACCEPT = 1_000  # characters of the header that are parsed


class Problem(Exception):  # noqa: N818 -- RFC 9457's own word
    """An error that the reader can correct, by `parameter` and `allowed`."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        *,
        parameter: str = "",
        allowed: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = dict(headers or {})
        self.document = ProblemDocument(
            type="about:blank",
            title=title,
            status=status,
            detail=detail,
            parameter=parameter,
            allowed=allowed,
        )


def bad_parameter(name: str, detail: str, allowed: str) -> Problem:
    """Return the refusal of a parameter's value."""
    return Problem(400, "Bad parameter", detail, parameter=name, allowed=allowed)


def unknown_name(parameter: str, claim: str, allowed: str) -> Problem:
    """Return the refusal of an unknown name: zeros would pass for a measurement."""
    detail = f"There is no {parameter} {claim[:64]!a}; use {allowed}."
    return Problem(404, "Unknown name", detail, parameter=parameter, allowed=allowed)


def require_service(scope: PublicScope, claim: str | None) -> str | None:
    """Return a service's name, None for none. Raises Problem 404 for an unknown one."""
    name = find_service(scope, claim or "")
    if claim and not name:
        raise unknown_name("service", claim, ", ".join(scope.services))
    return name or None


def build_response(problem: Problem) -> web.Response:
    return web.Response(
        status=problem.status,
        headers=problem.headers,
        body=msgspec.json.encode(problem.document),
        charset="utf-8",
        content_type="application/problem+json",
    )


_STORE_UNAVAILABLE = Problem(
    503,
    "Store away",
    "The store does not answer just now. Nothing is lost; try again in ten seconds.",
    headers={"Retry-After": "10"},  # a start takes about so long
)
_TOO_SLOW = Problem(
    503,
    "Too slow",
    "The store had no time to finish this. Try again in a minute; if it takes too long again, ask "
    "for a shorter time or a narrower scope.",
    headers={"Retry-After": "60"},
)


@web.middleware
async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Convert all exceptions to problem JSON."""
    try:
        return await handler(request)
    except Problem as problem:
        return build_response(problem)
    except web.HTTPException as refusal:
        return build_response(_from_aiohttp(request, refusal))
    except TooSlowError:  # not the reader's fault where the machine is busy
        return build_response(_TOO_SLOW)
    except TooMuchError:
        return build_response(
            Problem(400, "Too much", "Ask for a shorter time or a narrower scope.")
        )
    except StoreError as error:
        log.warning("the store did not answer: %s", error)
        return build_response(_STORE_UNAVAILABLE)
    except ConnectionError:
        raise  # the reader has disconnected
    except Exception:
        log.exception("bug while answering %s %s", request.method, request.match_info.route.name)
        return build_response(
            Problem(500, "Bug", "This is our mistake. It was logged; please try again later.")
        )


def _from_aiohttp(request: web.Request, refusal: web.HTTPException) -> Problem:
    details = {
        404: "There is nothing here. The paths that exist are listed at /openapi.json.",
        405: f"{request.method} does not work here; see the Allow header.",
        413: "The body is larger than this path takes.",
    }
    headers = {"Allow": refusal.headers["Allow"]} if "Allow" in refusal.headers else {}
    detail = details.get(refusal.status, refusal.reason)
    return Problem(refusal.status, refusal.reason, detail, headers=headers)


def render_problems(assets: Mapping[str, str]) -> Middleware:
    """Return a middleware that converts problem JSON to pages for browsers.

    `assets` maps a static file's name to its address.
    """

    @web.middleware
    async def convert_problem(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        if not isinstance(response, web.Response) or not _wants_page(request, response):
            return response
        document = msgspec.json.decode(response.text or "", type=ProblemDocument)
        page = web.Response(
            status=response.status,
            text=render_problem(document, assets, i18n.request_locale(request)),
            content_type="text/html",
            headers={"Vary": "Accept, Accept-Language"},
        )
        page.headers.update({n: v for n, v in response.headers.items() if n not in _BODY_HEADERS})
        return page

    return convert_problem


def _wants_page(request: web.Request, response: web.Response) -> bool:
    return (
        response.content_type == _PROBLEM
        and response.status in _PAGE_STATUSES
        and not request.path.startswith(_PROGRAM_PATHS)
        and "text/html" in request.headers.get("Accept", "")[:_MAX_ACCEPT]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalContent(PageContent):
    template: ClassVar[str] = "refusal.html"
    lede: str
    status: int
    detail: str
    parameter: str
    allowed: str


def render_problem(problem: ProblemDocument, assets: Mapping[str, str], t: Locale) -> str:
    """Render a problem as a page; the summary is translated, its detail is English."""
    return render_page(
        RefusalContent(
            t=t,
            assets=assets,
            lede=t(f"refused.lede_{problem.status}"),
            status=problem.status,
            detail="" if problem.status == 404 and not problem.parameter else problem.detail,
            parameter=problem.parameter,
            allowed=problem.allowed,
        )
    )
