"""Receivers of alerts on loopback that accept, fail, hang, redirect or flood."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from support.web_app import serve_app


@dataclass
class Receiving:
    """The requests of a receiver; `status` may be changed between two tries."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False
    body: int = 2  # bytes of the answer
    content: bytes = b""  # the answer itself, in place of so many bytes
    origin: str = ""
    came: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.came.append((request.method, request.path_qs, headers, await request.read()))
        self.arrived.set()
        if self.hang:
            await asyncio.Event().wait()
        response = web.StreamResponse(status=self.status, headers=self.headers)
        await response.prepare(request)
        if self.content:
            await response.write(self.content)
            return response
        for _ in range(max(1, self.body // 65_536)):
            await response.write(b"o" * min(65_536, self.body))
        return response


@asynccontextmanager
async def receiving(**ways: Any) -> AsyncIterator[Receiving]:
    found = Receiving(**ways)
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", found.answer)
    async with serve_app(app) as found.origin:
        yield found


class Rebinding(AbstractResolver):
    """Resolve to the given addresses, one after another, the last one repeatedly."""

    def __init__(self, *addresses: str) -> None:
        self.asked = 0
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        address = self._addresses[min(self.asked, len(self._addresses) - 1)]
        self.asked += 1
        found = {"hostname": host, "host": address, "port": port}
        return [ResolveResult(**found, family=socket.AF_INET, proto=0, flags=0)]  # type: ignore[typeddict-item]  # built in two steps

    async def close(self) -> None:
        return None
