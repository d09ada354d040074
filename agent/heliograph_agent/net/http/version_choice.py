"""Choose the version of HTTP for a connection."""

from heliograph_agent.net.http.http1 import Http1Exchange


def choose_exchange(alpn: str) -> type[Http1Exchange]:
    """Choose the version of HTTP by the protocol that ALPN chose."""
    if alpn != "h2":
        return Http1Exchange
    from heliograph_agent.net.http.http2 import Http2Exchange  # h2 is loaded where it is spoken

    return Http2Exchange
