"""Append rows: each is one message, acknowledged when the servers' quorum has it.

Theory of operation. A message's subject is used once: the stream refuses a second one (`discard
new` with one message a subject). So a message may be sent again and again until a server answers,
and a refusal is the answer to a repeat. A token tells whose first message it was: each row of each
call draws one. The refused writer reads the stored message at the stream's leader, which has only
what the quorum agreed on:
- our token: an earlier try of this call was stored, and its answer was lost. The row is appended.
- another token: the envelope was there before. It is a repeat.
- nothing: the first is still on its way to the quorum. Neither answer would be true: ask again.

A row whose call ended without an answer may be stored later. Its caller appends an equal row; for
rows other than envelopes, which have no number, the token of an equal row is used again.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from itertools import islice
from secrets import token_bytes

import nats.js.errors
from nats.js.api import Header

from heliograph_collector.model.records import JournalRow, RowKind
from heliograph_collector.store.journal.group_commit import (
    MAX_QUEUED,
    MAX_QUEUED_BYTES,
    JournalBusyError,
    JournalError,
    JournalFullError,
)
from heliograph_collector.store.journal.jetstream.connection import (
    RETRY_S,
    UNANSWERED,
    NatsConnection,
)
from heliograph_collector.store.journal.jetstream.lease import AppendPermission
from heliograph_collector.store.journal.jetstream.row_publisher import RowPublisher
from heliograph_collector.store.journal.jetstream.stored_rows import (
    RECEIVED,
    TOKEN_BYTES,
    Subjects,
    decode_message,
    encode_row,
)

WINDOW = 256  # messages in flight of one call: at 256 three servers stored 5,816 a second
_REFUSED = 10_077  # err_code: the stream did not store it, for a reason that the text gives
_PER_SUBJECT = "per subject"
_NO_SPACE = frozenset({10_023, 10_028, 10_047})  # err_codes: storage or memory of the servers
LATE_S = 600.0  # assumed; how long a message may wait in the buffers of a connection
_MAX_UNANSWERED = 100_000  # rows that are remembered; more than LATE_S of MAX_QUEUED every 30 s


class RowWriter:
    """Writer of one stream, with bounds on unanswered messages."""

    def __init__(
        self, connection: NatsConnection, lease: AppendPermission, subjects: Subjects
    ) -> None:
        self._connection = connection
        self._lease = lease
        self._subjects = subjects
        self._publisher = RowPublisher(connection)
        self._queued_bytes = 0
        self._token_by_row: OrderedDict[JournalRow, bytes] = OrderedDict()
        self.calls_in_flight: set[object] = set()
        self._late_until_s: OrderedDict[tuple[bytes, int], float] = OrderedDict()

    async def append(self, rows: Sequence[JournalRow], deadline_s: float) -> list[int | None]:
        """Append rows in order; None for an envelope that was there. Raises JournalError."""
        size = sum(len(row.body) for row in rows)
        is_full = len(self.calls_in_flight) >= MAX_QUEUED
        if is_full or self._queued_bytes + size > MAX_QUEUED_BYTES:
            raise JournalBusyError("Too many envelopes wait for the journal's servers.")
        call = object()
        self.calls_in_flight.add(call)
        self._queued_bytes += size
        try:
            async with asyncio.timeout(deadline_s):
                await self._lease.wait_until_held()
                return await self._append_in_order(rows)
        except TimeoutError:
            raise self._connection.build_failure() from None
        finally:
            self._queued_bytes -= size
            self.calls_in_flight.discard(call)

    async def _append_in_order(self, rows: Sequence[JournalRow]) -> list[int | None]:
        if len(rows) == 1:
            return [await self._append_row(rows[0])]
        appended: list[int | None] = []
        remaining = iter(rows)
        while window := list(islice(remaining, WINDOW)):
            # The tasks start in this order, and one connection keeps it.
            answers = await asyncio.gather(
                *(self._append_row(row) for row in window), return_exceptions=True
            )
            for answer in answers:
                if isinstance(answer, BaseException):
                    raise answer
                appended.append(answer)
        return appended

    async def _append_row(self, row: JournalRow) -> int | None:
        """Send until it is stored or refused; the caller's deadline ends it."""
        token = self._take_token(row) or token_bytes(TOKEN_BYTES)
        subject = self._subjects.of_row(row, token)
        payload = encode_row(row, token)
        try:
            while True:
                try:
                    self._connection.check()
                    return await self._send(subject, payload, token, row)
                except (*UNANSWERED, JournalBusyError):
                    self._note_unanswered(row, token)
                await asyncio.sleep(RETRY_S)
                self._take_token(row)
        except asyncio.CancelledError:
            self._note_unanswered(row, token)
            raise

    async def _send(
        self, subject: str, payload: bytes, token: bytes, row: JournalRow
    ) -> int | None:
        headers = {RECEIVED: str(row.received_us), Header.EXPECTED_STREAM: self._subjects.name}
        try:
            return await self._publisher.publish(subject, payload, headers)
        except nats.js.errors.APIError as error:
            if error.err_code == _REFUSED:
                return await self._resolve_refusal(subject, token, error)
            if error.err_code in _NO_SPACE:
                raise self._build_full(error) from error
            if isinstance(error, UNANSWERED):
                raise
            raise JournalError(
                f"The journal's servers refuse a row ({error.description})."
            ) from error

    async def _resolve_refusal(
        self, subject: str, token: bytes, refusal: nats.js.errors.APIError
    ) -> int | None:
        try:
            message = await self._connection.js.get_msg(self._subjects.name, subject=subject)
        except nats.js.errors.NotFoundError:
            if _PER_SUBJECT not in (refusal.description or ""):
                raise self._build_full(refusal) from refusal
            raise self._connection.build_failure() from refusal
        position = message.seq or 0
        if decode_message(position, message.data).token == token:
            return position
        return None

    def _build_full(self, error: nats.js.errors.APIError) -> JournalFullError:
        return JournalFullError(
            f"The journal's servers store nothing more ({error.description}): free space on their "
            "disks, or raise max_gib of store.journal and the limits of their account."
        )

    def may_come(self, agent: bytes, sequence: int) -> bool:
        """Return whether a message of this envelope may still be on its way."""
        until_s = self._late_until_s.get((agent, sequence), 0.0)
        return until_s > asyncio.get_running_loop().time()

    @property
    def is_any_late(self) -> bool:
        """Return whether a message that nobody answered may still be on its way."""
        newest_s = next(reversed(self._late_until_s.values()), 0.0)
        return newest_s > asyncio.get_running_loop().time()

    def _take_token(self, row: JournalRow) -> bytes | None:
        """Take the token of an equal row that nobody answered, which envelopes never have."""
        return self._token_by_row.pop(row, None) if self._token_by_row else None

    def _note_unanswered(self, row: JournalRow, token: bytes) -> None:
        if row.kind is not RowKind.ENVELOPE:
            self._token_by_row[row] = token
            while len(self._token_by_row) > _MAX_UNANSWERED:
                self._token_by_row.popitem(last=False)
            return
        key = (row.agent, row.sequence)
        self._late_until_s.pop(key, None)
        self._late_until_s[key] = asyncio.get_running_loop().time() + LATE_S
        while len(self._late_until_s) > _MAX_UNANSWERED:
            self._late_until_s.popitem(last=False)
