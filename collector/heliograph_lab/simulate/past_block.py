"""A virtual agent while our address is blocked: it measures on, and sends by another way."""

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

from heliograph.observation import Measurement
from heliograph.v1 import intake_pb2 as pb
from heliograph_lab.simulate.outbox import ResultSealer, name_status
from heliograph_lab.simulate.post_entrance import PostEntrance
from heliograph_lab.simulate.worker_context import WorkerContext
from heliograph_lab.simulate.workload import Schedule

ANCHORS_S = 120.0  # between two looks at anchors; assumed
POST_S = 5.0  # between two rounds of uploads; assumed


@dataclass(frozen=True, slots=True)
class PastBlock:
    """One agent from the block of our address to its end.

    Like a real agent it notices the loss of its session by missing answers (`noticed_s`, of the
    loop), looks at the anchors then, and uploads what it found by the next way within half a
    minute. Without another way all is kept for the next session.
    """

    schedule: Schedule
    outbox: ResultSealer
    context: WorkerContext
    rng: random.Random
    address: str
    noticed_s: float

    async def run_until(self, at_s: float, *, has_other_way: bool) -> None:
        """Measure and upload until the block ends at `at_s` of the loop."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(at_s), asyncio.TaskGroup() as group:
                if self.schedule.rounds:
                    group.create_task(self._keep_measurements(group))
                group.create_task(self._look_at_anchors())
                if has_other_way and self.context.post is not None:
                    group.create_task(self._post_unsent(self.context.post))

    async def _keep_measurements(self, group: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            run = self.schedule.next_run(loop.time())
            await asyncio.sleep(run.at_s - loop.time())
            group.create_task(self._keep(self.context.measure(self.outbox.actor, run)))

    async def _look_at_anchors(self) -> None:
        """Look when the loss of the session is noticed, and again while it lasts."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self.noticed_s - loop.time())
        for number in count():
            await self._keep(self.context.measure_anchors(self.outbox.actor, number))
            await asyncio.sleep(ANCHORS_S / self.context.speed)

    async def _keep(self, result: Measurement) -> None:
        await asyncio.sleep(result.runtime_us / 1e6 / self.context.speed)
        self.outbox.unsent.append(self.outbox.seal(result))

    async def _post_unsent(self, post: PostEntrance) -> None:
        unsent = self.outbox.unsent
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self.noticed_s - loop.time())
        while True:
            while unsent:
                status = await post.upload(unsent[0], self.address)
                if status == pb.STATUS_RETRY:
                    break
                self.context.counters.count_receipt(name_status(status))
                del unsent[0]
            await asyncio.sleep(self.rng.uniform(0.5, 1.5) * POST_S / self.context.speed)
