"""Run one step: bound its wait, classify its end, record its observation."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self, TypedDict, runtime_checkable

from heliograph.failure import CERTIFICATE_FAILURES, Failure, Operation
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


class FactSource(Protocol):
    """Declare the work of a step, which describes its results at its end."""

    def step_facts(self) -> StepFacts: ...


@runtime_checkable
class ChainSource(Protocol):
    """Declare the chain that a handshake was shown, in DER, leaf first."""

    @property
    def chain(self) -> Sequence[bytes]: ...


@dataclass(slots=True)
class Step:
    """Run one step: `with Step(…) as step:`, and `step.result` after the block.

    A network error ends the block and is recorded. A cancellation is recorded as `interrupted` and
    propagates. ValueError propagates without an observation, because nothing was sent.
    """

    trace: StepTrace
    scrubber: Scrubber
    operation: Operation
    deadline_s: float
    on: StepResult | None
    endpoint: str
    source: FactSource | None = None  # described at the end
    facts: StepFacts = field(default_factory=StepFacts)  # known before
    idle_us: int = 0  # listened for further replies; not part of the duration
    result: StepResult = field(init=False)
    _started_us: int = field(init=False)
    _deadline: Deadline = field(init=False)

    def __enter__(self) -> Self:
        self._started_us = self.trace.elapsed_us()
        self._deadline = Deadline(self.deadline_s)
        self._deadline.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        try:
            self._deadline.__exit__(kind, error, traceback)
        except TimeoutError as timeout:
            error = timeout
        if isinstance(error, asyncio.CancelledError):
            self.idle_us = 0
            self._record(Failure.INTERRUPTED)
            return False
        if error is None:
            self._record(None)
        elif isinstance(error, NETWORK_ERRORS):
            self._record(*classify_error(error))
        return error is None or isinstance(error, NETWORK_ERRORS)

    def _record(self, failure: Failure | None, detail: str = "") -> None:
        # Measured before the facts are built: to parse a chain takes as long as a nearby handshake.
        duration_us = self.trace.elapsed_us() - self._started_us - self.idle_us
        if self.source is not None:
            self.facts |= self.source.step_facts()
        observation = Observation(
            operation=self.operation,
            started_us=self._started_us,
            duration_us=duration_us,
            failure=failure,
            failure_detail=detail,
            parent=None if self.on is None else self.on.index,
            endpoint=self.endpoint,
            **self.facts,
        )
        self.result = self.trace.add(self.scrubber.scrub_observation(observation))
        if failure in CERTIFICATE_FAILURES and isinstance(self.source, ChainSource):
            chain = self.source.chain
            self.trace.keep_chain(() if any(map(self.scrubber.contains_own, chain)) else chain)
