"""Enrolment over real TLS: an invite admits its number of keys, and no others."""

import asyncio
from pathlib import Path

import grpc
import pytest

from heliograph import keys
from heliograph.token_bucket import TokenBuckets
from heliograph.v1 import intake_pb2 as pb
from heliograph.v1 import intake_pb2_grpc
from support.intake import Caller, IngestServer, channel, ingest_server, refusal


async def refused(stub: "intake_pb2_grpc.IntakeAsyncStub", request: pb.EnrolRequest) -> str:
    error = await refusal(stub.Enrol(request, timeout=60))
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    return error.details() or ""


async def enrol(server: IngestServer, caller: Caller, token: bytes) -> pb.EnrolResponse:
    async with channel(server) as stub:
        return await stub.Enrol(caller.enrol_request(token), timeout=60)


async def test_invite_is_used_up_by_the_first_key_until_it_is_revoked(tmp_path: Path) -> None:
    async with ingest_server(tmp_path) as server, channel(server) as stub:
        first, second, token = Caller(server.keyring), Caller(server.keyring), server.invite()
        answer = await stub.Enrol(first.enrol_request(token), timeout=60)
        assert answer.agent == first.id
        assert answer.role == "volunteer"
        assert answer.sealing_key == server.keyring.sealing.public
        plan = answer.plan
        assert keys.verify(answer.signing_key, plan.signature, keys.PLAN, plan.plan)
        assert await refused(stub, second.enrol_request(token)) == "invite_used_up"
        again = await stub.Enrol(first.enrol_request(token), timeout=60)
        assert again.agent == first.id, "an answer that got lost may be asked for again"
        server.fleet.revoke_agent(first.id, 1)
        assert await refused(stub, first.enrol_request(server.invite())) == "revoked"


async def test_an_invited_agent_joins_beside_a_flood_from_its_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ingest_server(tmp_path, allows_strangers=True) as server, channel(server) as stub:
        rates = TokenBuckets[str](per_s=0.001, capacity=1.0, max_keys=9)
        monkeypatch.setattr(server.intake.receiver, "_stranger_rates", rates)
        token = server.invite()
        server.intake.directory.reload_fleet(force=True)
        for stranger, status in (
            (b"n" * 16, grpc.StatusCode.PERMISSION_DENIED),
            (b"n" * 16, grpc.StatusCode.RESOURCE_EXHAUSTED),
            (b"", grpc.StatusCode.RESOURCE_EXHAUSTED),
        ):
            request = Caller(server.keyring).enrol_request(stranger)
            assert (await refusal(stub.Enrol(request, timeout=60))).code() is status
        caller = Caller(server.keyring)
        answer = await stub.Enrol(caller.enrol_request(token), timeout=60)
        assert answer.agent == caller.id
        request = Caller(server.keyring).enrol_request(token)
        error = await refusal(stub.Enrol(request, timeout=60))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, "a leaked invite is no way in"


async def test_invite_admits_as_many_at_once_as_it_says(server: IngestServer) -> None:
    token = server.invite(uses=3)
    callers = [Caller(server.keyring) for _ in range(12)]
    answers = await asyncio.gather(
        *(enrol(server, caller, token) for caller in callers), return_exceptions=True
    )
    assert sum(isinstance(answer, pb.EnrolResponse) for answer in answers) == 3
    assert len(server.fleet.list_agents()) == 3


async def test_unknown_and_expired_invites_and_keys_without_proof_are_refused(
    server: IngestServer,
) -> None:
    caller = Caller(server.keyring)
    async with channel(server) as stub:
        assert await refused(stub, caller.enrol_request(b"n" * 16)) == "invite_unknown"
        expired = server.invite(life_s=-1)
        assert await refused(stub, caller.enrol_request(expired)) == "invite_expired"
        token = server.invite(role="control")
        request = caller.enrol_request(token)
        request.public_key = Caller(server.keyring).signer.public
        assert await refused(stub, request) == "bad_proof"
        answer = await stub.Enrol(Caller(server.keyring).enrol_request(token), timeout=60)
        assert answer.role == "control"
