"""The HTTP application on a loopback port, and short ways to read its answers."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from heliograph_collector.http.app import build_app
from heliograph_collector.http.backend import Feed
from support.fake_feed import World
from support.incident_book import KEY, evening_book
from support.kazakhstan_votes import evening
from support.read_page import Read

Headers = Mapping[str, str] | None


class Site(TestClient[web.Request, web.Application]):
    """A client of the application; its methods check status and type of the answer."""

    async def html(self, path: str = "/", *, status: int = 200, headers: Headers = None) -> str:
        async with self.get(path, headers=headers) as answer:
            assert (answer.status, answer.content_type) == (status, "text/html")
            return await answer.text()

    async def page(self, path: str = "/", *, headers: Headers = None) -> Read:
        return Read(await self.html(path, headers=headers))

    async def json(self, path: str, *, status: int = 200, headers: Headers = None) -> Any:
        async with self.get(path, headers=headers) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json(content_type=None)

    async def problem(self, path: str, status: int = 400, *, headers: Headers = None) -> Any:
        """Return the body of a refusal in RFC 9457's shape."""
        async with self.get(path, headers=headers) as answer:
            refusal = (answer.status, answer.content_type)
            assert refusal == (status, "application/problem+json"), await answer.text()
            return await answer.json(content_type=None)


Serve = Callable[[Feed], Awaitable[Site]]


def open_site(feed: Feed) -> Site:
    return Site(TestServer(build_app(feed), host="127.0.0.1"))


async def open_page(
    serve: Serve, path: str = "/", world: World | None = None, **changes: Any
) -> Read:
    """Open a page over `world`, or over the evening and its log of incidents."""
    defaults: dict[str, Any] = {"book": evening_book(), "public_key": KEY.public}
    feed = (world or evening()).feed(**(defaults | changes))
    return await (await serve(feed)).page(path)


def raising(error: Exception) -> Callable[..., Awaitable[Any]]:
    """Return a query that always fails."""

    async def query(*_: object, **__: object) -> Any:
        raise error

    return query
