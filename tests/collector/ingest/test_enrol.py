"""Enrolment over real TLS: an invite lets in as many keys as it says, and no others."""

import asyncio
from pathlib import Path

import grpc
import pytest

from heliograph import keys
from heliograph.v1 import intake_pb2 as pb
from heliograph.v1 import intake_pb2_grpc
from support.intake import Caller, House, channel, house


async def refused(stub: "intake_pb2_grpc.IntakeAsyncStub", request: pb.EnrolRequest) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Enrol(request, timeout=10)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    return caught.value.details() or ""


async def enrol(home: House, caller: Caller, token: bytes) -> pb.EnrolResponse:
    async with channel(home) as stub:
        return await stub.Enrol(caller.enrol_request(token), timeout=10)


async def test_an_invite_is_used_up_by_the_first_key_that_shows_it(tmp_path: Path) -> None:
    async with house(tmp_path) as home, channel(home) as stub:
        first, second, token = Caller(home.keyring), Caller(home.keyring), home.invite()
        answer = await stub.Enrol(first.enrol_request(token), timeout=10)
        assert answer.agent == first.id
        assert answer.role == "volunteer"
        assert answer.sealing_key == home.keyring.sealing.public
        plan = answer.plan
        assert keys.verify(answer.signing_key, plan.signature, keys.PLAN, plan.plan)
        assert await refused(stub, second.enrol_request(token)) == "invite_used_up"
        again = await stub.Enrol(first.enrol_request(token), timeout=10)
        assert again.agent == first.id, "an answer that got lost may be asked for again"


async def test_of_many_at_once_as_many_get_in_as_the_invite_says(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        token = home.invite(uses=3)
        callers = [Caller(home.keyring) for _ in range(12)]
        answers = await asyncio.gather(
            *(enrol(home, caller, token) for caller in callers), return_exceptions=True
        )
        assert sum(isinstance(answer, pb.EnrolResponse) for answer in answers) == 3
        assert len(home.fleet.agents()) == 3


async def test_what_is_not_an_invite_lets_nobody_in(tmp_path: Path) -> None:
    async with house(tmp_path) as home, channel(home) as stub:
        caller = Caller(home.keyring)
        assert await refused(stub, caller.enrol_request(b"n" * 16)) == "invite_unknown"
        expired = home.invite(life_s=-1)
        assert await refused(stub, caller.enrol_request(expired)) == "invite_expired"


async def test_a_key_must_be_held_to_be_enrolled(tmp_path: Path) -> None:
    async with house(tmp_path) as home, channel(home) as stub:
        token = home.invite()
        request = Caller(home.keyring).enrol_request(token)
        request.public_key = Caller(home.keyring).signer.public
        assert await refused(stub, request) == "bad_proof"
        await stub.Enrol(Caller(home.keyring).enrol_request(token), timeout=10)


async def test_a_revoked_key_cannot_come_back_by_another_invite(tmp_path: Path) -> None:
    async with house(tmp_path) as home, channel(home) as stub:
        caller = Caller(home.keyring)
        await stub.Enrol(caller.enrol_request(home.invite()), timeout=10)
        home.fleet.revoke(caller.id, 1)
        assert await refused(stub, caller.enrol_request(home.invite())) == "revoked"


async def test_a_control_is_enrolled_as_one(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        answer = await enrol(home, Caller(home.keyring), home.invite(role="control"))
        assert answer.role == "control"
