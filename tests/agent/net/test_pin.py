"""Fetching a certificate to pin, from a server nobody vouches for."""

import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from heliograph_agent.net.pin import fetch_certificate, spki_sha256
from support.loopback_ca import LoopbackCA
from support.ports import free_port
from support.tcp_server import reset_after_first_bytes, say_nothing, tcp_server
from support.tls_server import tls_server


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_leaf_and_its_key(ca: LoopbackCA, host: str) -> None:
    leaf = ca.expired("whoever.test")
    with tls_server(leaf, alpn=("h2",)) as port:
        der = await fetch_certificate(host, port, 10)
    certificate = x509.load_pem_x509_certificate(leaf.chain.read_bytes())
    assert der == certificate.public_bytes(Encoding.DER)
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert spki_sha256(der) == hashlib.sha256(key).digest()


async def test_failures_are_os_errors() -> None:
    with pytest.raises(ConnectionRefusedError):
        await fetch_certificate("127.0.0.1", free_port(), 10)
    with tcp_server(reset_after_first_bytes) as port, pytest.raises(ConnectionResetError):
        await fetch_certificate("127.0.0.1", port, 10)
    with tcp_server(say_nothing) as port, pytest.raises(TimeoutError):
        await fetch_certificate("127.0.0.1", port, 0.2)


def test_what_is_no_certificate() -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        spki_sha256(b"nothing")
