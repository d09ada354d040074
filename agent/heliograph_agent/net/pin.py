"""The certificate a TLS server shows, for pinning: unverified, because the pin is the proof."""

import asyncio

from heliograph_agent.net.certificates import spki_sha256
from heliograph_agent.net.tcp import Wire
from heliograph_agent.net.tls import TlsSession, client_context

__all__ = ["fetch_certificate", "spki_sha256"]


async def fetch_certificate(host: str, port: int, deadline_s: float) -> bytes:
    """DER of the leaf. Raises OSError (TimeoutError and ssl.SSLError are ones) or EOFError."""
    async with asyncio.timeout(deadline_s):
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        wire = Wire(reader, lambda _: None)
        transport, _ = await loop.create_connection(lambda: wire, host, port)
        writer = asyncio.StreamWriter(transport, wire, reader, loop)
        try:
            session = TlsSession(client_context(("h2",)), None)
            _kept = await session.handshake(reader, writer)  # collected open, it would warn
            return session.chain()[0]
        finally:
            transport.abort()
