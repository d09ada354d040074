"""An echo service in a namespace, and real proxies that can be put before it without a word.

with proxied(tmp_path) as lab:
    lab.through("nginx")  # or "tinyproxy", or "" for nobody
    ... http://192.0.2.7:80 ...
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.netns import Namespace, namespace
from support.programs import eventually, started

ADDRESS = "192.0.2.7"
TARGET = f"{ADDRESS}:80"
_BEHIND, _NGINX, _TINYPROXY = 8081, 8080, 8082
_ECHO = f"""
import asyncio
from heliograph_collector.control.echo_server import EchoServer
async def main():
    async with asyncio.TaskGroup() as group, EchoServer().open("{ADDRESS}", 80, group):
        async with EchoServer().open("{ADDRESS}", {_BEHIND}, group):
            await asyncio.Event().wait()
asyncio.run(main())
"""
_TO_ECHO = f"ip daddr {ADDRESS} tcp dport 80"
_RULES = {
    "": "counter",
    "nginx": f"{_TO_ECHO} redirect to :{_NGINX}",
    "tinyproxy": f'meta skuid != "nobody" {_TO_ECHO} redirect to :{_TINYPROXY}',
}


@dataclass(frozen=True, slots=True)
class Proxied:
    space: Namespace

    def through(self, proxy: str) -> None:
        chain = f"chain out {{ type nat hook output priority -100;\n{_RULES[proxy]}\n}}\n"
        table = f"table ip proxied\ndelete table ip proxied\ntable ip proxied {{\n{chain}}}\n"
        self.space.run("nft", "-f", "-", text=table)


@contextmanager
def proxied(directory: Path) -> Iterator[Proxied]:
    """Skips the test where there are no namespaces or no proxies."""
    for program in ("nginx", "tinyproxy"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    directory.chmod(0o755)
    commands = ([sys.executable, "-c", _ECHO], _nginx(directory), _tinyproxy(directory))
    with namespace() as space, ExitStack() as stack:
        space.address(ADDRESS)
        log = directory / "servers.log"
        for command in commands:
            stack.enter_context(started(space.command(command), log))
        ports = (80, _BEHIND, _NGINX, _TINYPROXY)
        eventually(
            lambda: all(f":{port} " in space.run("ss", "-Hltn") for port in ports),
            f"echo and proxies, see {log}",
            20,
        )
        yield Proxied(space)


def _nginx(directory: Path) -> list[str]:
    config = directory / "nginx.conf"
    config.write_text(
        "daemon off; master_process off; user root; events { }\n"
        f"pid {directory}/nginx.pid;\n"
        f"http {{ access_log off; client_body_temp_path {directory}/temp;\n"
        f"server {{ listen {_NGINX};\n"
        f"location / {{ proxy_pass http://{ADDRESS}:{_BEHIND}; }} }}\n}}\n"
    )
    return ["/usr/sbin/nginx", "-c", str(config), "-e", str(directory / "nginx-error.log")]


def _tinyproxy(directory: Path) -> list[str]:
    config = directory / "tinyproxy.conf"
    config.write_text(
        f"User nobody\nGroup nogroup\nPort {_TINYPROXY}\nListen 127.0.0.1\nTimeout 5\n"
        f"MaxClients 20\nAllow 127.0.0.1\nAllow {ADDRESS}\n"
    )
    return ["tinyproxy", "-d", "-c", str(config)]
