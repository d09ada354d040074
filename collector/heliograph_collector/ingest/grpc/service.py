"""The Intake service: enrolment, sessions, lone envelopes; a refusal is a status and a word."""

import asyncio
import logging
import random
import sqlite3
from collections.abc import AsyncIterator
from typing import TypeAlias

import grpc

from heliograph import keys
from heliograph.http_envelope import PLACE, Request, place_of
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.fleet import agent_keys, quarantine
from heliograph_collector.fleet.keyring import Keyring
from heliograph_collector.fleet.registry import RefusedError
from heliograph_collector.ingest import rate_limits
from heliograph_collector.ingest.collector_faults import Doubt, cut_off, fault_row, follow
from heliograph_collector.ingest.grpc.session import (
    Context,
    HelloRefusedError,
    Session,
    greet,
    offer_plan,
    sighting,
    status_of,
)
from heliograph_collector.ingest.presence import Ending, Presence, Visit
from heliograph_collector.ingest.stall_detector import Span, moment, stall
from heliograph_collector.ingest.submit import Answers
from heliograph_collector.model.records import JournalRow, Kind
from heliograph_collector.store.journal.journal import JournalError

EnrolContext: TypeAlias = "grpc.aio.ServicerContext[pb.EnrolRequest, pb.EnrolResponse]"
SubmitContext: TypeAlias = "grpc.aio.ServicerContext[pb.SubmitRequest, pb.SubmitResponse]"

_MAX_VERSION = 64
_FORWARDED = "x-forwarded-for"
_BUSY_S, _FULL_S = 5, 60
_ROWS = 500  # of presence, in one commit
log = logging.getLogger("heliograph.intake")


