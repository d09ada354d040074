"""Each listener of the two programs, alone on a loopback port.

As a program, `python -m support.listeners NAME FOLDER`, it prints the port and at its input's end
how long one turn of its loop took at most.
"""

import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from heliograph import keys
from heliograph.clock import SystemClock
from heliograph.plan import Entrance
from heliograph_agent.relay.server import Relay
from heliograph_agent.state import Collector, State
from heliograph_agent.uplink.dial_context import DialContext
from heliograph_collector.app.garbage_search import limit_garbage_search
from heliograph_collector.control.echo_server import EchoServer
from heliograph_collector.fleet import tls_file
from heliograph_collector.http.app import build_app
from heliograph_collector.http.server import open_http
from heliograph_collector.ingest.dns_server import serve_dns
from heliograph_collector.ingest.post_server import serve_post
from heliograph_collector.ingest.rate_limits import QueryRateLimit
from support.hostile_inputs import RELAY_SEALING, ZONE
from support.incident_book import KEY, evening_book
from support.intake import ingest_server
from support.kazakhstan_votes import evening
from support.loop_turns import watched_turns
from support.ports import HOST, free_port

CLOCK = SystemClock()


@asynccontextmanager
async def grpc_listener(folder: Path) -> AsyncIterator[int]:
    async with ingest_server(folder, allows_strangers=True) as server:
        yield server.intake.port


@asynccontextmanager
async def post_listener(folder: Path) -> AsyncIterator[int]:
    async with (
        ingest_server(folder) as server,
        serve_post(server.intake.responder, HOST, 0, tls_file(folder)) as port,
    ):
        yield port


@asynccontextmanager
async def dns_listener(folder: Path) -> AsyncIterator[int]:
    async with ingest_server(folder) as server:
        limit = QueryRateLimit(server.intake.geo, CLOCK)
        async with serve_dns(server.intake.beacon_handler, limit, HOST, 0, ZONE) as port:
            yield port


@asynccontextmanager
async def echo_listener(_folder: Path) -> AsyncIterator[int]:
    async with asyncio.TaskGroup() as group, EchoServer().open(HOST, 0, group) as port:
        yield port


@asynccontextmanager
async def http_listener(_folder: Path) -> AsyncIterator[int]:
    feed = evening().feed(book=evening_book(), public_key=KEY.public)
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        guard, port = await open_http(build_app(feed), HOST, 0, stack)
        rounds = group.create_task(guard.run())
        yield port
        rounds.cancel()


@dataclass
class OneCollector:
    collector: Collector

    def list_planned(self) -> tuple[Entrance, ...]:
        return ()

    def is_guarded(self, entrance: Entrance) -> bool:
        del entrance
        return False


@asynccontextmanager
async def relay_listener(folder: Path) -> AsyncIterator[int]:
    """Run a volunteer's relay whose collector cannot be reached."""
    state = State(folder / "relay")
    state.prepare()
    known = Collector(
        endpoint=f"{HOST}:{free_port()}", pin=bytes(32), certificate="",
        signing_key=keys.SigningKey(bytes(32)).public, sealing_key=RELAY_SEALING, agent=bytes(16),
    )  # fmt: skip
    context = DialContext(CLOCK, random.Random(1))
    server = Relay(state, OneCollector(known), context, (HOST, 0), 10**9)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(server.run())
        async with asyncio.timeout(60):
            await server.ready_event.wait()
        yield server.port
        task.cancel()


LISTENERS: dict[str, Callable[[Path], AbstractAsyncContextManager[int]]] = {
    "grpc": grpc_listener,
    "post": post_listener,
    "dns": dns_listener,
    "echo": echo_listener,
    "http": http_listener,
    "relay": relay_listener,
}


async def main(name: str, folder: Path) -> None:
    async with LISTENERS[name](folder) as port:
        with watched_turns(counted=False) as turns:
            print(port, flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            limit_garbage_search()  # as `serve` does once it has started
            await asyncio.sleep(0)  # the end of this turn
            turns.forget()  # the first inputs also load what is loaded on first use
            await asyncio.to_thread(sys.stdin.read)
        print(json.dumps([turns.turns, 1e3 * turns.cpu_s, turns.longest]), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
