"""The certificate a TLS server shows, for pinning: unverified, because the pin is the proof."""

import asyncio

from heliograph_agent.net.certificates import spki_sha256
from heliograph_agent.net.tcp import dial
from heliograph_agent.net.tls import TlsSession, client_context

__all__ = ["fetch_certificate", "spki_sha256"]


async def fetch_certificate(host: str, port: int, deadline_s: float) -> bytes:
    """DER of the leaf. Raises OSError (TimeoutError and ssl.SSLError are ones) or EOFError."""
    async with asyncio.timeout(deadline_s):
        wire = await dial(host, port, lambda _: None)
        try:
            session = TlsSession(client_context(("h2",)), None)
            await session.handshake(wire)
            return session.chain()[0]
        finally:
            wire.transport.abort()
