"""No input of a stranger makes the event loop do much between two yields.

At any listener; counted in lines of Python and in bytes handed to functions. `tests/bench` has the
times.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import DecodeError

from heliograph.envelope import SIZES
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.ingest import rate_limits
from heliograph_collector.ingest.grpc.request_guard import MAX_MIXED_BYTES, parse_agent_message
from support.hostile_inputs import INPUTS, MOST
from support.intake import beat, channel, enrolled, greeted, ingest_server
from support.listeners import LISTENERS
from support.loop_turns import watched_turns

TESTS = Path(__file__).parents[2]
ENV = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])}
# 20,000 lines take some 2 ms; the worst inputs take 6,000. aiohttp hands one-byte chunks of a body
# on in turns of up to 4,096 (its own bound) and those of one read more, 30 lines each: 7 ms.
MAX_LINES = dict.fromkeys(INPUTS, 20_000) | {"http": 300_000}
MAX_BYTES = 8 * MOST  # each function on the way may be given all of the largest request


@pytest.mark.real
@pytest.mark.parametrize("listener", INPUTS)
async def test_work_of_one_turn_is_bounded(listener: str, tmp_path: Path) -> None:
    async with LISTENERS[listener](tmp_path) as port, attacker(listener, port) as attack:
        first = await attack()  # what is loaded or made on first use
        with watched_turns(counted=True) as turns:
            again = await attack()
    print(f"{listener}: {turns.lines} lines, {turns.bytes} bytes at most in {turns.turns} turns")
    assert first == again >= 4
    assert turns.turns > 10
    assert turns.lines <= MAX_LINES[listener], turns.longest
    assert turns.bytes <= MAX_BYTES, turns.longest


@asynccontextmanager
async def attacker(listener: str, port: int) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """Start a process that sends all hostile inputs when asked; yield what asks it."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "support.hostile_inputs", listener, str(port), "asked",
        cwd=TESTS, env=ENV, stdin=pipe, stdout=pipe,
    )  # fmt: skip
    questions, answers = process.stdin, process.stdout
    assert questions is not None
    assert answers is not None

    async def attack() -> int:
        questions.write(b"\n")
        async with asyncio.timeout(120):
            return int(await answers.readline())

    yield attack
    questions.close()
    assert await process.wait() == 0


def test_a_large_message_is_one_field_or_is_not_parsed() -> None:
    """A oneof that changed with each of 131,072 fields took 25 ms to parse."""
    for wire in (b"\x0a\x00\x22\x00" * (MOST // 4), b"\x12\x00\x1a\x00" * (MOST // 4)):
        with pytest.raises(DecodeError):
            parse_agent_message(wire)
        parse_agent_message(wire[: MAX_MIXED_BYTES // 4 * 4])
    for size in (0, 100, MAX_MIXED_BYTES, SIZES[-1]):
        message = pb.AgentMessage()
        message.envelope.sealed = bytes(size)
        assert parse_agent_message(message.SerializeToString()) == message
    with pytest.raises(DecodeError):
        parse_agent_message(message.SerializeToString() + b"\x22\x00")
    for head in (b"\x1a\xff\xff\xff\xff\xff\x01", b"\x1a\x80", b"\x9a\x01\x04", b"\x08\x01"):
        with pytest.raises(DecodeError):
            parse_agent_message(head + bytes(MAX_MIXED_BYTES))


CALLS = ("/heliograph.v1.Intake/Enrol", "/heliograph.v1.Intake/Submit")
WATCHES = (
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
)


@pytest.mark.parametrize("methods", [CALLS, WATCHES], ids=["no request", "no end"])
async def test_calls_that_do_not_end_shut_no_agent_out(
    methods: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each took one of the calls that all agents together may have, for half an hour."""
    monkeypatch.setattr(rate_limits, "MAX_PENDING", 10)
    monkeypatch.setattr(rate_limits, "MAX_UNARY_RPCS", 4)
    async with ingest_server(tmp_path, sessions=4) as server:
        caller = await enrolled(server)
        held = []
        for _ in range(4):
            credentials = grpc.ssl_channel_credentials(server.keyring.tls_certificate)
            options = (
                ("grpc.ssl_target_name_override", "heliograph-collector"),
                ("grpc.use_local_subchannel_pool", 1),
            )
            line = grpc.aio.secure_channel(server.endpoint, credentials, options)
            held.append(line)
            for number in range(8):  # as many as one connection may have
                pending: Any = line.stream_stream(methods[number % 2])()
                if methods is WATCHES:
                    await pending.write(b"")
                await pending.wait_for_connection()
                if methods is WATCHES:  # one that arrives after the hello would take its place
                    await asyncio.wait_for(pending.read(), 60)
        async with channel(server) as stub, asyncio.timeout(60):
            call = await greeted(stub, caller)
            assert (await beat(call)).HasField("clock")
            call.cancel()
        for line in held:
            await line.close()
