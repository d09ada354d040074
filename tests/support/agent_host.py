"""The agent as its batcher, measurement loop and plan updater see it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from heliograph.clock import Clock
from heliograph.plan import Plan
from heliograph_agent.runtime.offline_digest import OfflineDigests
from heliograph_agent.runtime.runner import NetFactory, Runner
from heliograph_agent.runtime.service_status import ServiceStates


@dataclass
class RecordingHost:
    """Record the calls of an agent; give `digest` while the agent is offline."""

    clock_offset_us: int | None = None
    is_offline: bool = False
    digest: Callable[[], OfflineDigests | None] = lambda: None
    net_factory: NetFactory | None = None
    clock: Clock | None = None
    closed_count: int = 0
    plans: list[Plan] = field(default_factory=list)
    stored: list[bool] = field(default_factory=list)  # whether it was urgent
    stored_event: asyncio.Event = field(default_factory=asyncio.Event)

    def apply_plan(self, plan: Plan) -> None:
        self.plans.append(plan)

    def note_batch_closed(self) -> None:
        self.closed_count += 1

    def note_all_delivered(self) -> None: ...

    def build_offline_digest(self) -> OfflineDigests | None:
        return self.digest()

    def make_runner(self, plan: Plan) -> Runner:
        assert self.net_factory is not None
        assert self.clock is not None
        return Runner(self.net_factory, self.clock, plan.limits, "b")

    def note_online(self) -> None: ...

    def note_service_states(self, service_states: ServiceStates) -> None: ...

    def note_stored(self, *, is_urgent: bool) -> None:
        self.stored.append(is_urgent)
        self.stored_event.set()
