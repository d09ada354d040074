"""The ClientHello that an observer can read never names this project."""

import asyncio
import ssl

import pytest

from heliograph_agent.uplink.channel import FALLBACK_NAME, open_channel
from heliograph_collector.fleet.certificate import COMMON_NAME, make_certificate
from support.tcp_server import tcp_server


def certificate(*hosts: str) -> str:
    pem = make_certificate(hosts).decode()
    return pem[pem.index("-----BEGIN CERTIFICATE") :]


async def hello_of(host: str, pem: str) -> bytes:
    """The first bytes that an agent sends to this host's port."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop.call_soon_threadsafe(heard.put_nowait, await reader.read(4_096))
        writer.close()

    with tcp_server(listen) as port:
        channel = open_channel(f"{host}:{port}", pem)
        try:
            channel.get_state(try_to_connect=True)
            async with asyncio.timeout(60):
                return await heard.get()
        finally:
            await channel.close()


@pytest.mark.parametrize(
    ("host", "known", "sent"),
    [
        ("localhost", ("collector.example",), b"localhost"),
        ("127.0.0.1", ("127.0.0.1",), b""),  # an address in the certificate needs no name
        ("127.0.0.1", (), FALLBACK_NAME.encode()),
    ],
)
async def test_client_hello_name_is_neutral(host: str, known: tuple[str, ...], sent: bytes) -> None:
    hello = await hello_of(host, certificate(*known))
    assert COMMON_NAME.encode() not in hello
    assert b"heliograph" not in hello.lower()
    assert sent in hello


def test_fallback_name_is_in_certificate() -> None:
    assert FALLBACK_NAME.encode() in ssl.PEM_cert_to_DER_cert(certificate())
