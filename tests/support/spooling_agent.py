"""An agent with a spool that tries another collector when its connection ends."""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import grpc

from heliograph.v1 import intake_pb2 as pb
from heliograph.v1.envelope_pb2 import Envelope
from support.intake import Call, Caller, Reachable, channel, greeted, receipts

ENDED = (TimeoutError, AssertionError, asyncio.InvalidStateError)  # a stream that is over


@dataclass
class SpoolingAgent:
    caller: Caller
    rng: random.Random
    pause_s: float = 0.02
    retry_s: float = 0.05
    spool: dict[int, Envelope] = field(default_factory=dict)
    acknowledged: list[int] = field(default_factory=list)
    connections: int = 0

    async def run(
        self, list_collectors: Callable[[], Sequence[Reachable]], stop: asyncio.Event
    ) -> None:
        while not stop.is_set():
            with suppress(grpc.aio.AioRpcError, *ENDED):
                collector = self.rng.choice(list_collectors())
                async with asyncio.timeout(20), channel(collector) as stub:
                    call = await greeted(stub, self.caller)
                    self.connections += 1
                    while not stop.is_set():
                        await self._send(call)
            await asyncio.sleep(self.retry_s)  # as an agent does whose collector is away

    async def _send(self, call: Call) -> None:
        number = len(self.acknowledged) + 1
        envelope = self.spool.setdefault(number, self.caller.envelope(number))
        await call.write(pb.AgentMessage(envelope=envelope))
        (receipt,) = await receipts(call, 1)
        if receipt.status in (pb.STATUS_STORED, pb.STATUS_DUPLICATE):
            assert receipt.sequence == number
            self.acknowledged.append(number)
        await asyncio.sleep(self.pause_s)  # the rate of its results
