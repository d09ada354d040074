"""Request single packets from the raw-packet helper, a separate program.

`async with start_raw_helper() as helper: await helper.ask("ttl_syn", "192.0.2.1", 443, ttl=3,
…)`
"""

import asyncio
import importlib.util
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TypedDict

PROGRAM = "heliograph_raw"
COMMAND = (sys.executable, "-m", PROGRAM)
MAX_LINE = 4_096
_START_S = 20.0  # scapy loads slowly
_GRACE_S = 6.0  # added to a request's own time, for a small and busy machine


class RawUnavailable(ValueError):  # noqa: N818 - a state of the machine, not an error
    """Report that raw packets are not available; str() is a sentence for the user."""


class RawKind(StrEnum):
    """Name the kind of reply; a router's message counts when nothing else came."""

    SYNACK = "synack"
    RST = "rst"
    FIN = "fin"
    DATA = "data"
    ICMP_TIME_EXCEEDED = "icmp_time_exceeded"
    ICMP_UNREACHABLE = "icmp_unreachable"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class RawReply:
    """Hold the reply to one packet.

    `ttl` and `ipid` are those of the reply packet, `head` is the beginning of its payload.
    """

    kind: RawKind
    source: str = ""
    ttl: int = 0
    ipid: int = 0
    head: bytes = b""


class _RawMessage(TypedDict, total=False):
    """Describe a line of the helper: its greeting, a refusal, or a reply.

    The program is another's, so `_parse_reply` checks each value.
    """

    ready: bool
    message: str  # why it is not ready
    id: int  # of the request
    error: str
    errno: int
    kind: str
    source: str
    ttl: int
    ipid: int
    head: str  # hexadecimal


class RawHelper:
    """Talk to a running helper; one request at a time."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._lock = asyncio.Lock()
        self._request_count = 0

    async def ask(
        self, op: str, address: str, port: int, *, ttl: int, timeout_s: float, payload: bytes = b""
    ) -> RawReply:
        """Send one packet; heliograph_raw describes `op`.

        Raises OSError when the system refused to send or to connect, and RawUnavailable when the
        helper breaks the protocol.
        """
        async with self._lock:
            self._request_count += 1
            request = {
                "id": self._request_count,
                "op": op,
                "address": address,
                "port": port,
                "ttl": ttl,
                "timeout_s": timeout_s,
                "payload": payload.hex(),
            }
            assert self._process.stdin is not None  # noqa: S101 - it was started with a pipe
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            # A connection may take as long again as the reply to the data sent on it.
            reply = await self._read_reply(self._request_count, 2 * timeout_s + _GRACE_S)
        if "error" in reply:
            raise RawUnavailable(f"The raw packet helper refused: {reply['error']}.")
        return _parse_reply(reply)

    async def _read_reply(self, request_id: int, deadline_s: float) -> _RawMessage:
        """Read the reply to a request; skip replies to earlier requests that timed out."""
        while True:
            reply = await _read_message(self._process, deadline_s)
            reply_id = reply.get("id")
            if type(reply_id) is not int or reply_id > request_id:
                raise RawUnavailable("The raw packet helper does not answer as agreed.")
            if reply_id == request_id:
                return reply


@asynccontextmanager
async def start_raw_helper(command: Sequence[str] = COMMAND) -> AsyncIterator[RawHelper]:
    """Start the helper and stop it at the end. Raises RawUnavailable with the fix."""
    if PROGRAM in command and importlib.util.find_spec(PROGRAM) is None:
        raise RawUnavailable(
            "Raw packets need a separate program: run pip install ./agent/raw in a checkout of "
            "Heliograph."
        )
    process = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, limit=MAX_LINE
    )
    try:
        ready = await _read_message(process, _START_S)
        if ready.get("ready") is not True:
            raise RawUnavailable(str(ready.get("message", "The raw packet helper is not ready.")))
        yield RawHelper(process)
    finally:
        await _stop(process)


async def _read_message(process: Process, deadline_s: float) -> _RawMessage:
    assert process.stdout is not None  # noqa: S101 - it was started with a pipe
    try:
        async with asyncio.timeout(deadline_s):
            message: _RawMessage | None = json.loads(await process.stdout.readline() or b"null")
    except (TimeoutError, ValueError) as error:  # also a line that is too long
        raise RawUnavailable("The raw packet helper does not answer as agreed.") from error
    if not isinstance(message, dict):
        raise RawUnavailable("The raw packet helper ended.")
    return message


def _parse_reply(reply: _RawMessage) -> RawReply:
    try:
        if "errno" in reply:
            raise OSError(int(reply["errno"]), "refused by the system")
        return RawReply(
            kind=RawKind(reply["kind"]),
            source=str(reply["source"])[:64],
            ttl=int(reply["ttl"]),
            ipid=int(reply["ipid"]),
            head=bytes.fromhex(reply["head"])[:64],
        )
    except (KeyError, ValueError, TypeError) as error:
        raise RawUnavailable("The raw packet helper does not answer as agreed.") from error


async def _stop(process: Process) -> None:
    """Close the helper's input; kill it when it does not exit in time."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(_GRACE_S):
            await _drain(process)
    except TimeoutError:
        pass
    finally:  # also when this task is cancelled
        if process.returncode is None:
            process.kill()
    await _drain(process)


async def _drain(process: Process) -> None:
    """Wait for the helper's exit and read its output, so that the pipe closes."""
    while process.stdout is not None and await process.stdout.read(MAX_LINE):
        pass
    await process.wait()
