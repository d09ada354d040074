"""Follow the collector's plans, the volunteer's consent and the calendar in a run."""

import logging
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from google.protobuf.message import DecodeError

from heliograph import trust_chain
from heliograph.clock import Clock
from heliograph.plan import ANCHORS, Plan
from heliograph.translation import mark
from heliograph.translation import translate as _
from heliograph.units import MINUTE_US
from heliograph.v1 import plan_pb2
from heliograph_agent.config import AgentConfigError
from heliograph_agent.consent import (
    local_hour,
)
from heliograph_agent.runtime.battery import is_sparing
from heliograph_agent.runtime.newer_version import describe_update
from heliograph_agent.runtime.settings import AgentSettings, load_consent
from heliograph_agent.state import (
    CONSENT,
    DELIVERED_PLAN,
    PLAN,
    StateError,
)
from heliograph_agent.uplink.signed_documents import (
    STALE_S,
    PlanAge,
    PlanError,
    StoredPlan,
    classify_age,
    follow_charters,
    format_expiry,
    open_plan,
)

log = logging.getLogger("heliograph.agent")
CALENDAR_CHECK_US = MINUTE_US  # between two checks of the calendar
_AGE_MESSAGES = {
    PlanAge.FRESH: mark("the plan is up to date"),
    PlanAge.STALE: mark(
        "the plan has expired and could not be renewed: it runs unchanged until {over}, and "
        "nothing is added to it"
    ),
    PlanAge.EXPIRED: mark(
        "the plan expired long ago: nothing is measured until the collector has a newer one"
    ),
}


class PlanHost(Protocol):
    """Declare what the updater needs of the agent that runs the plan."""

    @property
    def clock_offset_us(self) -> int | None:
        """Return the collector's clock minus this one, None while it is unknown."""

    def apply_plan(self, plan: Plan) -> None:
        """Run this plan from now on."""


