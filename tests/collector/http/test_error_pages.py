"""A missing page is a page for browsers and problem JSON for programs."""

from typing import Any

import pytest

from support.kazakhstan_votes import evening
from support.read_page import Read
from support.site import Serve

_BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


async def ask(client: Any, path: str, **headers: str) -> tuple[int, str, str]:
    answer = await client.get(path, headers={**_BROWSER, **headers})
    return answer.status, answer.content_type, await answer.text()


async def test_a_browser_gets_a_page_that_leads_on_in_the_reader_s_language(serve: Serve) -> None:
    client = await serve(evening().feed())
    status, kind, html = await ask(client, "/no/such/page")
    assert (status, kind) == (404, "text/html")
    assert "This page does not exist." in html
    assert {"/", "/methodology", "/docs"} <= {a.get("href") for _, a in Read(html).elements}
    _, _, html = await ask(client, "/no/such/page", **{"Accept-Language": "fa"})
    for part in ('dir="rtl"', "اینجا چنین صفحه‌ای نیست.", "۴۰۴"):
        assert part in html
    status, kind, html = await ask(client, "/?country=%3Cb%3E")
    assert (status, kind) == (400, "text/html")
    assert "<code>country</code>" in html
    assert "<b>" not in html


async def test_a_reader_over_the_limit_gets_a_retry_time(serve: Serve) -> None:
    client = await serve(evening().feed(requests_a_minute=2, client_address=lambda way: "one"))
    for _ in range(3):
        answer = await client.get("/methodology", headers=_BROWSER)
    assert (answer.status, answer.content_type) == (429, "text/html")
    assert int(answer.headers["Retry-After"]) > 0
    assert "RateLimit" in answer.headers


@pytest.mark.parametrize(
    ("path", "status"),
    [("/no/such/page", 404), ("/?country=kzz", 400), ("/?country=qq", 404), ("/?lang=xx", 400)],
)
async def test_a_program_gets_problem_json_and_so_does_a_browser_from_the_api(
    serve: Serve, path: str, status: int
) -> None:
    client = await serve(evening().feed())
    await client.problem(path, status)
    told = await ask(client, "/api/v1/incidents/nothing")
    assert told[:2] == (404, "application/problem+json")
