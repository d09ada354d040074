"""Collect the observations of one task, and define the handles between steps."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from heliograph.clock import Clock
from heliograph.failure import Failure, Operation
from heliograph.observation import MAX_CERTIFICATE_BYTES, MAX_CERTIFICATES, Observation


@dataclass(frozen=True, slots=True)
class StepResult:
    """Hold an observation and its index in the trace.

    `cookies` are the Set-Cookie lines of an HTTP reply, for the next request. No observation and
    no log ever holds them.
    """

    index: int
    observation: Observation
    cookies: tuple[str, ...] = field(default=(), repr=False)

    @property
    def is_success(self) -> bool:
        return self.observation.failure is None

    @property
    def ended_us(self) -> int:
        """Return the end of the step since the trace began."""
        return self.observation.started_us + self.observation.duration_us


class BodyReader(Protocol):
    """Define the part of asyncio.StreamReader that the reading of a page needs."""

    async def read(self, n: int, /) -> bytes: ...


class ByteReader(BodyReader, Protocol):
    """Define the part of asyncio.StreamReader that a step needs."""

    async def readexactly(self, n: int, /) -> bytes: ...


class ByteWriter(Protocol):
    """Define the part of asyncio.StreamWriter that a step needs."""

    def write(self, data: bytes, /) -> None: ...

    async def drain(self) -> None: ...

    @property
    def transport(self) -> asyncio.WriteTransport: ...


@dataclass(slots=True)
class ByteStream:
    """Hold a connected byte stream and the step that made it."""

    step_result: StepResult
    reader: ByteReader
    writer: ByteWriter

    def close(self) -> None:
        """Drop the connection without waiting for the peer."""
        self.writer.transport.abort()


@dataclass(slots=True)
class StepTrace:
    """Collect observations.

    `bytes_moved` is the traffic of the task on the wire, as far as user space can measure it.
    """

    clock: Clock
    started_us: int = 0
    bytes_moved: int = 0
    observations: list[Observation] = field(default_factory=list)
    certificates: dict[bytes, None] = field(default_factory=dict)  # DER, in order, each once

    def __post_init__(self) -> None:
        self.started_us = self.clock.monotonic_us()

    def count_bytes(self, size: int) -> None:
        self.bytes_moved += size

    def elapsed_us(self) -> int:
        return self.clock.monotonic_us() - self.started_us

    def keep_chain(self, chain: Sequence[bytes]) -> None:
        """Keep the certificates of a chain that did not verify, if all of them have room."""
        chains = {**self.certificates, **dict.fromkeys(chain)}
        if len(chains) <= MAX_CERTIFICATES and sum(map(len, chains)) <= MAX_CERTIFICATE_BYTES:
            self.certificates = chains

    def make_unsent(self, on: StepResult, operation: Operation, failure: Failure) -> StepResult:
        """Make the result of a step that sent nothing, and so is not recorded."""
        now_us = self.elapsed_us()
        observation = Observation(
            operation=operation, started_us=now_us, duration_us=0, failure=failure
        )
        return StepResult(on.index, observation)

    def add(self, observation: Observation) -> StepResult:
        self.observations.append(observation)
        return StepResult(len(self.observations) - 1, observation)


def make_stream(
    result: StepResult, reader: ByteReader | None, writer: ByteWriter | None
) -> ByteStream | None:
    """Create a handle for a successful step; close a connection that came too late."""
    if reader is None or writer is None:
        return None
    stream = ByteStream(result, reader, writer)
    if result.is_success:
        return stream
    stream.close()
    return None
