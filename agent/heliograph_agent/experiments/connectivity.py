"""Test the vantage's own connectivity by neutral anchors. See connectivity.md."""

from urllib.parse import urlsplit

from heliograph.experiments.anchors import ConnectivityConfig
from heliograph.plan import Endpoint, EndpointKind
from heliograph_agent.experiments.endpoints import parse_host, visit_endpoints
from heliograph_agent.experiments.experiment import CannotRun, Target, require_service
from heliograph_agent.net import Net


async def connectivity(target: Target, config: ConnectivityConfig, net: Net) -> None:
    anchors = require_service(target).endpoints + parse_domestic_anchors(config.domestic)
    # One address proves connectivity, and an anchor by address IPv6.
    await visit_endpoints(anchors, net, config.concurrency, ipv4=1, until_answered=True)


def parse_domestic_anchors(urls: str) -> tuple[Endpoint, ...]:
    """Make one anchor of the group `domestic` for each URL. Raises CannotRun."""
    return tuple(_make_anchor(url.strip()) for url in urls.split(",") if url.strip())


def _make_anchor(url: str) -> Endpoint:
    try:
        parts = urlsplit(url)
        host = parse_host(parts.hostname or "")
        port = parts.port
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
