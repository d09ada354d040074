"""Keep one transport to the collector open, and wait when none works.

States: an attempt on one transport, then a wait, then the next attempt, until `leave`.

- An attempt lasts until its transport fails, or `leave`, `restart` or a probe of better transports
  ends it.
- A failure on the path (PATH_REASONS) leads to the next transport of the pass within a second,
  because another transport may avoid it.
- Any other failure, and that of the last transport, ends the pass. The wait after it grows and is
  drawn with full jitter (reconnection.py), because a whole country reconnects at once. The
  collector may ask for a longer wait.
- A session that breaks without a goodbye is reported by the next transport (reconnection.py).
- A reply of the collector resets the count. `restart` resets it too, because on another network
  other transports may work. `shorten_wait` lowers it, because the link is online again.

transports.py describes the order of the transports.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from heliograph.observation import Link
from heliograph.plan import Carrier, Entrance
from heliograph.translation import mark
from heliograph_agent.net.trace import StepTrace
from heliograph_agent.spool import Spool
from heliograph_agent.state import UPLINK, State, StateError
from heliograph_agent.uplink.active_transport import make_active_transport
from heliograph_agent.uplink.attempt_log import AttemptLog, AttemptStore
from heliograph_agent.uplink.dial_context import DialContext
from heliograph_agent.uplink.dns_beacon import DnsBeacon
from heliograph_agent.uplink.plan_download import PlanDownload
from heliograph_agent.uplink.reconnection import (
    PREPARE_S,
    REFUSED_US,
    FailedPasses,
    ReconnectDelay,
    SessionLoss,
)
from heliograph_agent.uplink.session import SessionAgent, UplinkContext
from heliograph_agent.uplink.transports import (
    PATH_REASONS,
    SESSIONS,
    ConnectionStatus,
    EntranceGuard,
    Reason,
    Transport,
    TransportSelector,
    UplinkError,
    choose_failure_sentence,
    describe_reason,
    list_transports,
)

if TYPE_CHECKING:
    from heliograph_agent.uplink.single_post import PostTransport
    from heliograph_agent.uplink.stream_transport import StreamTransport

STABLE_US = 180_000_000  # the network does not freeze a session that lasts so long
MAX_QUEUED_ATTEMPTS = 64  # attempts that wait to be stored
log = logging.getLogger("heliograph.uplink")


class UplinkPolicy(EntranceGuard, Protocol):
    """Declare what the plan and the volunteer's configuration decide for the uplink."""

    @property
    def heartbeat_s(self) -> int: ...

    def list_allowed(self) -> Sequence[Entrance]: ...


class StatusListener(Protocol):
    """Declare the part of the status file that the uplink notifies."""

    def mark_changed(self) -> None: ...


