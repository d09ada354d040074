"""Hostile clients against a real collector, while honest agents still get through.

The intake is a separate process, so that its memory can be measured.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from heliograph import keys
from heliograph.envelope import INFO, SIZES, VERSION, hpke_suite
from heliograph.v1 import envelope_pb2, intake_pb2
from heliograph.zstd_frame import compress_frame
from heliograph_collector.fleet import Fleet, Keyring, open_keyring
from support.intake import (
    HOST,
    Caller,
    channel,
    create_invite,
    enrolled,
    greeted,
    receipts,
    refusal,
)
from support.zstd_library import zstd

HONEST = 4
PAUSE_S = 0.25  # the collector works for honest envelopes too, for all of the attacks' time
MOST_MIB = 192  # that all attacks together may add to the collector's memory
CEILING_S = 60.0  # a machine that is busy with other tests; what is measured is printed
MIB = 1_048_576
TESTS = Path(__file__).parents[2]
ENV = {**os.environ, "PYTHONPATH": str(TESTS)}


@dataclass
class Target:
    """A collector as its clients know it."""

    process: "subprocess.Popen[str]"
    port: int
    keyring: Keyring
    fleet: Fleet
    waits_s: list[float] = field(default_factory=list)  # of honest envelopes, from sent to receipt
    statuses: list[int] = field(default_factory=list)

    def mib(self, what: str = "VmRSS") -> float:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(x.split()[1]) / 1024 for x in lines if x.startswith(what))

    @property
    def endpoint(self) -> str:
        return f"{HOST}:{self.port}"

    def invite(self) -> bytes:
        return create_invite(self.fleet)

    async def enrolled(self) -> Caller:
        return await enrolled(self, keys.SigningKey(os.urandom(32)))


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    data = tmp_path_factory.mktemp("hostile")
    command = [sys.executable, "-m", "support.intake", str(data)]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=TESTS, env=ENV, stdin=pipe, stdout=pipe, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        port = int(process.stdout.readline())
        fleet = Fleet(data)
        yield Target(process, port, open_keyring(data, [HOST]), fleet)
        fleet.close()
        process.stdin.close()


@asynccontextmanager
async def honest_agents(target: Target) -> AsyncIterator[None]:
    """Run agents that send one envelope after another; each must be stored."""
    stop = asyncio.Event()

    async def work() -> None:
        caller, sequence = await target.enrolled(), 0
        async with channel(target) as stub:
            call = await greeted(stub, caller)
            while not stop.is_set():
                sequence += 1
                began = time.monotonic()
                envelope = caller.envelope(sequence)
                await call.write(intake_pb2.AgentMessage(envelope=envelope))
                (receipt,) = await receipts(call, 1)
                target.waits_s.append(time.monotonic() - began)
                target.statuses.append(receipt.status)
                with suppress(TimeoutError):
                    async with asyncio.timeout(PAUSE_S):
                        await stop.wait()
            call.cancel()

    async with asyncio.TaskGroup() as group:
        for _ in range(HONEST):
            group.create_task(work())
        yield
        stop.set()


async def attacked(
    target: Target, attack: str, meanwhile: Callable[[], Any] | None = None
) -> dict[str, Any]:
    """Run an attack in a separate process; return its result.

    `meanwhile` runs at its height.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "support.hostile_http2", attack, str(target.port),
        cwd=TESTS, env=ENV, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    if meanwhile is not None:
        await process.stdout.readline()
        await meanwhile()
    output, _ = await process.communicate()
    told: dict[str, Any] = json.loads(output)
    return told


def p99(waits_s: list[float]) -> float:
    return statistics.quantiles(waits_s, n=100)[98]


async def test_forged_envelopes_are_rejected_at_no_cost(target: Target) -> None:
    caller, other = await target.enrolled(), await target.enrolled()
    before = target.mib("VmHWM")
    async with channel(target) as stub:

        async def said(envelope: envelope_pb2.Envelope) -> tuple[str, str]:
            request = intake_pb2.SubmitRequest(envelope=envelope)
            receipt = (await stub.Submit(request, timeout=60)).receipt
            return intake_pb2.Status.Name(receipt.status).removeprefix("STATUS_"), receipt.reason

        first = caller.envelope(1)
        assert await said(first) == ("STORED", "")
        assert await said(first) == ("DUPLICATE", ""), "replayed"
        for name, (envelope, reason) in forged(caller, other, first).items():
            assert await said(envelope) == ("REJECTED", reason), name
        large = await refusal(said(envelope_pb2.Envelope(version=1, sealed=bytes(4 * MIB + 1))))
        assert large.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        bomb = intake_pb2.SubmitRequest(envelope=envelope_pb2.Envelope(sealed=bytes(100 * MIB)))
        squeezed = await refusal(stub.Submit(bomb, timeout=60, compression=grpc.Compression.Gzip))
        assert squeezed.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, "100 kB that unpack to 100 MB"
        assert await said(caller.envelope(2)) == ("STORED", ""), "and honest ones go on"
    peak = target.mib("VmHWM")
    print(f"\nforged envelopes: RSS at most {before:.0f} MiB before, {peak:.0f} after")
    assert peak - before < 64


