"""Compare the transfer rate of two sites over the same path. See throttling.md."""

from dataclasses import dataclass

from heliograph.experiments.network import ThrottlingConfig
from heliograph_agent.experiments.endpoints import Address, find_addresses
from heliograph_agent.experiments.experiment import BadTarget, Target
from heliograph_agent.experiments.page_url import Page, parse_page
from heliograph_agent.net import Net

# Chromium's request for a film: compressed bytes would not show the requested rate.
UNCODED = "identity;q=1, *;q=0"
LATE_US = 65_000_000  # no transfer begins later: one may take 50 s, and a task has 120


@dataclass(frozen=True, slots=True)
class TransferSource:
    """Hold the page to fetch and one address, so that all transfers share one path."""

    page: Page
    address: Address


async def throttling(target: Target, config: ThrottlingConfig, net: Net) -> None:
    candidates = [
        await _find_source(label, url, net)
        for label, url in (("neutral", config.neutral), ("target", target.value))
    ]
    sources = [source for source in candidates if source is not None]
    # In turn, so that changes of the path affect both.
    for _ in range(config.transfers):
        for source in sources:
            if await _fetch_source(source, config, net) > LATE_US:
                return


async def _find_source(label: str, url: str, net: Net) -> TransferSource | None:
    page = parse_page(url, label)
    if page is None:
        raise BadTarget(f"{label}: {url!r} is no URL of a web page: give http://… or https://….")
    addresses = await find_addresses(page.host, net, label=label)
    return TransferSource(page, addresses[0]) if addresses else None


async def _fetch_source(source: TransferSource, config: ThrottlingConfig, net: Net) -> int:
    """Make one transfer over a separate connection; return its end in µs of the trace."""
    page = source.page
    address = source.address
    headers = {"Accept-Encoding": UNCODED}
    if config.ranged:
        headers["Range"] = f"bytes=0-{config.bytes - 1}"
    result, connection = await net.connect(
        address.literal, page.port, on=address.lookup, endpoint=page.label
    )
    stream = connection
    try:
        if stream is not None and page.scheme == "https":
            result, stream = await net.handshake(stream, page.host)
        if stream is not None:
            result = await net.http(
                stream, page.url, headers=headers, body_limit=config.bytes, watch=True
            )
    finally:
        if stream is not None:
            stream.close()
    return result.ended_us
