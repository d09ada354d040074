"""Ownership of a journal: one collector at a time, by a key on the servers.

The key `owner` of the bucket NAME-lease names the holder (`lease_state.py` has the theory of
operation, and decides). This module asks the servers, and does what was decided. The bucket forgets
a key that is not renewed for FORGET_S, so that one who starts then need not wait.
"""

import asyncio
import hashlib
import logging
import platform
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import nats.errors
import nats.js.errors
from nats.js.api import KeyValueConfig
from nats.js.kv import KeyValue

from heliograph.clock import Clock
from heliograph_collector.model.guarded_clock import BootClock
from heliograph_collector.store.journal.group_commit import JournalBusyError, JournalError
from heliograph_collector.store.journal.jetstream.bus import WRONG_LAST
from heliograph_collector.store.journal.jetstream.connection import TRY_S, NatsConnection
from heliograph_collector.store.journal.jetstream.lease_state import (
    FORGET_S,
    HeldLease,
    Holder,
    LeaseKey,
    LeaseWatch,
)

RENEW_S = 2.0
RENEW_TRY_S = 2.0  # of one try, so that another server can be asked before the lease is doubtful
STANDBY_S = 0.5  # between two looks of one that waits for the lease
_POLL_S = 0.1
_MAX_HOST = 64
_TRIES = 4  # of one renewal; two are needed where an answer was lost
_KEY = "owner"
_FILE = "journal.owner"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_LOG = logging.getLogger("heliograph.journal")


class AppendPermission(Protocol):
    """Permission to append rows. Implemented by JournalLease and RangeFollower."""

    async def wait_until_held(self) -> None:
        """Wait until this process may append. Raises JournalError if it never may again."""
        ...


async def require_permission(permission: AppendPermission, connection: NatsConnection) -> None:
    """Wait until rows may be appended, for the time of one request at most.

    Raises JournalError.
    """
    try:
        async with asyncio.timeout(TRY_S):
            await permission.wait_until_held()
    except TimeoutError:
        raise connection.build_failure() from None


class LeaseTakenError(JournalError):
    """Another collector has the lease."""


class LeaseKeyValue(Protocol):
    """The key of the lease on the servers. Implemented by LeaseBucket.

    Every method raises JournalError; a write may be stored all the same, at once or later.
    """

    async def read(self) -> LeaseKey: ...
    async def write(self, content: bytes, last: int) -> int | None:
        """Write over a revision; return the new one, None if another is the last."""
        ...

    async def give_back(self, last: int) -> bool:
        """Delete the key at its last revision; return False if another is the last."""
        ...


class LeaseBucket:
    """The bucket NAME-lease, whose one key each write names the last revision of all.

    So a write that is late never replaces what somebody else wrote before it came.
    """

    def __init__(self, connection: NatsConnection, bucket: KeyValue, name: str) -> None:
        self._connection = connection
        self._bucket = bucket
        self._name = f"{name}-lease"

    @classmethod
    async def open(cls, connection: NatsConnection, name: str, replicas: int) -> "LeaseBucket":
        """Open the bucket, and create it if it is not there. Raises JournalError."""
        js = connection.js
        try:  # one of an earlier version forgets sooner
            bucket = await connection.ask(js.key_value, f"{name}-lease")
        except nats.js.errors.NotFoundError:
            config = KeyValueConfig(f"{name}-lease", ttl=FORGET_S, replicas=replicas, direct=False)
            bucket = await connection.ask(js.create_key_value, config)
        return cls(connection, bucket, name)

    async def read(self) -> LeaseKey:
        if (key := await self._find()) is not None:
            return key
        js = self._connection.js
        info = await self._connection.ask(js.stream_info, f"KV_{self._name}")
        # In this order: else a key that was written in between would be replaced.
        counted = info.state.last_seq
        return await self._find() or LeaseKey(counted, None, is_free=not counted)

    async def _find(self) -> LeaseKey | None:
        try:
            entry = await self._connection.ask(self._bucket.get, _KEY)
        except nats.js.errors.KeyNotFoundError as error:
            deleted = error.entry
            return LeaseKey(deleted.revision or 0, None, is_free=True) if deleted else None
        return LeaseKey(entry.revision or 0, Holder.parse(entry.value or b""))

    async def write(self, content: bytes, last: int) -> int | None:
        try:
            return await self._connection.ask(self._publish, content, last)
        except nats.js.errors.KeyWrongLastSequenceError:
            return None

    async def _publish(self, content: bytes, last: int) -> int:
        headers = {"Nats-Expected-Last-Sequence": str(last)}
        subject = f"$KV.{self._name}.{_KEY}"
        try:
            receipt = await self._connection.js.publish(
                subject, content, timeout=RENEW_TRY_S, headers=headers
            )
        except nats.js.errors.APIError as error:
            if error.err_code == WRONG_LAST:
                raise nats.js.errors.KeyWrongLastSequenceError from error
            raise
        return receipt.seq

    async def give_back(self, last: int) -> bool:
        if not self._connection.is_connected:
            return True
        try:
            async with asyncio.timeout(2.0):
                await self._bucket.delete(_KEY, last=last)
        except nats.js.errors.APIError as error:
            return error.err_code != WRONG_LAST
        except (TimeoutError, nats.errors.Error):
            return True  # it expires
        return True