@pytest.mark.slow
async def test_floods_hold_no_honest_agent_up(target: Target) -> None:
    came_in: list[float] = []

    async def newcomer() -> None:
        """Connect as a new agent while thousands hold connections: late, but in the end."""
        began = time.monotonic()
        while True:
            with suppress(grpc.aio.AioRpcError):
                await target.enrolled()
                break
            await asyncio.sleep(0.2)
        came_in.append(time.monotonic() - began)

    async with honest_agents(target):
        weights = [target.mib()]
        pinged = await attacked(target, "pings")
        weights.append(target.mib())
        reset = await attacked(target, "resets")
        weights.append(target.mib())
        endless = await attacked(target, "continuations")
        packed = await attacked(target, "bombs")
        weights.append(target.mib())
        held = await attacked(target, "slow", newcomer)
        weights += [target.mib(), target.mib("VmHWM")]
    print(
        f"\npings {pinged}; resets {reset}; head {endless}; HPACK {packed}; "
        f"slow {held}; a newcomer was in after {came_in[0]:.1f} s; "
        f"honest: {len(target.waits_s)} envelopes, p99 "
        f"{p99(target.waits_s) * 1_000:.0f} ms, most {max(target.waits_s) * 1_000:.0f} ms; "
        f"RSS {' → '.join(f'{mib:.0f}' for mib in weights[:-1])} MiB, {weights[-1]:.0f} at most"
    )
    assert pinged["ended"], "too many pings end the connection"
    assert endless["ended"], "a head without end ends the connection"
    assert held["closed"] == held["of"], "who says nothing loses the place"
    assert weights[-1] - weights[0] < MOST_MIB
    assert set(target.statuses) == {intake_pb2.STATUS_STORED}
    assert len(target.waits_s) > 50
    assert p99(target.waits_s) < CEILING_S


def forged(
    caller: Caller, other: Caller, first: envelope_pb2.Envelope
) -> dict[str, tuple[envelope_pb2.Envelope, str]]:
    """Return forged envelopes, with the word that refuses each."""
    second = other.envelope(1)
    half = len(first.sealed) // 2
    spliced, cut, shrunk, stranger = (envelope_pb2.Envelope() for _ in range(4))
    for copy in (spliced, cut, shrunk, stranger):
        copy.CopyFrom(first)
    spliced.sealed = first.sealed[:half] + second.sealed[half:]
    cut.sealed = first.sealed[:-1]
    shrunk.sealed = bytes((first.sealed[0] ^ 1,)) + first.sealed[1 : SIZES[0]]
    stranger.key_id = bytes(8)
    batch = compress_frame(caller.batch(7).SerializeToString())
    bomb = compress_frame(bytes(64 * MIB), level=19)
    stream = zstd.ZstdCompressor(level=19)
    endless = stream.compress(bytes(64 * MIB)) + stream.flush()
    return {
        "two halves": (spliced, "bad_seal"),
        "a byte short": (cut, "bad_size"),
        "of another size": (shrunk, "bad_seal"),
        "another key's name": (stranger, "unknown_key"),
        "another key": (sealed(caller, batch, caller.id, key=os.urandom(32)), "bad_seal"),
        "another's batch": (sealed(other, batch, other.id), "bad_batch"),
        "another's name": (sealed(other, batch, caller.id), "bad_signature"),
        "a bomb": (sealed(caller, bomb, caller.id), "too_large"),
        "a bomb that says no size": (sealed(caller, endless, caller.id), "too_large"),
        "no frame": (sealed(caller, b"\x28\xb5\x2f\xfd", caller.id), "bad_compression"),
    }


def sealed(
    signer: Caller, batch: bytes, agent: bytes, key: bytes | None = None
) -> envelope_pb2.Envelope:
    """Seal any content as `envelope.seal` does."""
    ours = signer.keyring.sealing.public
    signature = signer.signer.sign(keys.BATCH, ours + batch)
    signed = envelope_pb2.SignedBatch(agent=agent, batch=batch, signature=signature)
    to = X25519PrivateKey.from_private_bytes(key).public_key() if key else None
    content = hpke_suite().encrypt(
        padded(signed.SerializeToString()), to or X25519PublicKey.from_public_bytes(ours), INFO
    )
    return envelope_pb2.Envelope(version=VERSION, key_id=keys.key_id(ours), sealed=content)


def padded(signed: bytes) -> bytes:
    """Pad to the least size that fits an X25519 share and a tag too."""
    said = len(signed).to_bytes(4, "big") + signed
    return said.ljust(next(size for size in SIZES if len(said) + 48 <= size) - 48, b"\0")
