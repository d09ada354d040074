"""A broker, a journal and a store that are played, for judges in virtual time."""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from heliograph_collector.model.records import Block, JournalRow, RowKind
from heliograph_collector.store.journal.journal import JournalBusyError
from heliograph_collector.store.store import StoreError

Handler = Callable[[bytes], Awaitable[bytes]]


class ModelJournal:
    """Rows in one order, which leaders read."""

    id = "model"
    alive_before_us = 0
    expiry_before_us = 0
    envelopes_kept_us = 0

    def __init__(self) -> None:
        self.rows: list[JournalRow] = []
        self.grown = asyncio.Condition()

    @property
    def position(self) -> int:
        return len(self.rows)

    async def add(self, rows: Sequence[JournalRow]) -> None:
        async with self.grown:
            self.rows += rows
            self.grown.notify_all()

    async def read(
        self,
        after: int,
        limit: int,
        *,
        limit_bytes: int = 0,
        kinds: Collection[RowKind] | None = None,
    ) -> list[JournalRow]:
        return self.rows[after : after + limit]

    async def wait_beyond(self, position: int, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s), self.grown:
                await self.grown.wait_for(lambda: self.position > position)
        except TimeoutError:
            return False
        return True

    async def trim(self, *_: object) -> int:
        return 0


@dataclass
class ModelStore:
    """The store of one leader, on top of its predecessor's; sometimes it refuses."""

    start: int
    rng: random.Random
    refused: int = 0  # so many attempts from now on
    blocks: list[Block] = field(default_factory=list)

    async def cursor(self, journal: str) -> int:
        return self.blocks[-1].last if self.blocks else self.start

    async def pending(self, journal: str) -> tuple[int, int] | None:
        return None

    async def insert_block(self, block: Block) -> None:
        if self.refused:
            self.refused -= 1
            raise StoreError("The store is away.")
        self.blocks.append(block)


class ModelBroker:
    """Delivers messages between links, late, or not at all."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.loss = 0.0
        self.handlers: dict[str, tuple[ModelLink, Handler]] = {}
        self.listeners: dict[str, list[tuple[ModelLink, asyncio.Queue[tuple[str, bytes]]]]] = (
            defaultdict(list)
        )

    def is_lost(self, *links: "ModelLink") -> bool:
        is_cut = any(asyncio.get_running_loop().time() < link.cut_until_s for link in links)
        return is_cut or self.rng.random() < self.loss


class ModelLink:
    """The link between one process and the broker, as the bus sees it."""

    def __init__(self, broker: ModelBroker) -> None:
        self.broker = broker
        self.cut_until_s = 0.0
        self.paused_until_s = 0.0

    async def publish(self, topic: str, content: bytes) -> bool:
        head, _, name = topic.rpartition(".")
        for link, queue in self.broker.listeners[f"{head}.*"]:
            if not self.broker.is_lost(self, link):
                queue.put_nowait((name, content))
        return True

    async def listen(self, topic: str) -> AsyncIterator[tuple[str, bytes]]:
        queue = asyncio.Queue[tuple[str, bytes]]()
        self.broker.listeners[topic].append((self, queue))
        while True:
            yield await queue.get()

    async def ask(self, topic: str, content: bytes, timeout_s: float) -> bytes:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        if topic not in self.broker.handlers:
            raise JournalBusyError("nobody answers")
        link, handler = self.broker.handlers[topic]
        await asyncio.sleep(self.broker.rng.random() * 0.05)
        if not self.broker.is_lost(self, link):
            # The other side works on, whether this one still waits or not.
            answer = asyncio.ensure_future(handler(content))
            done, _ = await asyncio.wait([answer], timeout=max(0, deadline_s - loop.time()))
            if done and not answer.cancelled() and not self.broker.is_lost(self, link):
                return answer.result()
        await asyncio.sleep(max(0, deadline_s - loop.time()))
        raise JournalBusyError("no answer")

    @asynccontextmanager
    async def answer(self, topic: str, handler: Handler) -> AsyncIterator[None]:
        one_at_a_time = asyncio.Lock()

        async def handle(content: bytes) -> bytes:
            async with one_at_a_time:
                loop = asyncio.get_running_loop()
                await asyncio.sleep(max(0, self.paused_until_s - loop.time()))
                return await handler(content)

        self.broker.handlers[topic] = (self, handle)
        try:
            yield
        finally:
            del self.broker.handlers[topic]
