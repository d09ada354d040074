"""Whether there is a link at all, told by anchors nobody wants to block. See connectivity.md."""

from urllib.parse import urlsplit

from heliograph.experiments.anchors import ConnectivityConfig
from heliograph.plan import Endpoint, EndpointKind
from heliograph_agent.experiments.endpoints import visit_all
from heliograph_agent.experiments.experiment import CannotRun, Target, service_of
from heliograph_agent.net import Net


async def connectivity(target: Target, config: ConnectivityConfig, net: Net) -> None:
    anchors = service_of(target).endpoints + domestic_anchors(config.domestic)
    await visit_all(anchors, net, config.concurrency, ipv4=1)  # one is enough to tell a link


def domestic_anchors(urls: str) -> tuple[Endpoint, ...]:
    """One anchor of the group `domestic` per URL. Raises CannotRun on what is none."""
    return tuple(_anchor(url.strip()) for url in urls.split(",") if url.strip())


def _anchor(url: str) -> Endpoint:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or parts.scheme not in ("http", "https"):
        raise CannotRun(
            f"domestic cannot be {url!r}; allowed: URLs such as https://www.gov.example/."
        )
    return Endpoint(
        id=f"domestic-{host}",
        kind=EndpointKind(parts.scheme),
        host=host,
        port=port or (443 if parts.scheme == "https" else 80),
        path=parts.path or "/",
        group="domestic",
    )
