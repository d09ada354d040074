"""The cost of a visit in the terms matches the bytes of a real one on loopback."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from heliograph.plan import TLS_KINDS, Endpoint, EndpointKind, PlannedTask, Service
from heliograph.traffic_estimate import estimate_run_bytes
from heliograph_agent.experiments.endpoints import visit_endpoint
from support.loopback_ca import LoopbackCA
from support.net_fixtures import Opening
from support.tcp_server import reply, tcp_server
from support.telegram_dc import data_centre
from support.tls_server import tls_server
from support.whatsapp_chat import chat_server

PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 1500\r\n\r\n" + bytes(1_500)
HEADERS = 1_700  # of some 30 packets by IPv4 and TCP with timestamps, and of two answers by DNS
CHAINS = 2_600  # what chains on the Internet have more than the one here


@contextmanager
def server(kind: EndpointKind, ca: LoopbackCA) -> Iterator[int]:
    if kind in TLS_KINDS:
        with tls_server(ca.rsa("target.test"), reply(PAGE)) as port:
            yield port
        return
    handlers = {EndpointKind.MTPROTO: data_centre(), EndpointKind.NOISE: chat_server}
    with tcp_server(handlers.get(kind, reply(PAGE))) as port:
        yield port


@pytest.mark.parametrize("kind", ["tcp", "tls", "http", "https", "websocket", "mtproto", "noise"])
async def test_estimate_of_a_visit_is_what_a_real_one_moves(
    kind: str, opening: Opening, ca: LoopbackCA
) -> None:
    net, trace = opening()
    with server(EndpointKind(kind), ca) as port:
        place = Endpoint(id="x", kind=EndpointKind(kind), host="target.test", port=port)
        await visit_endpoint(place, net)
    moved = trace.bytes_moved
    service = Service(name="some", title="Some", experiment="some", endpoints=(place,))
    light = PlannedTask(experiment="some", interval_s=60, options={"light": "true"})
    estimated = estimate_run_bytes(light, service)
    more = HEADERS + (CHAINS if EndpointKind(kind) in TLS_KINDS else 0)
    assert moved <= estimated <= moved + more
