"""Whether one site comes slower than another over the same path. See throttling.md."""

from dataclasses import dataclass

from heliograph.experiments.network import ThrottlingConfig
from heliograph_agent.experiments.endpoints import Address, Page, find, page_of
from heliograph_agent.experiments.experiment import CannotRun, Target
from heliograph_agent.net import Net, Seen

LATE_US = 65_000_000  # no transfer begins later: one may take 50 s, and the runner has 120


@dataclass(frozen=True, slots=True)
class Source:
    """What is fetched over and over, and where from: one address, so that the path is one."""

    page: Page
    address: Address


async def throttling(target: Target, config: ThrottlingConfig, net: Net) -> None:
    found = [
        await _source(label, url, net)
        for label, url in (("neutral", config.neutral), ("target", target.text))
    ]
    sources = [source for source in found if source is not None]
    # In turn, so that what the path itself does meanwhile happens to both.
    for _ in range(config.transfers):
        for source in sources:
            if await _fetch(source, config, net) > LATE_US:
                return


async def _source(label: str, url: str, net: Net) -> Source | None:
    """None when the name has no address. Raises CannotRun."""
    page = page_of(url, label)
    if page is None:
        raise CannotRun(f"{label}: {url!r} is no URL of a web page: give http://… or https://….")
    addresses = await find(page.host, net, label=label)
    return Source(page, addresses[0]) if addresses else None


async def _fetch(source: Source, config: ThrottlingConfig, net: Net) -> int:
    """One transfer over a connection of its own; when it ended, in µs of the trace."""
    page, address = source.page, source.address
    headers = {"Range": f"bytes=0-{config.bytes - 1}"} if config.ranged else {}
    seen, plain = await net.connect(address.literal, page.port, on=address.on, endpoint=page.label)
    stream = plain
    try:
        if stream is not None and page.scheme == "https":
            seen, stream = await net.handshake(stream, page.host)
        if stream is not None:
            seen = await net.http(
                stream, page.url, headers=headers, body_limit=config.bytes, watch=True
            )
    finally:
        if stream is not None:
            stream.close()
    return _ended_us(seen)


def _ended_us(seen: Seen) -> int:
    return seen.observation.started_us + seen.observation.duration_us
