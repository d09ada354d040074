"""Ownership of a journal: one collector at a time, by a lease that the servers let expire.

Theory of operation. The bucket NAME-lease forgets a key TTL_S after its last write. The owner
creates the key, writes it again every RENEW_S against the revision that it wrote last, and appends
nothing while its last renewal is older than TTL_S: it may have lost the lease without knowing.
States:
- *free*: the key is not there; the collector that creates it is the owner.
- *owned*: another collector is refused at its start. One with the same data directory, which a lock
  keeps for one process, takes the lease over at once: it is the same collector after a crash. So is
  one with a copy of that directory on another machine; the first then loses the lease.
- *lost*: another process wrote the key. It is final: all later appends fail.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import nats.js.errors
from nats.js.api import KeyValueConfig
from nats.js.kv import KeyValue

from heliograph_collector.store.journal.group_commit import JournalBusyError, JournalError
from heliograph_collector.store.journal.jetstream.connection import NatsConnection

TTL_S = 10.0  # assumed; takeovers were measured at TTL to TTL + 0.3 s
RENEW_S = 2.0
STANDBY_S = 0.5  # between two looks of one that waits for the lease
_POLL_S = 0.1
_KEY = "owner"
_FILE = "journal.owner"
_LOG = logging.getLogger("heliograph.journal")


class AppendPermission(Protocol):
    """What allows a process to append rows. Implemented by JournalLease and RangeFollower."""

    async def wait_until_held(self) -> None:
        """Wait until this process may append. Raises JournalError if it never may again."""
        ...


class LeaseTakenError(JournalError):
    """Another collector has the lease."""


class JournalLease:
    """The lease of one collector."""

    def __init__(self, connection: NatsConnection, bucket: KeyValue, owner: bytes) -> None:
        self._connection = connection
        self._bucket = bucket
        self._owner = owner  # the name of the data directory; then, of this process
        self._value = owner + b":" + secrets.token_hex(8).encode()
        self._revision = 0
        self.term = 0  # the revision at which it was taken: greater than that of any lease before
        self._renewed_s = 0.0
        self._is_lost = False
        self.lost = asyncio.Event()

    @classmethod
    async def open(
        cls,
        connection: NatsConnection,
        name: str,
        replicas: int,
        data: Path,
        *,
        waits: bool = False,
    ) -> "JournalLease":
        """Take the lease; wait for it if `waits`. Raises JournalError, LeaseTakenError."""
        config = KeyValueConfig(bucket=f"{name}-lease", ttl=TTL_S, replicas=replicas, direct=False)
        bucket = await connection.ask(connection.js.create_key_value, config)
        lease = cls(connection, bucket, await asyncio.to_thread(_read_owner, data / _FILE))
        is_logged = False
        while True:
            try:
                await connection.ask(lease._take, is_start=True)
            except LeaseTakenError:
                if not waits:
                    raise
                if not is_logged:
                    _LOG.info("Another collector leads; this one takes over when it ends.")
                is_logged = True
                await asyncio.sleep(STANDBY_S)
            else:
                lease.term = lease._revision
                return lease

    @asynccontextmanager
    async def keep(self) -> AsyncIterator[None]:
        """Renew the lease inside the block, and give it back at its end."""
        failure: Exception | None = None
        async with asyncio.TaskGroup() as group:
            renewal = group.create_task(self._renew_regularly())
            try:
                yield
            except Exception as error:  # noqa: BLE001 raised again below, out of the group
                failure = error
            finally:
                renewal.cancel()
                await self.release()
        if failure is not None:
            raise failure

    async def _renew_regularly(self) -> None:
        while not self._is_lost:
            await asyncio.sleep(RENEW_S)
            try:
                await self._connection.ask(self._renew)
            except JournalBusyError:
                continue  # no quorum: nobody else can take it either
            except JournalError:
                return  # lost

    async def wait_until_held(self) -> None:
        """Wait until the journal is ours at this moment; raise JournalError if it is lost."""
        while True:
            if self._is_lost:
                raise JournalError(
                    "Another collector has taken the journal: stop one of the two, then start the "
                    "other again."
                )
            if asyncio.get_running_loop().time() - self._renewed_s <= TTL_S:
                return
            await asyncio.sleep(_POLL_S)

    async def release(self) -> None:
        """Give the lease back, so that another collector may start at once."""
        if self._is_lost or not self._connection.is_connected:
            return
        try:
            async with asyncio.timeout(2.0):
                await self._bucket.delete(_KEY, last=self._revision)
        except (TimeoutError, nats.errors.Error):
            return  # it expires

    async def _take(self, *, is_start: bool) -> None:
        began_s = asyncio.get_running_loop().time()
        try:
            self._revision = await self._bucket.create(_KEY, self._value)
        except (nats.js.errors.KeyWrongLastSequenceError, nats.js.errors.KeyNotFoundError):
            await self._take_own(is_start=is_start)
        self._renewed_s = began_s

    async def _take_own(self, *, is_start: bool) -> None:
        """Take our own lease, or at the start the one that our directory's last process left."""
        try:
            entry = await self._bucket.get(_KEY)
        except nats.js.errors.KeyNotFoundError:
            raise self._connection.build_failure() from None  # it expired just now: asked again
        value = entry.value or b""
        is_ours = value == self._value
        if not is_ours and not (is_start and value.startswith(self._owner + b":")):
            raise LeaseTakenError(
                "Another collector uses this journal: stop that one, or give this one another "
                "name in store.journal. After a crash it is free within 10 s."
            )
        try:
            self._revision = await self._bucket.update(_KEY, self._value, last=entry.revision)
        except nats.js.errors.KeyWrongLastSequenceError:  # an earlier try of ours came later
            raise self._connection.build_failure() from None

    async def _renew(self) -> None:
        """Renew; a key that expired while the servers had no quorum is created again."""
        began_s = asyncio.get_running_loop().time()
        try:
            self._revision = await self._bucket.update(_KEY, self._value, last=self._revision)
        except nats.js.errors.KeyWrongLastSequenceError:
            try:
                await self._take(is_start=False)
            except JournalBusyError:
                raise
            except JournalError:
                self._is_lost = True
                self.lost.set()
                raise
        self._renewed_s = began_s


async def is_led_by_another(connection: NatsConnection, name: str, data: Path) -> bool:
    """Return whether a collector of another data directory has the lease. Raises JournalError."""
    try:
        bucket = await connection.ask(connection.js.key_value, f"{name}-lease")
        entry = await connection.ask(bucket.get, _KEY)
    except nats.js.errors.NotFoundError:  # of the bucket, or of the key
        return False
    owner = await asyncio.to_thread(_read_owner, data / _FILE)
    return not (entry.value or b"").startswith(owner + b":")


def _read_owner(file: Path) -> bytes:
    """Read the name of this data directory's collector, which is drawn once."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        owner = secrets.token_hex(16).encode()
        file.write_bytes(owner)
        return owner
