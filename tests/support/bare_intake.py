"""A server that does the least that a collector must: the limit to compare with.

It answers hellos and heartbeats; envelopes it opens, verifies and appends to SQLite, durably, by
group commit, and then acknowledges. It counts nothing, bounds nothing, judges nothing.
Run as a program with a directory of keys: it prints its INVITE line, then answers until its end.
"""

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeAlias, cast

import grpc

from heliograph import envelope, keys
from heliograph.v1 import envelope_pb2, intake_pb2_grpc, plan_pb2
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.fleet import Keyring, format_invite, open_keyring
from heliograph_collector.ingest import rate_limits

SESSIONS = 5_000
Context: TypeAlias = "grpc.aio.ServicerContext[pb.AgentMessage, pb.CollectorMessage]"
Opened: TypeAlias = "tuple[envelope.VerifiedBatch, Context]"


class Appender:
    """Append envelopes in groups: one transaction takes all that queued in the last."""

    def __init__(self, file: Path) -> None:
        self.queue: asyncio.Queue[Opened] = asyncio.Queue()
        self._db = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute(
            "CREATE TABLE log (agent BLOB, sequence INT, body BLOB, PRIMARY KEY (agent, sequence))"
        )

    async def run(self) -> None:
        while True:
            opened = [await self.queue.get()]
            while not self.queue.empty():
                opened.append(self.queue.get_nowait())
            await asyncio.to_thread(self._append, [each for each, _ in opened])
            for each, context in opened:
                receipt = pb.Receipt(sequence=each.sequence, status=pb.STATUS_STORED)
                await context.write(pb.CollectorMessage(ack=pb.Ack(receipts=[receipt])))

    def _append(self, opened: list[envelope.VerifiedBatch]) -> None:
        rows = [(each.agent, each.sequence, each.compressed) for each in opened]
        self._db.execute("BEGIN")
        self._db.executemany("INSERT OR IGNORE INTO log VALUES (?, ?, ?)", rows)
        self._db.execute("COMMIT")


class Bare:
    def __init__(self, keyring: Keyring, appender: Appender) -> None:
        self._sealing, self._appender = keyring.sealing, appender
        self._publics: dict[bytes, bytes] = {}

    async def Enrol(self, request: pb.EnrolRequest, context: object) -> pb.EnrolResponse:  # noqa: N802 - the contract's name
        agent = keys.agent_id(request.public_key)
        self._publics[agent] = request.public_key
        plan = plan_pb2.Plan(version=1, heartbeat_s=1).SerializeToString()
        return pb.EnrolResponse(
            agent=agent,
            sealing_key=self._sealing.public,
            plan=plan_pb2.SignedPlan(plan=plan),
        )

    async def Session(  # noqa: N802 - the same
        self, request_iterator: AsyncIterator[pb.AgentMessage], context: Context
    ) -> None:
        await context.write(pb.CollectorMessage(challenge=pb.Challenge(nonce=bytes(32))))
        while isinstance(message := await context.read(), pb.AgentMessage):
            if message.HasField("heartbeat"):
                clock = pb.Clock(heartbeat_sent_us=message.heartbeat.sent_us)
                await context.write(pb.CollectorMessage(clock=clock))
            elif message.HasField("envelope"):
                opened = await asyncio.to_thread(self._open, message.envelope)
                self._appender.queue.put_nowait((opened, context))

    def _open(self, message: envelope_pb2.Envelope) -> envelope.VerifiedBatch:
        return envelope.open_envelope(message, self._sealing, self._publics.get)

    async def Submit(self, request: pb.SubmitRequest, context: object) -> pb.SubmitResponse:  # noqa: N802 - the same
        return pb.SubmitResponse()


async def main(data: Path) -> None:
    keyring = open_keyring(data, ["127.0.0.1"])
    appender = Appender(data / "bare.db")
    server = grpc.aio.server(options=rate_limits.build_server_options(SESSIONS))
    intake_pb2_grpc.add_IntakeServicer_to_server(
        cast("intake_pb2_grpc.IntakeServicer", Bare(keyring, appender)), server
    )
    credentials = grpc.ssl_server_credentials([(keyring.tls_key, keyring.tls_certificate)])
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    print(format_invite(f"127.0.0.1:{port}", keyring.pin, bytes(16)), flush=True)
    async with asyncio.TaskGroup() as group:
        group.create_task(appender.run())
        await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
