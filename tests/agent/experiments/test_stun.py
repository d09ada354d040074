"""stun: a binding request to each server, and Debian's own coturn that answers it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

from heliograph.failure import Failure, Operation
from heliograph.services import load_shipped_services
from heliograph_agent.experiments.experiment import Target
from support.experiment_run import observed
from support.fake_net import World
from support.ports import HOST, free_port
from support.probe_command import Command
from support.process import server_process
from support.programs import eventually
from support.real_run import Opening, really
from support.udp_server import udp_server
from support.values import present

SERVER = ("192.0.2.1", 3478)
COTURN = ("/usr/bin/turnserver", "-n", "-L", HOST, "--log-file", "stdout", "--stun-only")
ONLY_STUN = ("--no-tls", "--no-dtls", "--no-cli", "--no-rfc5780")


@contextmanager
def coturn(directory: Path) -> Iterator[int]:
    """Yield the port, for UDP and TCP."""
    files = ("--userdb", str(directory / "turndb"), "--pidfile", str(directory / "pid"))

    def command(ports: Sequence[int]) -> Sequence[str]:
        return (*COTURN, *ONLY_STUN, *files, "-p", str(ports[0]))

    log = directory / "log"
    with server_process(command, 1, log) as (port,):
        eventually(lambda: "Total General servers" in log.read_text(), "coturn's port for UDP")
        yield port


async def test_every_server_of_the_list_is_asked_and_told_by_its_id() -> None:
    service = present(load_shipped_services().get("stun"))
    world = World(
        names={e.host: ("192.0.2.1", "192.0.2.2") for e in service.endpoints},
        speeches={SERVER: "binding_success", ("192.0.2.1", 443): "binding_error_400"},
    )
    seen = await observed("stun", Target(value="stun", service=service), world)
    said = {o.endpoint: o for o in seen if o.operation is Operation.EXCHANGE}
    assert said.keys() == {e.id for e in service.endpoints}
    assert {o.exchange.protocol for o in said.values() if o.exchange} == {"stun"}
    assert present(said["cloudflare"].exchange).reply == "binding_success"
    assert said["google"].failure is Failure.GENERIC_TIMEOUT_ERROR
    assert present(said["nextcloud"].exchange).reply == "binding_error_400"


@pytest.mark.parametrize("text", ["192.0.2.1", "192.0.2.1:3478", "stun:192.0.2.1"])
async def test_a_lone_server_is_asked_on_its_usual_port(text: str) -> None:
    seen = await observed("stun", text, World(speeches={SERVER: "binding_success"}))
    assert [(o.endpoint, o.udp and o.udp.port) for o in seen] == [("stun", 3478)]


async def test_coturn_answers_and_where_from_it_saw_us_is_not_kept(
    opening: Opening, tmp_path: Path
) -> None:
    with coturn(tmp_path) as port:
        seen = await really("stun", f"127.0.0.1:{port}", opening())
    (step,) = seen.observations
    assert step.failure is None
    assert step.exchange is not None
    assert (step.exchange.reply, step.exchange.sent_bytes) == ("binding_success", 20)
    assert step.exchange.received_bytes > 40, "it did say where from"
    assert asdict(step)["exchange"].keys() == {
        "protocol", "reply", "sent_bytes", "received_bytes", "differences"
    }  # fmt: skip
    assert str(step).count("127.0.0.1") == 1, "the server's own address and no other"


async def test_a_forged_answer_to_another_question_is_none(opening: Opening) -> None:
    def forge(data: bytes) -> list[bytes]:
        return [b"\x01\x01\x00\x00" + data[4:8] + bytes(12)]

    with udp_server(forge) as port:
        seen = await really("stun", f"127.0.0.1:{port}", opening(udp_s=0.3))
    assert [o.failure for o in seen.observations] == [Failure.UNEXPECTED_REPLY]


def test_by_hand_the_list_is_what_is_asked_without_a_target(tmp_path: Path) -> None:
    services = tmp_path / "services.yml"
    services.write_text(
        'version: "1"\nservices:\n  stun:\n    title: STUN\n    endpoints:\n'
        f"      - {{id: here, kind: stun, host: 127.0.0.1, port: {free_port()}}}\n"
    )
    command = Command(state=tmp_path / "state", options={"plan.services_file": str(services)})
    ran = command.run("stun", "", "--json")
    assert ran.code == 0, ran.err
    assert [(o["endpoint"], o["failure"]) for o in ran.observations] == [
        ("here", "connection_refused")
    ]
