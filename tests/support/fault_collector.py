"""A real collector's intake behind a Unix socket, for agents killed often.

gRPC would be too slow to set up each time. Run as a program: `python -m support.fault_collector
FOLDER SOCKET`. One frame asks, one answers, each with four bytes of length before it. "E" and a
public key enrols and answers the sealing key; "A", two bytes of network and an envelope answers a
serialized receipt; "D" and an agent's id answers as JSON what the journal holds of it: envelope
number and its measurements as [target, runs].
"""

import asyncio
import json
import sys
from collections import defaultdict
from functools import partial
from pathlib import Path

from heliograph.codec import CodecError, measurement_from_pb
from heliograph.envelope import decompress_batch
from heliograph_collector.model.records import RowKind
from support.intake import CLOCK, IngestServer, ingest_server


async def frame(reader: asyncio.StreamReader) -> bytes:
    """Read a frame; raise IncompleteReadError at the end."""
    return await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))


def framed(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


class Door:
    def __init__(self, home: IngestServer) -> None:
        self._home = home
        self._held: defaultdict[bytes, list[tuple[int, list[tuple[str, int]]]]] = defaultdict(list)
        self._read = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(framed(await self._answer(await frame(reader))))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()  # an agent was killed

    async def _answer(self, asked: bytes) -> bytes:
        word, rest = asked[:1], asked[1:]
        if word == b"E":
            return self._enrol(rest)
        if word == b"A":
            way = f"100.{rest[0]}.{rest[1]}.7"  # a separate network, with a separate rate
            return (await self._home.intake.receiver.accept(rest[2:], way)).SerializeToString()
        return json.dumps(await self._dump(rest)).encode()

    def _enrol(self, public: bytes) -> bytes:
        agent = self._home.fleet.enrol_agent(
            self._home.invite(), public, "test", CLOCK.wall_us() // 1_000_000
        )
        self._home.intake.directory.add_agent(agent)
        return self._home.keyring.sealing.public

    async def _dump(self, agent: bytes) -> list[tuple[int, list[tuple[str, int]]]]:
        """Return an agent's envelopes in the journal, as a list to show duplicates."""
        while rows := await self._home.journal.read(self._read, 500, kinds=[RowKind.ENVELOPE]):
            self._read = rows[-1].position
            for row in rows:
                self._held[row.agent].append((row.sequence, _told(row.body)))
        return self._held.pop(agent, [])


def _told(body: bytes) -> list[tuple[str, int]]:
    found = []
    for message in decompress_batch(body).measurements:
        try:
            one = measurement_from_pb(message)
        except CodecError as error:
            found.append((f"not ours: {error}", 1))
            continue
        found.append((one.target, one.summary.runs if one.summary else 0))
    return found


async def main(folder: Path, socket: Path) -> None:
    async with ingest_server(folder) as home:
        server = await asyncio.start_unix_server(partial(Door.serve, Door(home)), socket)
        async with server:
            await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
