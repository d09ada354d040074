"""Visit a page as a browser: its handshake, the head of its reply and its body, a step each."""

import asyncio
from typing import Protocol

from heliograph.error_group import find_first_error
from heliograph.failure import Operation
from heliograph_agent.net.browser.page import BrowserPage
from heliograph_agent.net.browser.relay import ObservingRelay
from heliograph_agent.net.config import NetConfig
from heliograph_agent.net.step import FactSource, Step, StepFacts
from heliograph_agent.net.tcp import read_segment_bytes
from heliograph_agent.net.trace import ByteStream, StepResult


class StepMaker(Protocol):
    """Make the steps of a net."""

    def make_step(
        self,
        operation: Operation,
        deadline_s: float,
        on: StepResult | None,
        endpoint: str | None = None,
        source: FactSource | None = None,
        facts: StepFacts | None = None,
    ) -> Step: ...


class HandshakeFacts:
    """Describe the handshake of a page."""

    def __init__(self, page: BrowserPage) -> None:
        self._page = page

    def step_facts(self) -> StepFacts:
        return {"tls": self._page.describe_handshake()}


class PageFacts:
    """Describe the reply of a page."""

    def __init__(self, page: BrowserPage) -> None:
        self._page = page

    def step_facts(self) -> StepFacts:
        return {"http": self._page.describe_page()}


class BrowserVisit:
    """Fetch one page over an open stream."""

    def __init__(self, stream: ByteStream, url: str, browser: str, token: bytes) -> None:
        """Prepare the page. Raises ValueError without curl_cffi."""
        self._stream = stream
        self._relay = ObservingRelay(stream, token)
        segment_bytes = read_segment_bytes(stream.writer.transport)
        self._page = BrowserPage(self._relay, url, browser, segment_bytes)

    async def run(self, steps: StepMaker, config: NetConfig, body_limit: int) -> StepResult:
        """Make the steps, up to the first that fails, and close the stream.

        Raises ValueError when curl_cffi cannot send anything.
        """
        whole_s = config.tls_s + config.http_s + config.body_s
        try:
            async with asyncio.TaskGroup() as group:
                relaying = group.create_task(self._relay.run())
                group.create_task(self._page.run(config.ca_file, whole_s, body_limit))
                try:
                    return await self._make_steps(steps, config)
                finally:
                    self._relay.close()
                    relaying.cancel()
        except ExceptionGroup as errors:
            raise find_first_error(errors) from errors

    async def _make_steps(self, steps: StepMaker, config: NetConfig) -> StepResult:
        page = self._page
        handshake = HandshakeFacts(page)
        reply = PageFacts(page)
        operation = Operation.TLS_HANDSHAKE
        on = self._stream.step_result
        with steps.make_step(operation, config.tls_s, on, source=handshake) as step:
            await page.wait_handshake()
        if not step.result.is_success:
            return step.result
        operation = Operation.HTTP_ROUND_TRIP
        with steps.make_step(operation, config.http_s, step.result, source=reply) as step:
            await page.wait_head()
        if not step.result.is_success:
            return step.result
        operation = Operation.READ_BODY
        with steps.make_step(operation, config.body_s, step.result, source=reply) as step:
            await page.wait_body()
        return step.result
