"""RFC 9457 problem JSON: a refusal names the place and the cure, a bug is a 500 and a log."""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from heliograph_collector.store.clickhouse import StoreError, TooMuchError

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Problem(Exception):  # noqa: N818 -- RFC 9457's own word
    """Something the reader can mend. `parameter` and `allowed` are the cure."""

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
        self.body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
        if parameter:
            self.body["parameter"] = parameter
        if allowed:
            self.body["allowed"] = allowed


def respond(problem: Problem) -> web.Response:
    return web.Response(
        status=problem.status,
        headers=problem.headers,
        text=json.dumps(problem.body, ensure_ascii=True),
        content_type="application/problem+json",
    )


_STORE_AWAY = Problem(
    503,
    "Store away",
    "The store does not answer just now. Nothing is lost; try again in a minute.",
    headers={"Retry-After": "60"},
)


@web.middleware
async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Problems and aiohttp's own refusals as problem JSON; nothing else ever reaches a reader."""
    try:
        return await handler(request)
    except Problem as problem:
        return respond(problem)
    except web.HTTPException as refusal:
        return respond(_from_aiohttp(request, refusal))
    except TooMuchError:
        return respond(Problem(400, "Too much", "Ask for a shorter time or a narrower scope."))
    except StoreError as error:
        log.warning("the store did not answer: %s", error)
        return respond(_STORE_AWAY)
    except ConnectionError:
        raise  # the reader went away: nobody is left to answer
    except Exception:
        log.exception("bug while answering %s %s", request.method, request.match_info.route.name)
        return respond(
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