class Uplink:
    """Run attempts until `leave`; the other methods are hints to `run`."""

    def __init__(
        self,
        agent: SessionAgent,
        state: State,
        spool: Spool,
        dial_context: DialContext,
        *,
        policy: UplinkPolicy,
        attempt_store: AttemptStore,
        status_listener: StatusListener,
        beacon: DnsBeacon | None = None,
        reconnect_delay: ReconnectDelay | None = None,
    ) -> None:
        self._clock = dial_context.clock
        self.reconnect_delay = reconnect_delay or ReconnectDelay(self._clock, dial_context.rng)
        self.context = UplinkContext(
            agent=agent,
            state=state,
            spool=spool,
            dial_context=dial_context,
            reconnect_delay=self.reconnect_delay,
        )
        self.offsets = self.context.offsets
        self.status = ConnectionStatus()
        self._policy = policy
        self._status_listener = status_listener
        self._beacon = beacon
        self._plan_download = PlanDownload()
        self._attempt_log = AttemptLog(self._clock, attempt_store)
        self._attempt_queue: asyncio.Queue[tuple[str, StepTrace]] = asyncio.Queue(
            MAX_QUEUED_ATTEMPTS
        )
        self._session_loss = SessionLoss(self._clock)
        self._answer_timeout: asyncio.Timeout | None = None  # of the transport in use
        self._failed_passes = FailedPasses()
        self._retry_after_s = 0
        self._active_transport: StreamTransport | PostTransport | None = None
        self._began_us = 0
        self._leave_reason = ""
        self._connected_event = asyncio.Event()  # a transport works
        self._wake_event = asyncio.Event()  # ends a wait between two attempts

    def wake(self) -> None:
        """Note that a batch was closed."""
        self.context.idle_event.clear()
        if self._active_transport is not None:
            self._active_transport.wake()

    def shorten_wait(self) -> None:
        """Shorten a long wait to a few seconds, because the link is online again.

        Some wait remains, because the links of all agents return at once. A wait that the collector
        asked for remains too.
        """
        if not self.status.connected and not self._retry_after_s and self._failed_passes.shorten():
            self._wake_event.set()

    def restart(self) -> None:
        """End the session after a network change, and try the best transport at once."""
        self._failed_passes.reset()
        self._attempt_log.reset()
        self._selector.reset_network()
        self._wake_event.set()
        if self._active_transport is not None:
            self._active_transport.leave("network_change")

    def leave(self, reason: str) -> None:
        """Deliver results that can be sent at once, send a goodbye, and let `run` return."""
        self._leave_reason = reason
        self._wake_event.set()
        if self._active_transport is not None:
            self._active_transport.leave(reason)

    async def wait_delivered(self) -> None:
        """Wait until everything is acknowledged; the caller limits the wait."""
        await self._connected_event.wait()
        await self.context.idle_event.wait()

    async def run(self) -> None:
        """Run until `leave`; a later call runs again, for example after a pause."""
        self._leave_reason = ""
        self._failed_passes.reset()
        async with asyncio.TaskGroup() as group:
            writer_task = group.create_task(self._write_attempts())
            await self._run_attempts()
            writer_task.cancel()
        while not self._attempt_queue.empty():
            await self._attempt_log.record(*self._attempt_queue.get_nowait())
        await self._attempt_log.flush()

    async def _run_attempts(self) -> None:
        while not self._leave_reason:
            transport: Transport | None = None
            try:
                transport = self._selector.select_next(self._list_transports())
                await self._run_transport(transport)
            except UplinkError as error:
                self._retry_after_s = error.retry_after_s
                await self._handle_failure(transport, error.reason)
            except StateError:  # a failing disk may recover
                self._record_failure(transport, Reason.STATE)
            finally:
                self._active_transport = None
            self._set_status(replace(self.status, connected=False))
            await self._send_beacon()
            if not self._leave_reason:
                await self._wait_retry()

    def _list_transports(self) -> Sequence[Transport]:
        """List all transports in their order. Raises UplinkError, StateError."""
        transports = list_transports(
            self.context.read_collector().endpoint,
            self._policy.list_allowed(),
            self.context.dial_context.proxy_use,
            self._policy,
            agent=self.context.agent.agent_id,
            has_streams=self.context.dial_context.has_streams,
        )
        if not transports:
            raise UplinkError(Reason.NO_ENTRANCE)
        return transports

    async def _run_transport(self, transport: Transport) -> None:
        """Use a transport until it ends. Raises UplinkError, StateError."""
        self._began_us = self._clock.monotonic_us()
        self._set_status(replace(self.status, transport=transport.name))
        limit_s = self._session_loss.limit_s(self._selector.remaining)
        try:
            async with asyncio.timeout(limit_s) as self._answer_timeout:
                await self._open_transport(transport)
        except TimeoutError:
            raise UplinkError(Reason.NO_ANSWER) from None
        finally:
            self._answer_timeout = None

    async def _open_transport(self, transport: Transport) -> None:
        self._active_transport = make_active_transport(
            self.context, transport, self, self._plan_download, self._policy.heartbeat_s
        )
        await self._active_transport.run()

    async def _send_beacon(self) -> None:
        """Send a DNS beacon when every transport has failed and both sides allow it."""
        if self._leave_reason or not self._failed_passes.count:
            return
        is_word = self._session_loss.is_due
        self._session_loss.end()  # no other transport is left
        if self._beacon is None:
            return
        try:
            collector = self.context.read_collector()
        except (UplinkError, StateError):
            return
        if not self._beacon.is_due(self._clock.monotonic_us(), is_word=is_word):
            return
        query = self._beacon.make_query(collector, self._clock.wall_us())
        if query is None:
            return
        trace = StepTrace(self._clock)
        net = self.context.dial_context.make_net(trace)
        await net.resolve(query.name, query_type="AAAA")
        if self._beacon.record(query, trace, self._clock.monotonic_us()):
            log.info(mark("the collector took in by DNS what answers here"))
            self._set_status(replace(self.status, last_beacon_us=self._clock.wall_us()))
        self.record_attempt(self._beacon.target, trace)

    async def _handle_failure(self, transport: Transport | None, reason: Reason) -> None:
        is_session = transport is not None and transport.is_session
        is_broken = is_session and self.status.connected and reason in PATH_REASONS
        is_lost = is_broken and not self._leave_reason and self._session_loss.begin()
        self._record_failure(transport, reason, is_lost=is_lost)
        if not is_lost:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(PREPARE_S):
                if await self.context.agent.prepare_word():
                    return
        self._session_loss.end()  # its network does not work, so there is nothing to report

    def _record_failure(
        self, transport: Transport | None, reason: Reason, *, is_lost: bool = False
    ) -> None:
        if self._leave_reason:
            return
        if transport is not None and is_lost:
            self._failed_passes.for_wait = 1
            with suppress(UplinkError, StateError):  # then the pass keeps its order
                self._selector.order_after_loss(transport, self._list_transports())
        elif self._is_pass_over(transport, reason):
            self._failed_passes.record_pass(is_refusal=self._is_refusal(reason))
        else:
            self._failed_passes.for_wait = 1  # the next transport within a second
        if self.status.connected or reason != self.status.last_failure:
            log.warning(choose_failure_sentence(reason), describe_reason(reason))
        self._set_status(
            replace(
                self.status,
                connected=False,
                last_failure=reason.value,
                last_failure_us=self._clock.wall_us(),
            )
        )

    def _is_refusal(self, reason: Reason) -> bool:
        """Return whether the transport was refused at once though the link is online."""
        lasted_us = self._clock.monotonic_us() - self._began_us
        is_online = self.context.agent.session_facts().link is Link.ONLINE
        return reason is Reason.UNREACHABLE and lasted_us < REFUSED_US and is_online

    def _is_pass_over(self, transport: Transport | None, reason: Reason) -> bool:
        """Return whether the pass over all transports has ended.

        A failure that no other transport can avoid ends it at once.
        """
        if transport is None:
            return True
        is_post = transport.entrance.carrier is not Carrier.STREAM
        if reason not in PATH_REASONS and not (reason is Reason.REFUSED and is_post):
            return True
        probes_before = self._selector.probes
        is_last = self._selector.record_failure(transport)
        if self._selector.probes != probes_before:
            self._save_selector()
        return is_last

    async def _wait_retry(self) -> None:
        passes = self._failed_passes
        seconds = self.reconnect_delay.draw_wait_s(passes.for_wait) if passes.for_wait else 0.0
        seconds = max(seconds, float(self._retry_after_s))  # as the collector asked
        while await self._wait_woken(seconds) and passes.for_wait and not self._leave_reason:
            seconds = min(seconds, self.reconnect_delay.draw_wait_s(passes.for_wait))
        passes.for_wait = self._retry_after_s = 0

    async def _wait_woken(self, seconds: float) -> bool:
        self._wake_event.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake_event.wait()
                return True
        return False

    @property
    def is_connected(self) -> bool:
        return self.status.connected

    def probe_in_s(self) -> float | None:
        """Return the seconds until better transports are probed, as PostMonitor asks."""
        return self._selector.probe_in_s()

    def note_reply(self) -> None:
        """Note that the collector answered by the transport in use."""
        self._failed_passes.reset()
        self._session_loss.end()
        if self._answer_timeout is not None and not self._answer_timeout.expired():
            self._answer_timeout.reschedule(None)
        is_session = self.status.transport.startswith(SESSIONS)
        if not self.status.connected:
            single = mark("connected to the collector, one batch at a time")
            log.info(mark("connected to the collector") if is_session else single)
        if is_session and self._clock.monotonic_us() - self._began_us >= STABLE_US:
            with suppress(UplinkError, StateError):
                for transport in self._list_transports():
                    if transport.name == self.status.transport:
                        self.note_delivery(transport)
        self._set_status(
            replace(self.status, connected=True, last_success_us=self._clock.wall_us())
        )

    def note_delivery(self, transport: Transport) -> None:
        """Prefer a transport that has delivered. Raises UplinkError, StateError."""
        transports = self._list_transports()
        if transport in transports and self._selector.record_delivery(transport, transports):
            self._save_selector()

    def record_attempt(self, target: str, trace: StepTrace) -> None:
        """Queue the steps of one attempt for the log."""
        with suppress(asyncio.QueueFull):
            self._attempt_queue.put_nowait((target, trace))

    @cached_property
    def _selector(self) -> TransportSelector:
        """Load the preferred transport; an unreadable file counts as empty."""
        try:
            stored = self.context.state.read_json(UPLINK) or {}
        except StateError:
            stored = {}
        good = stored.get("good")
        probes = stored.get("probes")
        return TransportSelector(
            self._clock,
            self.context.dial_context.rng,
            preferred=good if isinstance(good, str) else "",
            probes=probes if isinstance(probes, int) and 0 <= probes < 64 else 0,
        )

    def _save_selector(self) -> None:
        with suppress(StateError):
            stored = {"good": self._selector.preferred, "probes": self._selector.probes}
            self.context.state.write_json(UPLINK, stored, durable=False)

    async def _write_attempts(self) -> None:
        while True:
            await self._attempt_log.record(*await self._attempt_queue.get())

    def _set_status(self, status: ConnectionStatus) -> None:
        has_changed = status.connected != self.status.connected
        self.status = status
        if status.connected:
            self._connected_event.set()
        else:
            self._connected_event.clear()
        if has_changed or not status.connected:
            self._status_listener.mark_changed()
