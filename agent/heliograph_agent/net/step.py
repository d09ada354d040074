"""One step taken: its wait bounded, its end classified, its observation written, come what may."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypedDict

from heliograph.failure import Failure, Operation
from heliograph.observation import Dns, Exchange, Hop, Http, Observation, Tcp, Tls, Udp
from heliograph_agent.net.deadline import Deadline
from heliograph_agent.net.failure_mapping import CAUGHT, failure_of
from heliograph_agent.net.scrub import Scrubber
from heliograph_agent.net.trace import Seen, Trace


class Facts(TypedDict, total=False):
    """What a step learnt."""

    dns: Dns
    tcp: Tcp
    udp: Udp
    tls: Tls
    http: Http
    exchange: Exchange
    hop: Hop


@dataclass(frozen=True, slots=True)
class Step:
    trace: Trace
    scrub: Scrubber
    operation: Operation
    on: Seen | None
    endpoint: str

    async def take(
        self,
        work: Callable[[], Awaitable[None]],
        deadline_s: float,
        facts: Callable[[], Facts],
        idle_us: Callable[[], int] = lambda: 0,
    ) -> Seen:
        """Do `work` and write down how it ended. `facts` is asked once, at the end;
        `idle_us` is what the work then listened on for, and no part of how long the step took.

        A cancellation is written down as `interrupted` and goes on up. ValueError goes up and
        leaves no observation: nothing was tried.
        """
        started_us = self.trace.elapsed_us()
        failure: Failure | None = None
        detail = ""
        try:
            with Deadline(deadline_s):
                await work()
        except CAUGHT as error:
            failure, detail = failure_of(error)
        except asyncio.CancelledError:
            self._write(started_us, Failure.INTERRUPTED, "", facts)
            raise
        return self._write(started_us, failure, detail, facts, idle_us())

    def _write(
        self,
        started_us: int,
        failure: Failure | None,
        detail: str,
        facts: Callable[[], Facts],
        idle_us: int = 0,
    ) -> Seen:
        # Before the facts are put together: to read a chain takes as long as a handshake nearby.
        duration_us = self.trace.elapsed_us() - started_us - idle_us
        seen = Observation(
            operation=self.operation,
            started_us=started_us,
            duration_us=duration_us,
            failure=failure,
            failure_detail=detail,
            parent=None if self.on is None else self.on.index,
            endpoint=self.endpoint,
            **facts(),
        )
        return self.trace.add(self.scrub.observation(seen))
