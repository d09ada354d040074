"""Which plan is run now: the newest that was signed, as far as it was agreed to, is not too old,
was not opted out of, and as this is no hour that the volunteer keeps free."""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from google.protobuf.message import DecodeError

from heliograph import trust_chain
from heliograph.clock import Clock
from heliograph.plan import Plan
from heliograph.v1 import plan_pb2
from heliograph_agent.config import ConfigError
from heliograph_agent.consent.opt_out import hour_of
from heliograph_agent.runtime.settings import Setting
from heliograph_agent.state import CONSENT, PLAN, StateError
from heliograph_agent.uplink.signed_documents import (
    STALE_S,
    Age,
    Held,
    PlanError,
    age_of,
    followed,
    open_plan,
)

log = logging.getLogger("heliograph.agent")
LOOK_US = 60_000_000  # between two looks at the calendar
_SAYS = {
    Age.FRESH: "the plan is up to date",
    Age.STALE: "the plan has expired and could not be renewed: it goes on as it is until {over}, "
    "and nothing is added to it",
    Age.OVER: "the plan expired long ago: nothing is measured until the collector has a newer one",
}


class Adopting:
    """`told` hears of each plan that is run from then on; what it runs at first is `plan`."""

    def __init__(
        self,
        setting: Setting,
        clock: Clock,
        offset_us: Callable[[], int | None],
        told: Callable[[Plan], None],
    ) -> None:
        """Raises ConfigError."""
        self.setting = setting
        self._clock, self._offset_us, self._told = clock, offset_us, told
        self._age, self._quiet, self._looked_us = Age.FRESH, False, 0
        self._note(clock.wall_us())
        self._stamp = self._consent_stamp()
        self.plan, self.waiting = self._effective()

    @property
    def charter_version(self) -> int:
        body = self.setting.collector.charter
        return trust_chain.decode(body).version if body else 0

    def take_plan(self, signed: plan_pb2.SignedPlan) -> None:
        """Verified, newer, written down, and then run as far as it was agreed to. The charters that
        came with it are followed whatever becomes of the plan."""
        held = self._held()
        try:
            self._follow(signed)
            collector, version = self.setting.collector, self.setting.plan.version
            plan = open_plan(signed, collector, self._now_us() // 1_000_000, Held(held, version))
            self.setting.state.write(PLAN, signed.SerializeToString())
        except (PlanError, StateError) as error:
            if signed.plan != held.plan:
                log.warning("a plan was refused: %s", error)
            return
        log.info("plan %d taken", plan.version)
        self.setting = self.setting.with_plan(plan)
        self._note(self._now_us())
        self._adopt()

    def look(self) -> None:
        """To be called every second: has the volunteer agreed to more, is it another hour?"""
        stamp = self._consent_stamp()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self.setting = self.setting.with_consent()
            except StateError as error:
                log.warning("%s", error)
            else:
                self._adopt()
        now_us = self._clock.monotonic_us()
        if now_us - self._looked_us >= LOOK_US:
            self._looked_us = now_us
            if self._note(self._now_us()):
                self._adopt()

    def _follow(self, signed: plan_pb2.SignedPlan) -> None:
        """Raises PlanError, StateError."""
        collector = followed(self.setting.collector, signed)
        if collector != self.setting.collector:
            self.setting.state.save_collector(collector)
            self.setting = replace(self.setting, collector=collector)
            log.info("charter %d followed: the collector's keys are as it names them",
                     self.charter_version)  # fmt: skip

    def _adopt(self) -> None:
        before = self.waiting
        try:
            self.plan, self.waiting = self._effective()
        except ConfigError as error:
            log.warning("%s", error)
            return
        if self.waiting and self.waiting != before:
            log.warning("the plan has new targets: see `heliograph-agent plan`")
        self._told(self.plan)

    def _effective(self) -> tuple[Plan, tuple[str, ...]]:
        plan, waiting = self.setting.effective()
        idle = self._quiet or self._age is Age.OVER
        return replace(plan, tasks=()) if idle else plan, waiting

    def _note(self, wall_us: int) -> bool:
        """Whether the plan's age or the hour has changed anything."""
        plan = self.setting.plan
        age = age_of(plan, wall_us // 1_000_000)
        quiet = hour_of(self._clock.wall_us()) in self.setting.config.quiet_hours
        changed = (age, quiet) != (self._age, self._quiet)
        if age is not self._age:
            over = datetime.fromtimestamp(min(plan.expires_s + STALE_S, 2**37), UTC)
            log.warning(_SAYS[age].format(over=f"{over:%Y-%m-%d}"))
        if quiet is not self._quiet:
            log.info("nothing is measured in this hour" if quiet else "measuring again")
        self._age, self._quiet = age, quiet
        return changed

    def _now_us(self) -> int:
        """By the collector's clock where it is known: this machine's may be ten years off."""
        return self._clock.wall_us() + (self._offset_us() or 0)

    def _held(self) -> plan_pb2.SignedPlan:
        with suppress(StateError, DecodeError):
            return plan_pb2.SignedPlan.FromString(self.setting.state.read(PLAN) or b"")
        return plan_pb2.SignedPlan()

    def _consent_stamp(self) -> int:
        try:
            return self.setting.state.path(CONSENT).stat().st_mtime_ns
        except OSError:
            return 0
