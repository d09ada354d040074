"""The collector's entrance for single envelopes, with scripted answers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from heliograph.http_envelope import EnvelopeRequest
from heliograph.plan import Carrier, Entrance
from heliograph.v1 import intake_pb2
from heliograph_collector.ingest.post_server import serve_post
from support.ports import HOST
from support.proxy_server import pump
from support.scripted_intake import Collector
from support.tcp_server import serving


@asynccontextmanager
async def post_entrance(
    collector: Collector, folder: Path, peers: list[str] | None = None
) -> AsyncIterator[Entrance]:
    """Yield the entrance; `peers` gets the address of each envelope's sender."""
    pem = folder / "post.pem"
    pem.write_bytes(collector.who.key + collector.who.certificate)

    async with serve_post(_Responder(collector, peers), HOST, 0, pem) as port:
        yield Entrance(carrier=Carrier.POST, host=HOST, port=port)


@dataclass
class _Responder:
    collector: Collector
    peers: list[str] | None

    async def respond(
        self, request: EnvelopeRequest, address_chain: str
    ) -> intake_pb2.SubmitResponse:
        if self.peers is not None:
            self.peers.append("" if request.intermediary else address_chain)
        return await self.collector.respond(request.envelope, request.intermediary, request.plan)


@asynccontextmanager
async def front(
    port: int, spoil: Callable[[bytes, bytes], bytes | None], heard: list[bytes] | None = None
) -> AsyncIterator[int]:
    """Forward a port to `port`, as a censor's box would.

    For each piece from the client `spoil(all so far, piece)` returns what to pass on; None breaks
    the connection. `heard` gets each connection's first bytes.
    """

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(HOST, port)
        back = asyncio.create_task(pump(far_reader, writer))
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
