"""A TLS server with any certificate, on loopback, for what nginx would not serve.

with tls_server(ca.expired("www.example.test"), reply(b"HTTP/1.1 200 OK…")) as port: ...
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from support.loopback_ca import Leaf
from support.ports import HOST
from support.tcp_server import Handler, say_nothing, tcp_server


@contextmanager
def tls_server(
    leaf: Leaf,
    handler: Handler = say_nothing,
    *,
    host: str = HOST,
    alpn: tuple[str, ...] = ("http/1.1",),
    highest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    ciphers: str = "DEFAULT",
) -> Iterator[int]:
    """Run a TLS server; yield its port. `highest` limits the version of TLS."""
    context = leaf.server_context()
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    context.maximum_version = highest
    context.set_alpn_protocols(list(alpn))
    with tcp_server(handler, host=host, tls=context) as port:
        yield port
