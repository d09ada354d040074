"""Servers abroad that few experiments use: HTTP/3, the collector's echo service.

python -m support.field.peers PLAN      {"quic": [[ADDRESS, CHAIN, KEY], …], "echo": [ADDRESS, …]}
"""

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from aioquic.asyncio.server import serve
from aioquic.quic.configuration import QuicConfiguration

from heliograph_collector.control.echo_server import EchoServer
from support.quic_server import conversation, page


async def main(plan: dict[str, Any]) -> None:
    async with AsyncExitStack() as stack:
        group = await stack.enter_async_context(asyncio.TaskGroup())
        for address, chain, key in plan["quic"]:
            settings = QuicConfiguration(is_client=False, alpn_protocols=["h3"])
            settings.load_cert_chain(chain, key)
            pages = conversation(page())
            server = await serve(address, 443, configuration=settings, create_protocol=pages)
            stack.callback(server.close)
        for address in plan["echo"]:
            await stack.enter_async_context(EchoServer().open(address, 80, group))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text())))