class JournalLease:
    """The lease of one collector."""

    def __init__(self, key: LeaseKeyValue, clock: Clock, held: HeldLease) -> None:
        self._key = key
        self._clock = clock
        self._held = held
        self.lost = asyncio.Event()

    @classmethod
    async def take(
        cls, key: LeaseKeyValue, clock: Clock, watch: LeaseWatch, own: Holder
    ) -> "JournalLease | None":
        """Look at the lease once, and take it if it may be taken. Raises JournalBusyError."""
        last = watch.choose_revision(await key.read(), clock.monotonic_us())
        if last is None:
            return None
        began_us = clock.monotonic_us()
        revision = await key.write(own.encode(), last)
        return None if revision is None else cls(key, clock, HeldLease(own, revision, began_us))

    @property
    def term(self) -> int:
        """Return the revision at which the lease was taken.

        It is greater than that of any earlier lease.
        """
        return self._held.term

    @property
    def is_held(self) -> bool:
        """Return whether this process may work at this moment; any thread may ask."""
        return self._held.is_held(self._clock.monotonic_us())

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
        while not self._held.is_lost:
            await asyncio.sleep(RENEW_S)
            try:
                await self.renew()
            except JournalBusyError:
                continue  # no quorum: nobody else can take it either
            except JournalError as error:
                _LOG.warning("The lease of the journal is not renewed: %s", error)

    async def renew(self) -> None:
        """Renew once; sets `lost` if another process may have it. Raises JournalError."""
        held = self._held
        began_us = self._clock.monotonic_us()
        last = held.revision
        for _ in range(_TRIES):
            if (revision := await self._key.write(held.own.encode(), last)) is not None:
                held.note_renewed(revision, began_us)
                return
            over = held.choose_revision(await self._key.read())
            if over is None:
                self.lost.set()
                return
            last = over

    async def wait_until_held(self) -> None:
        """Wait until the journal is ours at this moment; raise JournalError if it is lost."""
        while not self.is_held:
            if self._held.is_lost:
                raise JournalError(
                    "Another collector has taken the journal: stop one of the two, then start the "
                    "other again."
                )
            await asyncio.sleep(_POLL_S)

    async def release(self) -> None:
        """Give the lease back, so that another collector may start at once.

        A renewal that ended without its answer may be stored: then its revision is the last.
        """
        held = self._held
        last: int | None = held.revision
        for _ in range(_TRIES):
            if held.is_lost or last is None or await self._key.give_back(last):
                return
            try:
                last = held.choose_revision(await self._key.read())
            except JournalError:
                return  # it expires


async def open_lease(
    connection: NatsConnection, name: str, replicas: int, data: Path, *, waits: bool = False
) -> JournalLease:
    """Take the lease; wait for it if `waits`. Raises JournalError, LeaseTakenError.

    Args:
        data: A directory that this process has locked.
    """
    key = await LeaseBucket.open(connection, name, replicas)
    own = await asyncio.to_thread(_name_holder, data / _FILE)
    watch = LeaseWatch(own, trusts_servers=not waits)
    clock = BootClock()
    is_logged = False
    while (lease := await JournalLease.take(key, clock, watch, own)) is None:
        if not waits:
            raise LeaseTakenError(
                "Another collector uses this journal: stop that one, or give this one another "
                "name in store.journal. After a crash it is free within a minute."
            )
        if not is_logged:
            _LOG.info("Another collector leads; this one takes over when it ends.")
        is_logged = True
        await asyncio.sleep(STANDBY_S)
    return lease


async def read_lease(connection: NatsConnection, name: str) -> LeaseKey | None:
    """Return the key of the lease, None if there never was one. Raises JournalError."""
    try:
        bucket = await connection.ask(connection.js.key_value, f"{name}-lease")
    except nats.js.errors.NotFoundError:
        return None
    return await LeaseBucket(connection, bucket, name).read()


async def is_led_by_another(connection: NatsConnection, name: str, data: Path) -> bool:
    """Return whether a collector of another data directory has the lease.

    Raises JournalError.
    """
    key = await read_lease(connection, name)
    holder = key.holder if key else None
    own = await asyncio.to_thread(_name_holder, data / _FILE)
    if holder is None:
        return False
    is_copy = bool(holder.place) and holder.place != own.place
    return holder.owner != own.owner or is_copy


def _name_holder(file: Path) -> Holder:
    """Name this process by its data directory and its location.

    The directory's name is drawn at random once, and stored in it.
    """
    try:
        owner = file.read_bytes()
    except FileNotFoundError:
        owner = secrets.token_hex(16).encode()
        file.write_bytes(owner)
    host = "".join(c for c in platform.node() if c.isascii() and (c.isalnum() or c in "-."))
    run = secrets.token_hex(8).encode()
    return Holder(owner, run, _find_place(file), host[:_MAX_HOST].encode())


def _find_place(file: Path) -> bytes:
    """Return what no copy of the file has, on this machine or another; b"" if unknown."""
    try:
        boot_id = _BOOT_ID.read_bytes()
    except OSError:  # no Linux
        return b""
    status = file.stat()
    named = b"%b %d %d" % (boot_id, status.st_dev, status.st_ino)
    return hashlib.sha256(named).hexdigest()[:16].encode()
