"""The collector's own door for lone envelopes in front of a scripted collector's answers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from heliograph.http_envelope import Request
from heliograph.plan import Carrier, Entrance
from heliograph.v1 import intake_pb2
from heliograph_collector.ingest import post
from support.ports import HOST
from support.scripted_intake import Collector
from support.tcp_server import serving


@asynccontextmanager
async def post_door(
    collector: Collector, folder: Path, ways: list[str] | None = None
) -> AsyncIterator[Entrance]:
    """Where it is; `ways` gets what each envelope's peer was."""
    pem = folder / "post.pem"
    pem.write_bytes(collector.who.key + collector.who.certificate)

    async def accept(request: Request, way: str) -> intake_pb2.SubmitResponse:
        if ways is not None:
            ways.append("" if request.place else way)
        return await collector.respond(request.envelope, request.place, request.plan)

    async with post.serving(accept, HOST, 0, pem) as port:
        yield Entrance(carrier=Carrier.POST, host=HOST, port=port)


@asynccontextmanager
async def front(
    port: int, spoil: Callable[[bytes, bytes], bytes | None], heard: list[bytes] | None = None
) -> AsyncIterator[int]:
    """A port that leads to `port`, as a censor's box would: for each piece from the client
    `spoil(all so far, piece)` says what goes on; None breaks the connection. `heard` gets each
    connection's first bytes."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(HOST, port)
        back = asyncio.create_task(_pump(far_reader, writer))
        so_far = b""
        try:
            while piece := await reader.read(65_536):
                if not so_far and heard is not None:
                    heard.append(piece)
                so_far += piece
                passed = spoil(so_far, piece)
                if passed is None:
                    return
                far_writer.write(passed)
        finally:
            back.cancel()
            far_writer.close()

    async with serving(carry) as there:
        yield there


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
