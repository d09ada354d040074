"""Debian's prometheus-blackbox-exporter as a yardstick, and the load that makes it probe.

    with exporter(tmp_path, modules) as running:
        cost_us = asyncio.run(running.cost_us("tcp", "127.0.0.1:80", 2000, concurrency=50))

The load is made through /probe?target&module, over connections that are kept, by plain asyncio.
"""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from support.ports import HOST, free_port
from support.process import listening
from support.programs import eventually

_TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Exporter:
    pid: int
    port: int

    async def cost_us(self, module: str, target: str, probes: int, *, concurrency: int) -> float:
        """CPU, user and system, by the probe. Raises AssertionError when one did not succeed."""
        await self._probe(module, target, probes // 4, concurrency)  # warm
        began = self._cpu_us()
        await self._probe(module, target, probes, concurrency)
        return (self._cpu_us() - began) / probes

    def _cpu_us(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return _TICK_US * (int(fields[11]) + int(fields[12]))

    async def _probe(self, module: str, target: str, probes: int, concurrency: int) -> None:
        query = urlencode({"module": module, "target": target})
        request = f"GET /probe?{query} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
        left = iter(range(probes))

        async def visitor() -> None:
            reader, writer = await asyncio.open_connection(HOST, self.port)
            try:
                for _ in left:
                    writer.write(request)
                    reply = await _reply(reader)
                    assert b"\nprobe_success 1\n" in reply, reply.decode()
            finally:
                writer.close()
                await writer.wait_closed()

        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(visitor())


async def _reply(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
    if length:
        return await reader.readexactly(int(length))
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return body


@contextmanager
def exporter(directory: Path, modules: Mapping[str, Any], *, core: int) -> Iterator[Exporter]:
    program = shutil.which("prometheus-blackbox-exporter")
    assert program, "install Debian's prometheus-blackbox-exporter"
    config = directory / "blackbox.yml"
    config.write_text(yaml.safe_dump({"modules": dict(modules)}))
    port = free_port()
    command = (
        "taskset", "-c", str(core), program, f"--config.file={config}", "--log.level=error",
        f"--web.listen-address={HOST}:{port}",
    )  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            eventually(lambda: listening(port), "the exporter's start")
            yield Exporter(process.pid, port)
        finally:
            process.terminate()
