"""A server that answers hellos and heartbeats and does nothing else: what gRPC itself costs.

Run as a program with a directory: it prints its INVITE line, then answers until it is ended.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import grpc

from heliograph import keys
from heliograph.v1 import intake_pb2 as pb
from heliograph.v1 import intake_pb2_grpc, plan_pb2
from heliograph_collector.fleet import invite_line, open_keyring
from heliograph_collector.ingest import rate_limits

SESSIONS = 5_000


class Bare:
    async def Enrol(self, request: pb.EnrolRequest, context: object) -> pb.EnrolResponse:  # noqa: N802 - the contract's name
        plan = plan_pb2.Plan(version=1, heartbeat_s=1).SerializeToString()
        return pb.EnrolResponse(
            agent=keys.agent_id(request.public_key), plan=plan_pb2.SignedPlan(plan=plan)
        )

    async def Session(  # noqa: N802 - the same
        self,
        request_iterator: AsyncIterator[pb.AgentMessage],
        context: "grpc.aio.ServicerContext[pb.AgentMessage, pb.CollectorMessage]",
    ) -> None:
        await context.write(pb.CollectorMessage(challenge=pb.Challenge(nonce=bytes(32))))
        while isinstance(message := await context.read(), pb.AgentMessage):
            if message.HasField("heartbeat"):
                clock = pb.Clock(heartbeat_sent_us=message.heartbeat.sent_us)
                await context.write(pb.CollectorMessage(clock=clock))

    async def Submit(self, request: pb.SubmitRequest, context: object) -> pb.SubmitResponse:  # noqa: N802 - the same
        return pb.SubmitResponse()


async def main(data: Path) -> None:
    keyring = open_keyring(data, ["127.0.0.1"])
    server = grpc.aio.server(options=rate_limits.server_options(SESSIONS))
    intake_pb2_grpc.add_IntakeServicer_to_server(
        cast("intake_pb2_grpc.IntakeServicer", Bare()), server
    )
    credentials = grpc.ssl_server_credentials([(keyring.tls_key, keyring.tls_certificate)])
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    print(invite_line(f"127.0.0.1:{port}", keyring.pin, bytes(16)), flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
