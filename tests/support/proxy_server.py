"""A user's proxy: SOCKS5 (RFC 1928, 1929) or HTTP CONNECT, on loopback.

    async with proxying("socks5") as proxy:
        url = proxy.url

`proxy.asked` lists the destinations that callers named; `places` maps such a destination to another
one. As a program: python -m support.proxy_server SCHEME HOST PORT
"""

import asyncio
import base64
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address

from support.ports import HOST
from support.tcp_server import serving

Place = tuple[str, int]


@dataclass
class Proxying:
    scheme: str
    places: Mapping[Place, Place] = field(default_factory=dict)
    user: str = ""
    password: str = ""
    refuse: bool = False
    source: str = ""  # the address from which it dials
    host: str = HOST
    port: int = 0
    asked: list[Place] = field(default_factory=list)

    @property
    def url(self) -> str:
        who = f"{self.user}:{self.password}@" if self.user else ""
        return f"{self.scheme}://{who}{self.host}:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place = await (self._socks if self.scheme == "socks5" else self._http)(reader, writer)
        if place is None:
            return
        self.asked.append(place)
        host, port = self.places.get(place, place)
        local = (self.source, 0) if self.source else None
        try:
            if self.refuse:
                raise ConnectionRefusedError
            far_reader, far_writer = await asyncio.open_connection(host, port, local_addr=local)
        except OSError:
            writer.write(self._said(good=False))
            return
        writer.write(self._said(good=True))
        try:
            back = asyncio.create_task(pump(far_reader, writer))
            await pump(reader, far_writer)
            back.cancel()
        finally:
            far_writer.close()

    def _said(self, *, good: bool) -> bytes:
        if self.scheme == "socks5":
            return b"\x05" + (b"\x00" if good else b"\x05") + b"\x00\x01" + bytes(6)
        return b"HTTP/1.1 200 Led\r\n\r\n" if good else b"HTTP/1.1 502 No way\r\n\r\n"

    async def _socks(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Place | None:
        _, count = await reader.readexactly(2)
        offered = await reader.readexactly(count)
        wanted = 2 if self.user else 0
        if wanted not in offered:
            writer.write(b"\x05\xff")
            return None
        writer.write(bytes([5, wanted]))
        if self.user and not await self._lets_in(reader, writer):
            return None
        _, _, _, kind = await reader.readexactly(4)
        size = {1: 4, 4: 16}.get(kind) or (await reader.readexactly(1))[0]
        raw = await reader.readexactly(size)
        host = raw.decode() if kind == 3 else str(ip_address(raw))
        return host, int.from_bytes(await reader.readexactly(2), "big")

    async def _lets_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        _, size = await reader.readexactly(2)
        user = (await reader.readexactly(size)).decode()
        password = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        known = (user, password) == (self.user, self.password)
        writer.write(b"\x01\x00" if known else b"\x01\x01")
        return known

    async def _http(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Place | None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        token = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        if self.user and f"Proxy-Authorization: Basic {token}\r\n" not in head:
            writer.write(b"HTTP/1.1 407 Who are you\r\n\r\n")
            return None
        host, _, port = head.split()[1].rpartition(":")
        return host.strip("[]"), int(port)


@asynccontextmanager
async def proxying(
    scheme: str,
    places: Mapping[Place, Place] | None = None,
    *,
    user: str = "",
    password: str = "",
    refuse: bool = False,
    source: str = "",
) -> AsyncIterator[Proxying]:
    proxy = Proxying(scheme, places or {}, user, password, refuse, source)
    async with serving(proxy.serve) as proxy.port:
        yield proxy


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()


async def _forever(scheme: str, host: str, port: str) -> None:
    async with serving(Proxying(scheme).serve, host, None, int(port)):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_forever(*sys.argv[1:4]))
