"""Keep one transport to the collector open, and wait when none works.

An attempt uses a transport until it fails, or `leave`, `restart` or a probe of better ones ends it.
A failure on the path leads to the next transport of the pass within a second. Any other failure,
and that of the last transport, ends the pass, and the wait doubles with each failed pass
(reconnect_delay.py). A reply of the collector resets the count.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from heliograph.plan import Carrier, Entrance
from heliograph_agent.net.trace import StepTrace
from heliograph_agent.state import UPLINK, Collector, State, StateError
from heliograph_agent.uplink.attempt_log import AttemptLog
from heliograph_agent.uplink.clock_offset import ClockFilter
from heliograph_agent.uplink.dial_context import DialContext
from heliograph_agent.uplink.dns_beacon import DnsBeacon
from heliograph_agent.uplink.plan_download import (
    PlanDownloader,
    make_relay_reader,
    read_own_receipt,
)
from heliograph_agent.uplink.reconnect_delay import ReconnectDelay
from heliograph_agent.uplink.session import SessionHost
from heliograph_agent.uplink.transports import (
    Reason,
    Transport,
    TransportSelector,
    UplinkError,
    list_transports,
)

SHORT_WAIT_FAILURES = 4  # after the link is online again; waits of up to 8 s
STABLE_US = 180_000_000  # the network does not freeze a session that lasts so long
MAX_QUEUED_ATTEMPTS = 64  # attempts that wait to be stored
log = logging.getLogger("heliograph.uplink")

# Another transport may avoid these; it cannot avoid the collector's refusal or a local error.
PATH_REASONS = (Reason.UNREACHABLE, Reason.NO_ANSWER, Reason.PIN_MISMATCH)

SENTENCES = {
    Reason.UNREACHABLE: "the collector cannot be reached",
    Reason.PIN_MISMATCH: "somebody else answers in the collector's place, nothing was sent",
    Reason.NO_ANSWER: "the collector does not answer",
    Reason.UNKNOWN_AGENT: "the collector does not know this agent (any more): ask its operator",
    Reason.BUSY: "the collector is busy",
    Reason.ENDED: "the collector ended the session",
    Reason.REFUSED: "the collector refused the session",
    Reason.SPOOL: "the spool cannot be read or written: see `heliograph-agent status`",
    Reason.STATE: "the agent's own files cannot be read: see `heliograph-agent status`",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionStatus:
    """Describe the connection to the collector, for status.json."""

    connected: bool = False
    transport: str = ""  # name of the transport in use or last used
    last_success_us: int = 0
    last_failure: str = ""
    last_failure_us: int = 0
    last_beacon_us: int = 0  # when the collector last answered a DNS beacon


class ActiveTransport(Protocol):
    """Declare the hints to the transport in use, a stream or single posts."""

    def wake(self) -> None: ...

    def leave(self, reason: str) -> None: ...


class Uplink:
    """Run attempts until `leave`; the other methods are hints to `run`."""

    def __init__(
        self,
        state: State,
        host: SessionHost,
        *,
        heartbeat_s: Callable[[], int],
        get_wait_s: Callable[[int], float],
        on_changed: Callable[[], None],
        entrances: Callable[[], Sequence[Entrance]] = tuple,
        is_guarded: Callable[[Entrance], bool] = lambda _: False,
        dial_context: DialContext | None = None,
        beacon: DnsBeacon | None = None,
    ) -> None:
        self.offsets = ClockFilter()
        self.status = ConnectionStatus()
        self.dial_context = dial_context or DialContext(host.clock, random.SystemRandom())
        self._state = state
        self.reconnect_delay = ReconnectDelay(host.clock, self.dial_context.rng)
        self._host = replace(host, on_reply=self._on_reply, reconnect_delay=self.reconnect_delay)
        self._heartbeat_s = heartbeat_s
        self._get_wait_s = get_wait_s
        self._on_changed = on_changed
        self._entrances = entrances
        self._is_guarded = is_guarded
        self._beacon = beacon
        self._selector: TransportSelector | None = None
        self._plan_downloader = PlanDownloader(lambda: host.facts().plan_version, host.take_plan)
        self._attempt_log = AttemptLog(host.clock, host.on_attempt)
        self._attempt_queue: asyncio.Queue[tuple[str, StepTrace]] = asyncio.Queue(
            MAX_QUEUED_ATTEMPTS
        )
        self._failures = 0
        self._wait_failures = 0  # failures that determine the next wait
        self._retry_after_s = 0
        self._active_transport: ActiveTransport | None = None
        self._began_us = 0
        self._leave_reason = ""
        self._connected_event = asyncio.Event()  # a transport works
        self._idle_event = asyncio.Event()  # no envelope waits for a receipt
        self._wake_event = asyncio.Event()  # ends a wait between two attempts

    def wake(self) -> None:
        """Note that a batch was closed."""
        self._idle_event.clear()
        if self._active_transport is not None:
            self._active_transport.wake()

    def shorten_wait(self) -> None:
        """Shorten a long wait to a few seconds, because the link is online again.

        Some wait remains, because the links of all agents return at once.
        """
        if not self.status.connected and self._failures > SHORT_WAIT_FAILURES:
            self._failures = self._wait_failures = SHORT_WAIT_FAILURES
            self._wake_event.set()

    def restart(self) -> None:
        """End the session after a network change, and try the best transport at once."""
        self._failures = self._wait_failures = 0
        self._attempt_log.reset()
        if self._selector is not None:
            self._selector.reset_network()
        self._wake_event.set()
        if self._active_transport is not None:
            self._active_transport.leave("network_change")

    def leave(self, reason: str) -> None:
        """Deliver what can be sent at once, say goodbye, and let `run` return."""
        self._leave_reason = reason
        self._wake_event.set()
        if self._active_transport is not None:
            self._active_transport.leave(reason)

    async def wait_delivered(self) -> None:
        """Wait until everything is acknowledged; the caller limits the wait."""
        await self._connected_event.wait()
        await self._idle_event.wait()

    async def run(self) -> None:
        """Run until `leave`; a later call runs again, for example after a pause."""
        self._leave_reason = ""
        self._failures = 0
        self._wait_failures = 0
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
                self._selector = self._selector or self._load_selector()
                transport = self._select_transport(self._selector)
                await self._run_transport(transport)
            except UplinkError as error:
                self._retry_after_s = error.retry_after_s
                self._record_failure(transport, error.reason)
            except StateError:  # a failing disk may recover
                self._record_failure(transport, Reason.STATE)
            finally:
                self._active_transport = None
            self._set_status(replace(self.status, connected=False))
            await self._send_beacon()
            if not self._leave_reason:
                await self._wait_retry()

    def _select_transport(self, selector: TransportSelector) -> Transport:
        """Select the next transport. Raises UplinkError, StateError."""
        return selector.select_next(
            self._list_transports(), self._host.clock.monotonic_us(), self.dial_context.rng
        )

    def _list_transports(self) -> Sequence[Transport]:
        collector = self._state.collector()
        if collector is None:
            raise UplinkError(Reason.UNKNOWN_AGENT)
        entrances = self._entrances()
        use = self.dial_context.proxy_use
        return list_transports(collector.endpoint, entrances, use, self._is_guarded)

    async def _run_transport(self, transport: Transport) -> None:
        """Use a transport until it ends. Raises UplinkError, StateError."""
        self._began_us = self._host.clock.monotonic_us()
        self._set_status(replace(self.status, transport=transport.name))
        if transport.entrance.carrier is Carrier.STREAM:
            await self._run_stream(transport)
        else:
            await self._run_posts(transport)

    async def _run_stream(self, transport: Transport) -> None:
        from heliograph_agent.uplink.stream_transport import StreamTransport

        stream_transport = StreamTransport(
            state=self._state,
            host=self._host,
            dial_context=self.dial_context,
            transport=transport,
            offsets=self.offsets,
            heartbeat_s=self._heartbeat_s(),
            idle_event=self._idle_event,
            is_connected=lambda: self.status.connected,
            on_attempt=lambda trace: self._queue_attempt(transport.name, trace),
        )
        self._active_transport = stream_transport
        await stream_transport.run()

    async def _run_posts(self, transport: Transport) -> None:
        from heliograph_agent.uplink.single_post import PostTransport, deliver_envelope

        collector = self._state.collector()
        if collector is None or self._selector is None:
            raise UplinkError(Reason.UNKNOWN_AGENT)
        pin = transport.select_pin(collector.pin)
        selector = self._selector
        post_transport = PostTransport(
            self._host,
            transport,
            lambda post, trace: deliver_envelope(self.dial_context, transport, pin, post, trace),
            self._idle_event,
            plan_downloader=self._plan_downloader,
            read_receipt=make_relay_reader(collector) if transport.is_relay else read_own_receipt,
            on_attempt=lambda trace: self._queue_attempt(transport.name, trace),
            on_delivered=lambda: self._on_delivered(transport),
        )
        self._active_transport = post_transport
        await post_transport.run(lambda: selector.probe_in_s(self._host.clock.monotonic_us()))

    async def _send_beacon(self) -> None:
        """Send a DNS beacon when every transport has failed and both sides allow it."""
        now_us = self._host.clock.monotonic_us()
        collector = self._read_collector()
        if self._beacon is None or collector is None or self._leave_reason or not self._failures:
            return
        if not self._beacon.is_due(now_us):
            return
        query = self._beacon.make_query(collector, self._host.clock.wall_us())
        if query is None:
            return
        trace = StepTrace(self._host.clock)
        await self.dial_context.make_net(trace).resolve(query.name, query_type="AAAA")
        wall_us = self._host.clock.wall_us()
        if self._beacon.record(query, trace, wall_us, self._host.clock.monotonic_us()):
            log.info("the collector took in by DNS what answers here")
            self._set_status(replace(self.status, last_beacon_us=wall_us))
        self._queue_attempt(self._beacon.target, trace)

    def _read_collector(self) -> Collector | None:
        with suppress(StateError):
            return self._state.collector()
        return None

    def _record_failure(self, transport: Transport | None, reason: Reason) -> None:
        if self._leave_reason:
            return
        if self._is_pass_over(transport, reason):
            self._failures += 1
            self._wait_failures = self._failures
        else:
            self._wait_failures = 1  # the next transport within a second
        if self.status.connected or reason != self.status.last_failure:
            log.warning("%s; results are kept and sent later", SENTENCES.get(reason, reason))
        self._set_status(
            replace(
                self.status,
                connected=False,
                last_failure=reason.value,
                last_failure_us=self._host.clock.wall_us(),
            )
        )

    def _is_pass_over(self, transport: Transport | None, reason: Reason) -> bool:
        """Return whether the pass over all transports has ended.

        A failure that no other transport can avoid ends it at once.
        """
        is_single_post = transport is not None and transport.entrance.carrier is not Carrier.STREAM
        is_refused = reason is Reason.REFUSED and is_single_post
        if (
            transport is None
            or self._selector is None
            or (reason not in PATH_REASONS and not is_refused)
        ):
            return True
        probes_before = self._selector.probes
        is_last = self._selector.record_failure(
            transport, self._host.clock.monotonic_us(), self.dial_context.rng
        )
        if self._selector.probes != probes_before:
            self._save_selector(self._selector)
        return is_last

    async def _wait_retry(self) -> None:
        seconds = self._get_wait_s(self._wait_failures) if self._wait_failures else 0.0
        seconds = max(seconds, float(self._retry_after_s))  # as the collector asked
        self._retry_after_s = 0
        while await self._wait_woken(seconds) and self._wait_failures and not self._leave_reason:
            seconds = min(seconds, self._get_wait_s(self._wait_failures))
        self._wait_failures = 0

    async def _wait_woken(self, seconds: float) -> bool:
        self._wake_event.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake_event.wait()
                return True
        return False

    def _on_reply(self) -> None:
        self._failures = 0
        if not self.status.connected:
            mode = (
                "" if self.status.transport.startswith(Carrier.STREAM) else ", one batch at a time"
            )
            log.info("connected to the collector%s", mode)
        now_us = self._host.clock.monotonic_us()
        if (
            self.status.transport.startswith(Carrier.STREAM)
            and now_us - self._began_us >= STABLE_US
        ):
            with suppress(UplinkError, StateError):
                for transport in self._list_transports():
                    if transport.name == self.status.transport:
                        self._on_delivered(transport)
        self._set_status(
            replace(self.status, connected=True, last_success_us=self._host.clock.wall_us())
        )

    def _on_delivered(self, transport: Transport) -> None:
        """Prefer a transport that has delivered."""
        if self._selector is None:
            return
        transports = [*self._list_transports()]
        if transport in transports and self._selector.record_delivery(
            transport, transports, self._host.clock.monotonic_us(), self.dial_context.rng
        ):
            self._save_selector(self._selector)

    def _load_selector(self) -> TransportSelector:
        """Load the preferred transport; an unreadable file counts as empty."""
        try:
            stored = self._state.read_json(UPLINK) or {}
        except StateError:
            stored = {}
        good = stored.get("good")
        probes = stored.get("probes")
        return TransportSelector(
            preferred=good if isinstance(good, str) else "",
            probes=probes if isinstance(probes, int) and 0 <= probes < 64 else 0,
        )

    def _save_selector(self, selector: TransportSelector) -> None:
        with suppress(StateError):
            stored = {"good": selector.preferred, "probes": selector.probes}
            self._state.write_json(UPLINK, stored, durable=False)

    def _queue_attempt(self, target: str, trace: StepTrace) -> None:
        with suppress(asyncio.QueueFull):
            self._attempt_queue.put_nowait((target, trace))

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
            self._on_changed()
