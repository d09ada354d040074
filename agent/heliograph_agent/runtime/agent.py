"""The whole agent: schedule → runner → spool → batches → uplink, in one task group.

Nothing here waits for the network: with the plan on its disk it measures and stores for as long as
the shutdown lasts. What is not needed by an idle agent is imported when it is.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from heliograph.clock import Clock
from heliograph.plan import Plan
from heliograph_agent.config import Config
from heliograph_agent.net import Net, Trace
from heliograph_agent.net.local_addresses import local_view
from heliograph_agent.runtime import signing
from heliograph_agent.runtime.batcher import Sealing, Telling
from heliograph_agent.runtime.measurement_loop import Measuring, Place
from heliograph_agent.runtime.offline_digest import Darkness
from heliograph_agent.runtime.plan_updates import Adopting
from heliograph_agent.runtime.service_status import Lives, told_before
from heliograph_agent.runtime.settings import Setting, read_setting
from heliograph_agent.runtime.signing import sign
from heliograph_agent.runtime.status_file import Status
from heliograph_agent.runtime.vantage import VantageWatch
from heliograph_agent.schedule import Allowance
from heliograph_agent.spool import Spool
from heliograph_agent.state import PAUSED, SPOOL, STATUS, StateError

if TYPE_CHECKING:
    from heliograph_agent.runtime.runner import Runner
    from heliograph_agent.uplink.connection_manager import Uplink
    from heliograph_agent.uplink.session import Facts

__all__ = ["Agent", "Setting", "read_setting"]

LOOK_S = 1.0  # for `pause` and `plan --agree`
CANCEL_S = 0.2  # for the runner to let go
LEAVE_S = 0.6  # for the last batch and the goodbye
ONCE_S = 30.0  # for `run --once` to deliver
log = logging.getLogger("heliograph.agent")


class Agent:
    """Made once per process; holds the spool from `open` to `close`."""

    def __init__(self, setting: Setting, clock: Clock, rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self._cloned = False
        self._boot = setting.boot()
        self.spool = Spool(setting.state.path(SPOOL), clock=clock)
        self._watch = VantageWatch(local_view, clock, setting.declared())
        self.adopting = Adopting(setting, clock, self._offset_us, self._adopted)
        plan = self.adopting.plan
        self.status = Status(setting.state, self.spool, self._tell)
        self.darkness = Darkness(clock, self._boot)
        self.measuring = Measuring(
            spool=self.spool,
            runner=self._runner,
            clock=clock,
            rng=rng,
            plan=plan,
            place=Place(epoch=self._watch.epoch, lives=self._lives()),
            allowance=self._allowance(plan),
            offset_us=self._offset_us,
            stored=self._stored,
            online=lambda: self.uplink.hurry(),
            saw=self.darkness.saw,
        )
        self.sealing = Sealing(
            setting.state,
            setting.collector,
            self.spool,
            clock,
            closed=self._closed,
            dark=lambda: not self.uplink.reached.connected,
            tell=self._dark_time,
            over=self.darkness.over,
        )

    @property
    def setting(self) -> Setting:
        return self.adopting.setting

    async def open(self) -> None:
        """The spool is open, or says why not; the first schedule is computed."""
        counts = await self.spool.counts()
        if counts.problem:
            log.warning("%s", counts.problem)
        self._take_brought()
        self.measuring.first_look()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; survives any number of pauses."""
        while not stop.is_set():
            if self._paused():
                await self.status.write()
                while self._paused() and not stop.is_set():
                    await self._nap(stop)
            else:
                await self._work(stop)

    async def once(self, stop: asyncio.Event, progress: Callable[[int, int], None]) -> int:
        """One pass of the plan, then deliver for a bounded time; how many results were stored."""
        done = 0
        self.uplink.returning.at_once()
        async with asyncio.TaskGroup() as group:
            uplink = group.create_task(self.uplink.run())
            work = group.create_task(self.measuring.once(progress))
            ending = group.create_task(stop.wait())
            await asyncio.wait([work, ending], return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                done = work.result()
            await self._stop([work])
            await self.sealing.close_all()
            self.uplink.wake()
            await asyncio.wait(
                [group.create_task(self._delivered()), ending],
                return_when=asyncio.FIRST_COMPLETED,
            )
            ending.cancel()
            await self._leave(uplink, "shutdown")
        return done

    async def close(self) -> None:
        await self.status.write()
        await self.spool.close()

    async def _work(self, stop: asyncio.Event) -> None:
        """Measure and send until told to stop or to pause; then end in good order."""
        from heliograph_agent.runtime import peers

        async with asyncio.TaskGroup() as group:
            uplink = group.create_task(self.uplink.run())
            telling = group.create_task(self.status.run())
            working = [
                group.create_task(self.measuring.run()),
                group.create_task(self.sealing.run()),
                group.create_task(self._follow_network()),
                group.create_task(peers.lend(lambda: self.setting, self._clock, self._rng)),
            ]
            self.status.changed()
            reason = await self._until_told(stop)
            await self._stop(working)
            await self.sealing.close_all()
            await self._leave(uplink, reason)
            await self.sealing.close_all()  # what was tried in the end lies sealed too
            telling.cancel()

    async def _stop(self, tasks: list[asyncio.Task[Any]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=CANCEL_S)

    async def _leave(self, uplink: asyncio.Task[None], reason: str) -> None:
        self.uplink.leave(reason)
        await asyncio.wait([uplink], timeout=LEAVE_S)
        uplink.cancel()

    async def _delivered(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(ONCE_S):
                await self.uplink.delivered()

    async def _follow_network(self) -> None:
        async for epoch in self._watch.changes():
            log.info("the network changed")
            self.measuring.moved_to(epoch)
            self.uplink.renew()
            self.status.changed()

    async def _until_told(self, stop: asyncio.Event) -> str:
        while not stop.is_set():
            if self._paused():
                log.info("paused")
                return "pause"
            self._take_brought()
            self.adopting.look()
            await self._nap(stop)
        return "shutdown"

    def _take_brought(self) -> None:
        """A plan that came by hand."""
        from heliograph_agent.runtime import peers

        for signed in peers.brought(self.setting.state):
            self.adopting.take_plan(signed)

    async def _nap(self, stop: asyncio.Event) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await stop.wait()

    @cached_property
    def uplink(self) -> "Uplink":
        """Made, and its libraries loaded, once the agent runs."""
        from heliograph_agent.runtime import peers
        from heliograph_agent.runtime.uplink_results import Tries
        from heliograph_agent.uplink import reconnect_delay
        from heliograph_agent.uplink.connection_manager import Uplink
        from heliograph_agent.uplink.session import Party

        state, agent = self.setting.state, self.setting.collector.agent
        party = Party(
            agent=agent,
            sign=self._sign,
            spool=self.spool,
            clock=self._clock,
            facts=self._facts,
            take_plan=self.adopting.take_plan,
            renew=lambda said: signing.answer(state, agent, said),
            advised=self._advised,
            heard=lambda: None,
            rejected=self._rejected,
            attempted=Tries(
                self.spool, lambda: self.measuring.place, self._boot, self.status.changed
            ).keep,
        )
        ways = self.setting.config.ways(self._clock, self._rng)
        return Uplink(
            self.setting.state,
            party,
            heartbeat_s=lambda: self.setting.plan.heartbeat_s,
            patience=lambda failures: reconnect_delay.wait_s(failures, self._rng),
            changed=self.status.changed,
            entrances=lambda: peers.entrances(self.setting, ways.leads_home),
            guarded=lambda way: peers.guarded(self.setting, ways.leads_home, way),
            ways=ways,
            last_word=peers.last_word(
                lambda: self.setting, lambda: self.measuring.place.lives, self._clock
            ),
        )

    def _runner(self, plan: Plan) -> "Runner":
        from heliograph_agent.runtime.runner import Runner

        return Runner(_Way(self.setting.config, self._clock, self._rng), self._clock, plan.limits,
                      self._boot)  # fmt: skip

    async def _sign(self, context: bytes, message: bytes) -> bytes:
        return await sign(self.setting.state, context, message)

    def _stored(self, urgent: bool) -> None:
        self.sealing.note(urgent=urgent)
        self.status.changed()

    def _dark_time(self) -> Telling | None:
        place = self.measuring.place
        if not self.darkness.worth_telling:
            return None
        return [*self.darkness.tellings(place.epoch, place.link)], place.epoch

    def _closed(self) -> None:
        self.uplink.wake()
        self.status.changed()

    def _rejected(self, sequence: int, reason: str) -> None:
        log.warning("the collector refused batch %d (%s); it is kept apart", sequence, reason)
        self.status.changed()

    def _adopted(self, plan: Plan) -> None:
        self.sealing.serve(self.setting.collector)
        self.measuring.adopt(plan)
        self.status.changed()

    def _advised(self, reason: str) -> None:
        if reason == "cloned" and not self._cloned:
            self._cloned = True
            log.warning(
                "another machine uses this agent's key: leave on one of them "
                "(`heliograph-agent leave --erase`) and join there with an invite of its own"
            )
            self.status.changed()

    def _paused(self) -> bool:
        try:
            paused = self.setting.state.read_json(PAUSED)
        except StateError:
            return True  # somebody meant to stop it, and can still say `resume`
        if paused is None:
            return False
        until_us = paused.get("until_us")
        if not isinstance(until_us, int) or until_us == 0 or self._clock.wall_us() < until_us:
            return True
        with suppress(StateError):
            self.setting.state.remove(PAUSED)
        return False

    def _offset_us(self) -> int | None:
        return self.uplink.offsets.offset_us(self._clock.wall_us(), self._clock.monotonic_us())

    def _facts(self) -> "Facts":
        from heliograph_agent.uplink.session import Facts

        place, epoch = self.measuring.place, self.measuring.place.epoch
        return Facts(
            boot=self._boot,
            epoch=epoch.id,
            link=place.link,
            country=epoch.country,
            region=epoch.region,
            access=epoch.access,
            plan_version=self.setting.plan.version,
            charter_version=self.adopting.charter_version,
        )

    def _allowance(self, plan: Plan) -> Allowance | None:
        """What an earlier run left over of this month's bytes."""
        try:
            kept = (self.setting.state.read_json(STATUS) or {}).get("allowance")
        except StateError:
            return None
        if not isinstance(kept, dict):
            return None
        now_us, wall_us = self._clock.monotonic_us(), self._clock.wall_us()
        return Allowance.from_json(kept, now_us, wall_us, plan.limits.bytes_per_month)

    def _lives(self) -> Lives:
        """What answered an earlier run; a restart in the dark does not forget it."""
        try:
            return told_before(self.setting.state.read_json(STATUS) or {})
        except StateError:
            return {}

    def _tell(self) -> dict[str, Any]:
        """status.json but for the queue."""
        place, reached = self.measuring.place, self.uplink.reached
        now_us, limits = self._clock.monotonic_us(), self.measuring.plan.limits
        allowance = self.measuring.history.allowance.spend(0, now_us, limits.bytes_per_month)
        failure = {"reason": reached.last_failure, "at_us": reached.last_failure_us}
        return {
            "written_us": self._clock.wall_us(),
            "connected": reached.connected,
            "way": reached.way,
            "last_success_us": reached.last_success_us,
            "last_word_us": reached.last_word_us,
            "last_failure": {"grpc": failure} if reached.last_failure else {},
            "link": place.link.value,
            "epoch": place.epoch.id,
            "plan_version": self.setting.plan.version,
            "not_agreed": list(self.adopting.waiting),
            "cloned": self._cloned,
            "last_results": dict(place.last_results),
            "lives": dict(place.lives),
            "allowance": allowance.to_json(self._clock.wall_us()),
        }


class _Way:
    """net.real.Door, whose libraries are loaded by the first task."""

    def __init__(self, config: Config, clock: Clock, rng: random.Random) -> None:
        self._make = (config, clock, rng)
        self._door: Any = None

    def bind(self, trace: Trace) -> Net:
        if self._door is None:
            from heliograph_agent.net.system_net import Door

            config, clock, rng = self._make
            self._door = Door(config.planned_net(), clock, rng)
        net: Net = self._door.bind(trace)
        return net
