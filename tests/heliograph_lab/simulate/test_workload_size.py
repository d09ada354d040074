"""A generated step is about as large as a real one, within two fifths.

The real net is compared before nginx, a data center of Telegram's and a chat server of WhatsApp's,
all on loopback, operation by operation; the servers send the headers and the intermediate
certificate that large sites send.
"""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

import pytest

from heliograph.clock import SystemClock
from heliograph.codec.observations import observation_to_pb
from heliograph.failure import Operation
from heliograph.observation import Observation
from heliograph.plan import Endpoint, EndpointKind
from heliograph_agent.experiments.endpoints import visit_endpoints
from heliograph_agent.net.system_net import NetConfig, SystemNetFactory
from heliograph_agent.net.trace import StepTrace
from heliograph_lab.simulate import visits
from heliograph_lab.simulate.visits import NetworkConditions, StepLog
from support.loopback_ca import LoopbackCA
from support.nginx import nginx
from support.tcp_server import tcp_server
from support.telegram_dc import data_centre
from support.whatsapp_chat import chat_server

TOLERANCE = 0.4
NAME = "web.service.example"
PAGE = b"<!doctype html><html><head><title>A page of some words</title></head><body>" + b"x" * 9_000
HEADERS = {
    "Alt-Svc": "h3",
    "Cache-Control": "private",
    "Content-Security-Policy": "default-src 'self'",
    "Referrer-Policy": "same-origin",
    "Set-Cookie": "a=b",
    "Strict-Transport-Security": "max-age=1",
    "Vary": "Accept-Encoding",
    "X-Frame-Options": "DENY",
}


def sizes(steps: Sequence[Observation]) -> Mapping[Operation, float]:
    """Return a step's mean bytes on the wire by operation; handshakes by certificate."""
    found: dict[Operation, list[float]] = defaultdict(list)
    for step in steps:
        assert step.failure is None, step
        parts = len(step.tls.chain) if step.tls else 1
        found[step.operation].append(observation_to_pb(step).ByteSize() / parts)
    return {operation: mean(each) for operation, each in found.items()}


def endpoints(
    http: int, https: int, mtproto: int, noise: int, host: str = NAME
) -> tuple[Endpoint, ...]:
    kinds = (EndpointKind.HTTP, EndpointKind.HTTPS, EndpointKind.MTPROTO, EndpointKind.NOISE)
    ports = zip(kinds, (http, https, mtproto, noise), strict=True)
    return tuple(Endpoint(id=f"{kind}-1", kind=kind, host=host, port=port) for kind, port in ports)


@pytest.fixture
def config(tmp_path: Path) -> NetConfig:
    (tmp_path / "hosts").write_text(f"127.0.0.1 {NAME}\n")
    (tmp_path / "resolv.conf").write_text("")
    return NetConfig(
        ca_file=str(tmp_path / "ca" / "ca.pem"),
        hosts_file=str(tmp_path / "hosts"),
        resolv_conf=str(tmp_path / "resolv.conf"),
    )


async def test_generated_steps_have_the_size_of_real_ones(
    tmp_path: Path, config: NetConfig
) -> None:
    ca, clock = LoopbackCA(tmp_path / "ca"), SystemClock()
    trace = StepTrace(clock)
    headers = "".join(f'add_header {name} "{value}";' for name, value in HEADERS.items())
    with (
        nginx(
            tmp_path, {NAME: ca.through_intermediate(NAME)}, pages={"/": PAGE}, directives=headers
        ) as web,
        tcp_server(data_centre()) as telegram,
        tcp_server(chat_server) as whatsapp,
    ):
        asked = endpoints(web.http, web.https, telegram, whatsapp)
        net = SystemNetFactory(config, clock, random.Random(7)).bind(trace)
        await visit_endpoints(asked, net, 1)
        await net.close()
    real = sizes([s for s in trace.observations if s.dns is None or s.dns.query_type == "A"])
    steps = StepLog(NetworkConditions(), random.Random(1))
    visits.visit_endpoints(endpoints(80, 443, 443, 5222), steps, 2, 1)
    made = sizes([s for s in steps.observations if s.failure is None])
    print({operation.value: (round(real[operation]), round(made[operation])) for operation in real})
    assert made == pytest.approx(real, rel=TOLERANCE)
