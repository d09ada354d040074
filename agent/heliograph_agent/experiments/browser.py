"""Fetch a page with the TLS and HTTP of a browser. See browser.md."""

from heliograph.experiments.web import BrowserConfig
from heliograph_agent.experiments.endpoints import find_addresses
from heliograph_agent.experiments.experiment import BadTarget, CannotRun, Target
from heliograph_agent.experiments.page_url import parse_page
from heliograph_agent.net import Net


async def browser(target: Target, config: BrowserConfig, net: Net) -> None:
    page = parse_page(target.value)
    if page is None or page.scheme != "https":
        raise BadTarget(f"{target.value!r} is no URL of a page over TLS: give https://….")
    for address in (await find_addresses(page.host, net))[:1]:
        _, stream = await net.connect(address.literal, page.port, on=address.lookup)
        if stream is None:
            return
        try:
            await net.browse(stream, page.url, browser=config.browser, body_limit=config.body_limit)
        except ValueError as error:  # curl_cffi is not installed
            raise CannotRun(str(error)) from error
        finally:
            stream.close()
