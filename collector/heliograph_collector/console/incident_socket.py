"""Operators' entries by the command line: a Unix socket of the running collector.

The collector alone writes the log, so `heliograph-collector incidents` asks it. On the worst day an
operator may have a shell on the server and no browser. Each connection has one request and one
reply, both a line of JSON. A request without `shown` gets what readers would see; the same request
with it publishes, if that is still so.
"""

import asyncio
import logging
import socket
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec

from heliograph import local_socket
from heliograph.clock import Clock
from heliograph_collector.console.publication import (
    EntryPublisher,
    OperatorLog,
    Publication,
    PublicationChangedError,
)
from heliograph_collector.fleet.audit_log import AuditLog
from heliograph_collector.http.backend import Feed
from heliograph_collector.http.incident_cache import IncidentCache
from heliograph_collector.incidents.log_file import AlertLogError
from heliograph_collector.incidents.operator_entries import OperatorEntry, OperatorEntryError

SOCKET_FILE = "incidents.sock"
_MAX_BYTES = 65_536  # of a line; its texts have at most 500 characters
_TIMEOUT_S = 10.0  # of a caller; assumed
# Of the collector: an evaluation may hold the log for seconds, a slow disk too. Assumed.
_REPLY_TIMEOUT_S = 120.0
_START_TIMEOUT_S = 5.0  # assumed; the socket is there before the store is open
_CHANGED = "It has changed since you looked: look again, then say so."
log = logging.getLogger("heliograph.incidents")


class EntryRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An entry to show, or with `shown` to publish."""

    operator_entry: OperatorEntry
    actor: str  # for the audit trail
    shown: Publication | None = None


class EntryReply(msgspec.Struct, frozen=True, kw_only=True):
    """What readers would see, or see now; or a sentence on why nothing was published."""

    publication: Publication | None = None
    refusal: str = ""


class CommandServer:
    """Takes entries of the command line, one after the other."""

    def __init__(
        self, operator_log: OperatorLog, feed: Feed, trail: AuditLog, data: Path, clock: Clock
    ) -> None:
        self._publisher = EntryPublisher(operator_log, IncidentCache(feed))
        self._trail = trail
        self._data = data
        self._clock = clock

    async def run(self) -> None:
        """Serve until cancelled."""
        try:
            await local_socket.serve(self._data, SOCKET_FILE, self._answer)
        except OSError as error:
            log.error("No incidents by command: %s (%s).", SOCKET_FILE, error.strerror)

    async def _answer(self, connection: socket.socket) -> None:
        with suppress(OSError):  # TimeoutError too; the caller is gone
            line = await _receive_line(connection, _TIMEOUT_S)
            try:
                reply = await self._build_reply(line)
            except Exception:  # as for pages: the collector must not end by a bug of a command
                log.exception("bug in an entry by command")
                return  # without a reply: the entry may have been written
            await _send_line(connection, msgspec.json.encode(reply))

    async def _build_reply(self, line: bytes) -> EntryReply:
        try:
            request = msgspec.json.decode(line, type=EntryRequest)
        except msgspec.MsgspecError:
            return EntryReply(refusal="The command is of another version: restart the collector.")
        try:
            return EntryReply(publication=await self._handle(request))
        except PublicationChangedError:
            return EntryReply(refusal=_CHANGED)
        except OperatorEntryError as error:
            return EntryReply(refusal=str(error))
        except (OSError, AlertLogError) as error:
            return EntryReply(refusal=f"The log cannot be written, so nothing was said: {error}.")

    async def _handle(self, request: EntryRequest) -> Publication:
        entry = request.operator_entry
        if request.shown is None:
            return await self._publisher.preview(entry)

        async def record_audit(action: str) -> None:
            add = partial(self._trail.add, note=entry.note)
            now_us = self._clock.wall_us()
            await asyncio.to_thread(add, now_us, request.actor, action, entry.incident)

        await self._publisher.publish(entry, request.shown, record_audit)
        return request.shown


class NoReplyError(Exception):
    """A collector runs and does not answer; the message names it, and the cure."""


async def send_request(data: Path, request: EntryRequest) -> EntryReply:
    """Send a request to the collector that runs on `data`.

    Raises OSError if none runs there, NoReplyError, UnicodeEncodeError.
    """
    message = msgspec.json.encode(request)
    with await local_socket.connect(data, SOCKET_FILE, _START_TIMEOUT_S) as connection:
        try:
            await _send_line(connection, message)
            line = await _receive_line(connection, _REPLY_TIMEOUT_S)
            return msgspec.json.decode(line, type=EntryReply)
        except TimeoutError:
            reason = f"has not answered for {_REPLY_TIMEOUT_S:g} s: see its log"
        except (OSError, msgspec.MsgspecError):
            reason = "broke off: see its log, and restart it if it is of another version"
    raise NoReplyError(reason)


async def _send_line(connection: socket.socket, line: bytes) -> None:
    async with asyncio.timeout(_TIMEOUT_S):
        await asyncio.get_running_loop().sock_sendall(connection, line + b"\n")


async def _receive_line(connection: socket.socket, timeout_s: float) -> bytes:
    """Receive up to a newline, or what came before the end. Raises OSError."""
    content = b""
    async with asyncio.timeout(timeout_s):
        while not content.endswith(b"\n") and len(content) < _MAX_BYTES:
            part = await asyncio.get_running_loop().sock_recv(connection, _MAX_BYTES)
            if not part:
                break
            content += part
    return content
