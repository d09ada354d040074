"""One run of an agent that measures, seals and sends on a faulty disk and clock.

It writes to a file beside that disk, a line each: "try TARGET" and "took TARGET" around an append,
"sealed NUMBER CRC TARGET …" (a sum as +RUNS) whenever it seals, "acked NUMBER CRC" when the
collector has acknowledged it, and "held JSON" at an orderly end.
"""

import asyncio
import json
import os
import random
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from heliograph import codec, envelope, keys
from heliograph.failure import Failure, Operation
from heliograph.observation import Epoch, Measurement, Observation
from heliograph.v1 import envelope_pb2, intake_pb2, observation_pb2
from heliograph_agent.spool import Priority, Spool, SpoolError
from heliograph_agent.spool.priority import SpoolFullError
from support.fault_collector import frame, framed
from support.hand_clock import HandClock
from support.results import EPOCH, measurement

SMALL = 6_208
YEAR_US = 365 * 86_400 * 1_000_000
SETTLED = {
    intake_pb2.STATUS_STORED: "stored",
    intake_pb2.STATUS_DUPLICATE: "duplicate",
    intake_pb2.STATUS_REJECTED: "rejected",
}


@dataclass(frozen=True, slots=True)
class Agent:
    signer: keys.SigningKey
    sealing: bytes
    spool: Path
    report: Path
    socket: Path
    network: bytes
    limit_bytes: int

    @property
    def id(self) -> bytes:
        return keys.agent_id(self.signer.public)


class Life:
    def __init__(self, agent: Agent, seed: int) -> None:
        self._agent = agent
        self._rng = random.Random(seed)
        self._name = seed
        self._count = 0
        self._cut = self._rng.random() < 0.4  # this process reaches no collector
        self._clock = HandClock(monotonic=self._rng.randrange(1, 10**12))
        self._clock.wall += self._rng.choice((0, 0, 0, -10, 10)) * YEAR_US
        self._file = os.open(agent.report, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def run(self, acts: int) -> None:
        """Do so many random acts, unless the process is killed before."""
        spool = self._open()
        ways = [self._append, self._append, self._close, self._turn]
        ways += [] if self._cut else [self._send]
        for _ in range(acts):
            act = self._rng.choice(ways)
            with suppress(SpoolError):  # the disk says no; it may say yes again
                await act(spool)
        await self._end(spool)

    async def drain(self) -> None:
        """Deliver everything over a faultless way."""
        spool = self._open()
        for dark in (True, False):
            while not await self._all_closed(spool, dark=dark):
                if not await self._all_out(spool):
                    break  # too full to close a batch, and nothing leaves: it is stuck
        await self._all_out(spool)
        counts = await spool.read_counts()
        self._tell("held", json.dumps([counts.dropped, counts.summed, counts.waiting,
                                       counts.quarantined, counts.problem]))  # fmt: skip
        await spool.close()

    async def _all_closed(self, spool: Spool, *, dark: bool) -> bool:
        with suppress(SpoolFullError):
            while await spool.close_batch(SMALL, is_offline=dark) is not None:
                pass
            return True
        return False

    async def _all_out(self, spool: Spool) -> int:
        count = 0
        while waiting := await spool.list_waiting(64):
            for number, body in waiting:
                await spool.mark_offered([number])
                await self._hand_over(spool, number, body)
            count += len(waiting)
        return count

    def _open(self) -> Spool:
        return Spool(
            self._agent.spool, self, limit_bytes=self._agent.limit_bytes, clock=self._clock
        )

    async def _end(self, spool: Spool) -> None:
        if self._rng.random() < 0.5:  # else it just stops, as when the battery is empty
            await spool.close()

    async def _append(self, spool: Spool) -> None:
        """Append some measurements at once, as tests end."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._rng.randrange(1, 6)):
                group.create_task(self._append_one(spool, Priority(self._rng.randrange(4))))

    async def _append_one(self, spool: Spool, worth: Priority) -> None:
        self._count += 1
        target = f"{self._name}.{self._count}"
        self._tell("try", target)
        with suppress(SpoolError):
            await spool.append(self._measured(target), EPOCH, worth)
            self._tell("took", target)

    def _measured(self, target: str) -> Measurement:
        failure = self._rng.choice((None, Failure.CONNECTION_RESET))
        step = Observation(
            operation=Operation.CONNECT, started_us=0, duration_us=1, failure=failure
        )
        noise = self._rng.randbytes(self._rng.choice((10, 400, 1_000))).hex()
        return measurement(
            target, started_us=self._clock.wall_us(), monotonic_us=self._clock.monotonic_us(),
            services_version=noise, observations=(step,),
        )  # fmt: skip

    async def _close(self, spool: Spool) -> None:
        dark = self._cut or self._rng.random() < 0.7
        while await spool.close_batch(SMALL, is_offline=dark) is not None:
            pass
        if self._rng.random() < 0.2:
            await spool.write_digest([measurement("digest")], EPOCH, SMALL)

    async def _send(self, spool: Spool) -> None:
        """Send envelopes in random order, some twice, some without reading the answer."""
        waiting = await spool.list_waiting(self._rng.randrange(1, 12))
        self._rng.shuffle(waiting)
        for number, body in waiting:
            if self._rng.random() < 0.1:
                await self._close(spool)  # between a look and the word that something goes out
            if not await spool.mark_offered([number]):
                continue
            for _ in range(self._rng.choice((1, 1, 2))):
                await self._hand_over(spool, number, body, deaf=self._rng.random() < 0.4)

    async def _turn(self, spool: Spool) -> None:
        """Advance the clock; now and then set the wall clock back or forward."""
        self._clock.advance_us(self._rng.choice((1, 60, 3_700, 90_000)) * 1_000_000)
        self._clock.wall += self._rng.choice((0, 0, 0, 0, -10, 10)) * YEAR_US

    async def _hand_over(
        self, spool: Spool, number: int, body: bytes, *, deaf: bool = False
    ) -> None:
        reader, writer = await asyncio.open_unix_connection(self._agent.socket)
        writer.write(framed(b"A" + self._agent.network + body))
        if not deaf:
            receipt = intake_pb2.Receipt.FromString(await frame(reader))
            if receipt.status in SETTLED and receipt.sequence in (0, number):
                refused = receipt.status == intake_pb2.STATUS_REJECTED
                word = receipt.reason if refused else str(zlib.crc32(body))
                self._tell("refused" if refused else "acked", str(number), word)
                await spool.record_receipt(number, SETTLED[receipt.status])
        else:
            await writer.drain()
        writer.close()

    def seal_batch(
        self, sequence: int, measurements: Sequence[bytes], epochs: Sequence[Epoch]
    ) -> bytes:
        told = [observation_pb2.Measurement.FromString(body) for body in measurements]
        names = [f"+{m.summary.runs}" if m.HasField("summary") else m.target for m in told]
        batch = envelope_pb2.Batch(
            agent=self._agent.id,
            sequence=sequence,
            sealed_us=self._clock.wall_us(),
            epochs=[codec.epoch_to_pb(epoch) for epoch in epochs],
            measurements=told,
        )
        sealed = envelope.seal_batch(batch, self._agent.signer, self._agent.sealing)
        self._tell("sealed", str(sequence), str(zlib.crc32(sealed)), *names)
        return sealed

    def _tell(self, *words: str) -> None:
        os.write(self._file, (" ".join(words) + "\n").encode())
