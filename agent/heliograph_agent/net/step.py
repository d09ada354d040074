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
    """Hold the facts of a step."""

    dns: Dns
    tcp: Tcp
    udp: Udp
    tls: Tls
    http: Http
    exchange: Exchange
    hop: Hop


@dataclass(frozen=True, slots=True)
class StepRecorder:
    """Run a step of one kind, scrub its observation and add it to the trace."""

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
        """Run `work` and record its end.

        `facts` is called once, at the end. `idle_us` returns the time that `work` listened for
        further replies; it is not part of the step's duration. A cancellation is recorded as
        `interrupted` and propagates. ValueError propagates without an observation, because
        nothing was sent.
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
        # Measured before the facts are built: to parse a chain takes as long as a nearby handshake.
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