class PlanUpdater:
    """Follow plans, trust roots, consent and the calendar; `plan` is the plan to run.

    `plan` is the newest signed plan, as far as the volunteer agreed to it, without tests that the
    volunteer opted out of. It has no tasks when it is too old or the hour is quiet, and only its
    anchors while the battery is low: they, and the session, show a power cut or a cut line.
    """

    def __init__(self, settings: AgentSettings, clock: Clock, host: PlanHost) -> None:
        """Apply the stored plan. Raises AgentConfigError."""
        self.settings = settings
        self._clock = clock
        self._host = host
        self._age = PlanAge.FRESH
        self._is_quiet_hour = False
        self._is_battery_low = False
        self._checked_us = 0
        self._check_calendar(clock.wall_us())
        self._consent_mtime_ns = self._read_consent_mtime_ns()
        self.plan, self.waiting = self._effective_plan()

    @property
    def charter_version(self) -> int:
        body = self.settings.collector.charter
        return trust_chain.decode_trust_root(body).version if body else 0

    def take_plan(self, signed: plan_pb2.SignedPlan) -> None:
        """Verify, store and apply a newer plan; log why one is refused.

        Its trust roots are followed even if the plan itself is refused.
        """
        stored_plan = self._read_signed_plan()
        try:
            self._follow_trust_chain(signed)
            previous = StoredPlan(stored_plan, self.settings.plan.version)
            now_s = self.now_us() // 1_000_000
            plan = open_plan(signed, self.settings.collector, now_s, previous)
            self.settings.state.write(PLAN, signed.SerializeToString())
        except (PlanError, StateError) as error:
            if signed.plan != stored_plan.plan:
                log.warning(mark("a plan was refused: %s"), error)
            return
        log.info(mark("plan %d taken"), plan.version)
        if update := describe_update(plan.newest_version, plan.insecure_before):
            log.warning("%s", update)
        self.settings = replace(self.settings, plan=plan)
        self._check_calendar(self.now_us())
        self._apply_settings()

    def take_delivered_plan(self) -> None:
        """Take, once, a plan that arrived with receipts by file."""
        state = self.settings.state
        with suppress(StateError, DecodeError):
            raw = state.read(DELIVERED_PLAN)
            if raw is not None:
                state.remove(DELIVERED_PLAN)
                self.take_plan(plan_pb2.SignedPlan.FromString(raw))

    def poll(self) -> None:
        """Check the consent and the calendar; the agent calls this every second."""
        mtime_ns = self._read_consent_mtime_ns()
        if mtime_ns != self._consent_mtime_ns:
            self._consent_mtime_ns = mtime_ns
            try:
                consent = load_consent(self.settings.state, is_agreed=self.settings.is_agreed)
            except StateError as error:
                log.warning("%s", error)
            else:
                self.settings = replace(self.settings, consent=consent)
                self._apply_settings()
        now_us = self._clock.monotonic_us()
        if now_us - self._checked_us >= CALENDAR_CHECK_US:
            self._checked_us = now_us
            if self._check_calendar(self.now_us()):
                self._apply_settings()

    def _follow_trust_chain(self, signed: plan_pb2.SignedPlan) -> None:
        collector = follow_charters(self.settings.collector, signed)
        if collector != self.settings.collector:
            self.settings.state.save_collector(collector)
            self.settings = replace(self.settings, collector=collector)
            log.info("charter %d followed: the collector's keys are as it names them",
                     self.charter_version)  # fmt: skip

    def _apply_settings(self) -> None:
        before = self.waiting
        try:
            self.plan, self.waiting = self._effective_plan()
        except AgentConfigError as error:
            log.warning("%s", error)
            return
        if self.waiting and self.waiting != before:
            log.warning(mark("the plan has new targets: see `heliograph-agent plan`"))
        self._host.apply_plan(self.plan)

    def _effective_plan(self) -> tuple[Plan, tuple[str, ...]]:
        plan, waiting = self.settings.effective_plan()
        is_idle = self._is_quiet_hour or self._age is PlanAge.EXPIRED
        tasks = () if is_idle else plan.tasks
        if self._is_battery_low:
            tasks = tuple(line for line in tasks if line.experiment == ANCHORS)
        return replace(plan, tasks=tasks), waiting

    def _check_calendar(self, wall_us: int) -> bool:
        """Update the plan's age, quiet hour and battery; return whether one changed."""
        plan = self.settings.plan
        age = classify_age(plan, wall_us // 1_000_000)
        config = self.settings.config
        is_quiet_hour = local_hour(self._clock.wall_us()) in config.quiet_hours
        battery_low = is_sparing(config)
        state = (age, is_quiet_hour, battery_low)
        changed = state != (self._age, self._is_quiet_hour, self._is_battery_low)
        if age is not self._age:
            last_day = format_expiry(plan.expires_s + STALE_S)
            log.warning(_(_AGE_MESSAGES[age]).format(over=last_day))
        if is_quiet_hour is not self._is_quiet_hour:
            quiet = mark("nothing is measured in this hour")
            log.info(quiet if is_quiet_hour else mark("measuring again"))
        if battery_low is not self._is_battery_low:
            saving = mark("the battery is low: only anchors are measured")
            log.info(saving if battery_low else mark("measuring again"))
        self._age = age
        self._is_quiet_hour = is_quiet_hour
        self._is_battery_low = battery_low
        return changed

    def now_us(self) -> int:
        """Return the collector's time if known, because this clock may be years off."""
        return self._clock.wall_us() + (self._host.clock_offset_us or 0)

    def _read_signed_plan(self) -> plan_pb2.SignedPlan:
        with suppress(StateError, DecodeError):
            return plan_pb2.SignedPlan.FromString(self.settings.state.read(PLAN) or b"")
        return plan_pb2.SignedPlan()

    def _read_consent_mtime_ns(self) -> int:
        try:
            return self.settings.state.path(CONSENT).stat().st_mtime_ns
        except OSError:
            return 0
