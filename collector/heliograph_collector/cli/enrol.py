"""`heliograph-collector enrol`: lets an agent in whose request came by file; writes the answer."""

import argparse
import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliograph_collector.cli import CommandError, add_places, config_of

if TYPE_CHECKING:
    from heliograph.v1.intake_pb2 import EnrolRequest
    from heliograph_collector.config.settings import Config
    from heliograph_collector.fleet import Agent, Fleet

REQUEST, RESPONSE = b"heliograph request 1\n", b"heliograph response 1\n"
MAX_BYTES = 4_096


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = commands.add_parser(
        "enrol",
        help="let an agent in whose request came by file",
        description="Reads what `heliograph-agent join --request` wrote, uses its invite up, and "
        "writes the answer for `heliograph-agent join --response`, whether `serve` runs or not.",
        epilog="Example: heliograph-collector enrol request.bin",
        allow_abbrev=False,
    )
    command.add_argument("file", metavar="FILE", type=Path, help="the request")
    command.add_argument(
        "--response", metavar="FILE", type=Path, help="where to write the answer (FILE.response)"
    )
    add_places(command)


def run(args: argparse.Namespace) -> int:
    from heliograph_collector.fleet import Fleet

    config = config_of(args)
    request = _read(args.file)
    with closing(Fleet(config.data)) as fleet:
        agent = _let_in(request, fleet, config)
        answer = _answer(agent, fleet, config)
    target = args.response or args.file.with_name(f"{args.file.name}.response")
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(answer)
    print(f"Agent {agent.id.hex()} is enrolled. Bring back {target}.")
    return 0


def _read(file: Path) -> "EnrolRequest":
    """Raises CommandError, OSError."""
    from google.protobuf.message import DecodeError

    from heliograph import keys
    from heliograph.v1.intake_pb2 import EnrolRequest

    with file.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    try:
        if not data.startswith(REQUEST) or len(data) > MAX_BYTES:
            raise DecodeError
        request = EnrolRequest.FromString(data[len(REQUEST) :])
    except DecodeError:
        raise CommandError(
            f"{file} is no request: name the file that `heliograph-agent join --request` wrote."
        ) from None
    if not keys.verify(request.public_key, request.proof, keys.ENROL, request.token):
        raise CommandError(f"{file} was changed on the way: have it copied again.")
    return request


def _let_in(request: "EnrolRequest", fleet: "Fleet", config: "Config") -> "Agent":
    from heliograph.clock import SystemClock
    from heliograph_collector.fleet import RefusedError
    from heliograph_collector.fleet.quarantine import enrol_stranger

    now_s, version = SystemClock().wall_us() // 1_000_000, request.agent_version[:64]
    try:
        if request.token:
            return fleet.enrol(request.token, request.public_key, version, now_s)
        if not config.strangers:
            raise RefusedError("invite_wanted")
        return enrol_stranger(fleet, request.public_key, version, now_s)
    except RefusedError as refused:
        raise CommandError(
            f"the request is refused ({refused.reason}): send its owner a new invite."
        ) from refused


def _answer(agent: "Agent", fleet: "Fleet", config: "Config") -> bytes:
    """Signed; with the plan, and with the charters by which it is believed. Raises CommandError."""
    from heliograph import keys
    from heliograph.clock import SystemClock
    from heliograph.v1.intake_pb2 import EnrolResponse, SignedEnrolment
    from heliograph_collector.fleet import agent_keys, open_keyring
    from heliograph_collector.fleet.plans import standing
    from heliograph_collector.fleet.trust_chain import chain, keep_charter

    keyring = open_keyring(config.data, [])
    keep_charter(fleet, config.data, keyring, SystemClock().wall_us() // 1_000_000)
    found = standing(fleet)
    if found is None:
        raise CommandError("there is no plan yet: start `serve` once, or say `plan set`.")
    plan = found[1]
    plan.charters.extend(chain(fleet))
    body = EnrolResponse(
        agent=agent.id,
        signing_key=keyring.signing.public,
        sealing_key=keyring.sealing.public,
        plan=plan,
        role=agent.role,
        key_expires_s=agent_keys.expires_s(agent),
        certificate=keyring.tls_certificate,
    ).SerializeToString()
    signed = SignedEnrolment(response=body, signature=keyring.signing.sign(keys.ENROLLED, body))
    return RESPONSE + signed.SerializeToString()