class IntakeService:
    """The servicer that gRPC calls. `sessions` bounds how many agents may be connected."""

    def __init__(
        self,
        answers: Answers,
        presence: Presence,
        keyring: Keyring,
        sessions: int,
        rng: random.Random,
        *,
        strangers: bool = False,
    ) -> None:
        """`strangers`: who has no invite is let into quarantine."""
        self._door, self._answers = answers.door, answers
        self._presence = presence
        self._keyring = keyring
        self._sessions = sessions
        self._strangers = strangers
        self._rng = rng
        self._unary = asyncio.Semaphore(rate_limits.UNARY_AT_ONCE)
        self._farewells: asyncio.Queue[JournalRow] = asyncio.Queue(sessions)
        self._looked = moment(answers.door.clock)
        self._stalls: list[Span] = []
        self._cut_off: Doubt | None = None
        self._late_s = 0.0  # how far behind we are with everything

    async def Enrol(  # noqa: N802 - gRPC looks for this name, and for the two below
        self, request: pb.EnrolRequest, context: EnrolContext
    ) -> pb.EnrolResponse:
        enrolments = self._door.counters.enrolments
        place = self._door.geo.locate(_path(context), self._door.clock.wall_us())
        wait_s = _BUSY_S if self._unary.locked() else self._door.stranger_waits_s(place)
        if not wait_s and not request.token and self._strangers:
            wait_s = self._door.newcomer_waits_s(place)
        if wait_s:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", _again(wait_s))
        try:
            async with self._unary, asyncio.timeout(rate_limits.RPC_S):
                response = await self._enrol(request)
        except RefusedError as refused:
            enrolments.labels(refused.reason).inc()
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, refused.reason)
        except (TimeoutError, sqlite3.Error):
            enrolments.labels("late").inc()
            await context.abort(grpc.StatusCode.UNAVAILABLE, "late", _again(_BUSY_S))
        enrolments.labels("enrolled").inc()
        return response

    async def _enrol(self, request: pb.EnrolRequest) -> pb.EnrolResponse:
        """Raises RefusedError."""
        if not keys.verify(request.public_key, request.proof, keys.ENROL, request.token):
            raise RefusedError("bad_proof")
        roll = self._door.roll
        now_s = self._door.clock.wall_us() // 1_000_000
        version = request.agent_version[:_MAX_VERSION]
        if request.token:
            agent = await asyncio.to_thread(
                roll.fleet.enrol, request.token, request.public_key, version, now_s
            )
        elif self._strangers:
            agent = await asyncio.to_thread(
                quarantine.enrol_stranger, roll.fleet, request.public_key, version, now_s
            )
        else:
            raise RefusedError("invite_wanted")
        roll.add(agent)
        return pb.EnrolResponse(
            agent=agent.id,
            signing_key=self._keyring.signing.public,
            sealing_key=self._keyring.sealing.public,
            plan=roll.plan,
            role=agent.role,
            key_expires_s=agent_keys.expires_s(agent),
        )

    async def Submit(  # noqa: N802
        self, request: pb.SubmitRequest, context: SubmitContext
    ) -> pb.SubmitResponse:
        """Never fails on what the envelope holds; that it may come again is a receipt too."""
        receipt = pb.Receipt(status=pb.STATUS_RETRY, retry_after_s=_BUSY_S)
        later = pb.SubmitResponse(receipt=receipt)
        if self._unary.locked():
            return later
        handed = Request(
            envelope=request.envelope.SerializeToString(),
            place=_place(context),
            plan=request.plan if request.HasField("plan") else None,
        )
        try:
            async with self._unary, asyncio.timeout(rate_limits.RPC_S):
                return await self._answers(handed, _path(context), "submit")
        except TimeoutError:
            return later

    async def Session(  # noqa: N802
        self, request_iterator: AsyncIterator[pb.AgentMessage], context: Context
    ) -> None:
        counters = self._door.counters
        if len(self._presence) >= self._sessions:
            counters.hellos.labels("full").inc()
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", _again(_FULL_S))
        if self._late_s > rate_limits.LATE_S:  # a hello taken now would be late, and come again
            counters.hellos.labels("busy").inc()
            wait_s = self._rng.randint(_BUSY_S, _FULL_S)
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", _again(wait_s))
        place = self._door.geo.locate(_way(context), self._door.clock.wall_us())
        try:
            visit = await greet(context, self._door, place)
            ending = await self._stay(context, visit)
        except HelloRefusedError as refused:
            counters.hellos.labels(refused.outcome).inc()
            await context.abort(refused.status, refused.outcome)
        status = status_of(ending)
        if status is not None:
            await context.abort(status, ending.value)

    async def _stay(self, context: Context, visit: Visit) -> Ending:
        """Raises HelloRefusedError when the arrival cannot be written down."""
        session = Session(context, visit, self._door, self._rng, self.look)
        # Before its row: else its loss could be written behind it, and stand though it is back.
        self._presence.arrive(visit)
        ending = Ending.CLOSED
        try:
            await self._arrive(visit)
            self._door.counters.hellos.labels("welcome").inc()
            ending = await session.run()
        finally:
            self._leave(visit, ending, session.farewell)
        return ending

    async def _arrive(self, visit: Visit) -> None:
        """Raises HelloRefusedError."""
        wall_us = self._door.clock.wall_us()
        try:
            await self._door.journal.append([visit.row(Kind.ARRIVAL, wall_us)])
        except JournalError:
            raise HelloRefusedError("journal", grpc.StatusCode.UNAVAILABLE) from None
        self._door.roll.saw(sighting(visit, wall_us))
        self._door.counters.sessions.set(len(self._presence))

    def _leave(self, visit: Visit, ending: Ending, farewell: str) -> None:
        """Also in a cancelled handler, so the row itself is written by `tend`."""
        wall_us = self._door.clock.wall_us()
        row = self._presence.leave(visit, ending, farewell, wall_us)
        if row is not None and not self._farewells.full():
            self._farewells.put_nowait(row)
        self._door.counters.sessions.set(len(self._presence))
        self._door.counters.endings.labels(ending).inc()

    def felt(self, late_s: float) -> None:
        """By so much the last beat came late."""
        self._late_s = late_s

    def look(self) -> None:
        """Find out whether we stood still since the last look, and then call nobody silent."""
        before, self._looked = self._looked, moment(self._door.clock)
        stalled = stall(before, self._looked)
        if stalled is not None:
            self._presence.spare(self._looked.monotonic_us)
            self._stalls.append(stalled)

    async def tend(self) -> None:
        """Write goodbyes, losses and faults down as they become true; never returns."""
        while True:
            try:
                async with asyncio.timeout(1.0):
                    rows = [await self._farewells.get()]
            except TimeoutError:
                rows = []
            while len(rows) < _ROWS and not self._farewells.empty():
                rows.append(self._farewells.get_nowait())  # a country that goes to bed, at once
            await self._write(rows)
            await self._confess()
            await self._notice_doubles()

    async def _write(self, rows: list[JournalRow]) -> None:
        """A loss that cannot be written is tried again, for silence is data; a goodbye is not."""
        door = self._door
        self.look()
        now = self._looked
        lost = self._presence.lost(now.monotonic_us, door.roll.heartbeat_s)
        rows = [*rows, *(visit.lost_row(now.wall_us, now.monotonic_us) for visit in lost)]
        if not rows:
            return
        try:
            await door.journal.append(rows)
        except JournalError as error:
            log.error("presence of %d agents not written: %s", len(rows), error)
        else:
            self._presence.told(lost)
            door.counters.lost.inc(len(lost))

    async def _confess(self) -> None:
        """Our own faults. Such a row is tried again: a silence of ours must not pass for theirs."""
        failing = cut_off(self._presence.controls())
        doubt, span = follow(self._cut_off, failing, self._door.clock.wall_us())
        stalls = list(self._stalls)
        rows = [fault_row("stalled", one) for one in stalls]
        rows += [fault_row("probe", span)] if span else []
        try:
            if rows:
                await self._door.journal.append(rows)
        except JournalError as error:
            log.error("%d faults of ours not written: %s", len(rows), error)
        else:
            self._cut_off = doubt
            del self._stalls[: len(stalls)]

    async def _notice_doubles(self) -> None:
        """Told to the operator by the log and the roll, to the volunteers by their sessions."""
        roll, now_s = self._door.roll, self._door.clock.wall_us() // 1_000_000
        for visit in self._presence.doubles(roll.heartbeat_s):
            if not visit.outbox.full():
                advice = pb.Advice(reason="cloned")
                visit.outbox.put_nowait(pb.CollectorMessage(advice=advice))
            try:
                await roll.doubt(quarantine.doubled, visit.agent, now_s)
                visit.agent = roll.get(visit.agent.id) or visit.agent
            except sqlite3.Error as error:
                visit.doubled = False
                log.warning("fleet.db: %s", error)

    def fleet_changed(self) -> None:
        """Another process wrote fleet.db: push the plan, end the revoked."""
        for visit in self._presence:
            agent = self._door.roll.get(visit.agent.id)
            if agent is None or agent.revoked_s is not None:
                visit.end(Ending.REVOKED)
            else:
                visit.agent = agent
                offer_plan(visit, self._door)

    def end_all(self) -> None:
        for visit in self._presence:
            visit.end(Ending.STOPPED)


def _way(context: "Context | EnrolContext | SubmitContext") -> str:
    """The addresses of a vantage, as `geo.origin` takes them; none where it is by a proxy."""
    return "" if _place(context) else _path(context)


def _path(context: "Context | EnrolContext | SubmitContext") -> str:
    """The addresses a call came by, whosever they are."""
    said = [str(value) for key, value in context.invocation_metadata() or () if key == _FORWARDED]
    return ",".join([*said, context.peer()])


def _place(context: "Context | EnrolContext | SubmitContext") -> str:
    return place_of(str(v) for key, v in context.invocation_metadata() or () if key == PLACE)


def _again(wait_s: int) -> tuple[tuple[str, str]]:
    """Trailing metadata of a refusal for want of room."""
    return (("retry-after-s", str(wait_s)),)
