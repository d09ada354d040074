"""Command `heliograph-collector enrol`: answer an enrollment request in a file."""

import argparse
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliograph.durable_file import replace_file
from heliograph.enrolment_file import REQUEST, RESPONSE
from heliograph_collector.cli import CommandError, add_command, add_common_options, load_cli_config

if TYPE_CHECKING:
    from heliograph.v1.intake_pb2 import EnrolRequest
    from heliograph_collector.config.settings import Config
    from heliograph_collector.fleet import EnrolledAgent, Fleet

MAX_BYTES = 4_096

FILE_GRACE_S = 30 * 86_400  # for a file that travels by hand; assumed


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = add_command(
        commands,
        "enrol",
        "enroll an agent whose request came as a file",
        "enrol request.bin",
        description="Reads what `heliograph-agent join --request` wrote, uses up its invite, and "
        "writes the answer for `heliograph-agent join --response`, whether `serve` runs or not.",
    )
    command.add_argument("file", metavar="FILE", type=Path, help="the request")
    command.add_argument(
        "--response", metavar="FILE", type=Path, help="where to write the answer (FILE.response)"
    )
    add_common_options(command, acts_on_collector=True)


def run(args: argparse.Namespace) -> int:
    from heliograph_collector.fleet import Fleet, open_keyring

    config = load_cli_config(args)
    request = _read_request(args.file, open_keyring(config.data, []).pin)
    with closing(Fleet(config.data)) as fleet:
        agent = _enrol_agent(request, fleet, config)
        answer = _build_response(agent, fleet, config)
    target = args.response or args.file.with_name(f"{args.file.name}.response")
    replace_file(target, answer)
    print(f"Agent {agent.id.hex()} is enrolled. Bring back {target}.")
    return 0


def _read_request(file: Path, pin: bytes) -> "EnrolRequest":
    """Read a request to the collector with this pin. Raises CommandError, OSError."""
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
    if not keys.verify_bound(request.public_key, request.proof, keys.ENROL, pin, request.token):
        raise CommandError(
            f"{file} was changed on the way, or goes to another collector: have it copied again."
        )
    return request


def _enrol_agent(request: "EnrolRequest", fleet: "Fleet", config: "Config") -> "EnrolledAgent":
    from heliograph.clock import SystemClock
    from heliograph_collector.fleet import EnrolmentRefusedError
    from heliograph_collector.fleet.quarantine import enrol_without_invite

    now_s = SystemClock().wall_us() // 1_000_000
    version = request.agent_version[:64]
    try:
        if request.token:
            return fleet.enrol_agent(request.token, request.public_key, version, now_s)
        if not config.strangers:
            raise EnrolmentRefusedError("invite_wanted")
        return enrol_without_invite(fleet, request.public_key, version, now_s, grace_s=FILE_GRACE_S)
    except EnrolmentRefusedError as refused:
        raise CommandError(
            f"the request is refused ({refused.reason}): send its owner a new invite."
        ) from refused


def _build_response(agent: "EnrolledAgent", fleet: "Fleet", config: "Config") -> bytes:
    """Build a signed response with the plan and its charters. Raises CommandError."""
    from heliograph import keys
    from heliograph.clock import SystemClock
    from heliograph.v1.intake_pb2 import EnrolResponse, SignedEnrolment
    from heliograph_collector.fleet import agent_keys, open_keyring
    from heliograph_collector.fleet.plans import load_current_plan
    from heliograph_collector.fleet.trust_chain import ensure_charter, load_charters

    keyring = open_keyring(config.data, [])
    ensure_charter(fleet, config.data, keyring, SystemClock().wall_us() // 1_000_000)
    current = load_current_plan(fleet)
    if current is None:
        raise CommandError("there is no plan yet: start `serve` once, or say `plan set`.")
    plan = current[1]
    plan.charters.extend(load_charters(fleet))
    body = EnrolResponse(
        agent=agent.id,
        signing_key=keyring.signing.public,
        sealing_key=keyring.sealing.public,
        plan=plan,
        role=agent.role,
        key_expires_s=agent_keys.key_expires_s(agent),
        certificate=keyring.tls_certificate,
    ).SerializeToString()
    signed = SignedEnrolment(response=body, signature=keyring.signing.sign(keys.ENROLLED, body))
    return RESPONSE + signed.SerializeToString()
