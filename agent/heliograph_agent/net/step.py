"""Run one step: bound its wait, classify its end, record its observation."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypedDict

from heliograph.failure import Failure, Operation
from heliograph.observation import Dns, Exchange, Hop, Http, Observation, Tcp, Tls, Udp
from heliograph_agent.net.deadline import Deadline
from heliograph_agent.net.failure_mapping import NETWORK_ERRORS, classify_error
from heliograph_agent.net.scrub import Scrubber
from heliograph_agent.net.trace import StepResult, StepTrace


class StepFacts(TypedDict, total=False):
    """What a step learnt."""

    dns: Dns
    tcp: Tcp
    udp: Udp
    tls: Tls
    http: Http
    exchange: Exchange
    hop: Hop


@dataclass(frozen=True, slots=True)
class StepRecorder:
    trace: StepTrace
    scrubber: Scrubber
    operation: Operation
    on: StepResult | None
    endpoint: str

    async def run(
        self,
        work: Callable[[], Awaitable[None]],
        deadline_s: float,
        facts: Callable[[], StepFacts],
        idle_us: Callable[[], int] = lambda: 0,
    ) -> StepResult:
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
        except NETWORK_ERRORS as error:
            failure, detail = classify_error(error)
        except asyncio.CancelledError:
            self._write_observation(started_us, Failure.INTERRUPTED, "", facts)
            raise
        return self._write_observation(started_us, failure, detail, facts, idle_us())

    def _write_observation(
        self,
        started_us: int,
        failure: Failure | None,
        detail: str,
        facts: Callable[[], StepFacts],
        idle_us: int = 0,
    ) -> StepResult:
        # Before the facts are put together: to read a chain takes as long as a handshake nearby.
        duration_us = self.trace.elapsed_us() - started_us - idle_us
        observation = Observation(
            operation=self.operation,
            started_us=started_us,
            duration_us=duration_us,
            failure=failure,
            failure_detail=detail,
            parent=None if self.on is None else self.on.index,
            endpoint=self.endpoint,
            **facts(),
        )
        return self.trace.add(self.scrubber.scrub_observation(observation))
