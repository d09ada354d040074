"""Create the stream and the bucket of a journal, and name their keys and subjects."""

import secrets

import nats.js.errors
from nats.js.api import DiscardPolicy, KeyValueConfig, StorageType, StreamConfig, StreamInfo
from nats.js.kv import KeyValue

from heliograph_collector.store.journal.group_commit import JournalError
from heliograph_collector.store.journal.jetstream.bus import put_after
from heliograph_collector.store.journal.jetstream.connection import NatsConnection, ServerSettings
from heliograph_collector.store.journal.jetstream.stored_rows import Subjects

_ID = "heliograph-journal"  # in the stream's metadata, and the key in the bucket
_UNFINISHED = "heliograph-unfinished"
RANGES = "ranges."  # beginning of the keys of partitions, in hex
HOST = "host."  # … and of ingest hosts
_ALIVE = "alive"
_EXPIRY = "expiry"


def read_id(info: StreamInfo) -> str:
    """Return the journal's id, "" if the stream is none."""
    is_ours = info.config.discard_new_per_subject and info.config.max_msgs_per_subject == 1
    return (info.config.metadata or {}).get(_ID, "") if is_ours else ""


def is_unfinished(info: StreamInfo) -> bool:
    """Return whether a move to this stream has not ended."""
    return _UNFINISHED in (info.config.metadata or {})


async def find_stream(connection: NatsConnection, settings: ServerSettings) -> StreamInfo | None:
    """Return the stream, None if it is not there. Raises JournalError."""
    try:
        return await connection.ask(connection.js.stream_info, settings.name)
    except nats.js.errors.NotFoundError:
        return None


async def create_stream(
    connection: NatsConnection, settings: ServerSettings, id_: str = "", *, first: int = 0
) -> StreamInfo:
    """Create the stream if it is not there. Raises JournalError.

    With an id it is the goal of a move, and unfinished; `first` is the position of its first row.
    """
    info = await find_stream(connection, settings)
    if info is not None:
        return info
    subjects = Subjects(settings.name)
    config = StreamConfig(
        name=settings.name,
        subjects=[subjects.envelopes, subjects.presence],
        storage=StorageType.FILE,
        num_replicas=settings.replicas,
        max_msgs_per_subject=1,
        discard=DiscardPolicy.NEW,
        discard_new_per_subject=True,
        max_bytes=settings.max_bytes or -1,
        allow_direct=True,
        first_seq=first or None,
        metadata={_ID: id_, _UNFINISHED: "yes"} if id_ else {_ID: secrets.token_hex(8)},
    )
    return await connection.ask(connection.js.add_stream, config)


async def open_stream(connection: NatsConnection, settings: ServerSettings) -> StreamInfo:
    """Create the stream, or bring its limits up to date. Raises JournalError."""
    info = await create_stream(connection, settings)
    if not read_id(info):
        raise JournalError(
            f"The stream {settings.name} on the journal's servers is not a journal: give "
            "store.journal another name."
        )
    if is_unfinished(info):
        raise JournalError(
            f"A journal was not wholly moved to the stream {settings.name}: run "
            "`heliograph-collector migrate` again."
        )
    config = info.config.evolve(num_replicas=settings.replicas, max_bytes=settings.max_bytes or -1)
    if config == info.config:
        return info
    return await connection.ask(connection.js.update_stream, config)


async def finish_stream(connection: NatsConnection, settings: ServerSettings) -> None:
    """Remove the mark of a move that has not ended."""
    info = await connection.ask(connection.js.stream_info, settings.name)
    metadata = {k: v for k, v in (info.config.metadata or {}).items() if k != _UNFINISHED}
    await connection.ask(connection.js.update_stream, info.config.evolve(metadata=metadata))


class JournalState:
    """State that a restart needs beside the rows, in the bucket NAME-state."""

    def __init__(self, connection: NatsConnection, bucket: KeyValue, name: str) -> None:
        self.name = name
        self._connection = connection
        self._bucket = bucket
        self._revisions: dict[str, int] = {}  # of ranges, as they were read or written last

    async def put_ranges(self, partition: int, content: bytes) -> int:
        """Store the ranges of a partition over those read last.

        Returns the bucket's revision. Raises FencedError if another process wrote them since,
        JournalError.
        """
        key = _partition_key(partition)
        last = self._revisions.get(key, 0)
        revision = await put_after(self._connection, self._bucket, key, content, last)
        self._revisions[key] = revision
        return revision

    async def get_ranges(self, partition: int) -> bytes:
        key = _partition_key(partition)
        entry = await self._find(key)
        if entry is None:
            return b""
        self._revisions[key] = entry.revision or 0
        return entry.value or b""

    async def put_alive(self, at_us: int) -> None:
        await self._put(_ALIVE, str(at_us).encode())

    async def put_expiry(self, at_us: int) -> None:
        await self._put(_EXPIRY, str(at_us).encode())

    async def put_marks(self, alive_us: int, expiry_us: int) -> None:
        await self.put_alive(alive_us)
        await self.put_expiry(expiry_us)

    async def get_alive(self) -> int:
        return int(await self._get(_ALIVE) or b"0")

    async def get_expiry(self) -> int:
        return int(await self._get(_EXPIRY) or b"0")

    async def put_id(self, id_: str) -> None:
        await self._put(_ID, id_.encode())

    async def get_id(self) -> str:
        return (await self._get(_ID) or b"").decode()

    async def put_host(self, host: str) -> int:
        """Register an ingest host; return the revision of the bucket."""
        return await self._put(f"{HOST}{host}", b"")

    async def find_host(self, host: str) -> int:
        """Return the revision at which a host registered last, 0 for none."""
        entry = await self._find(f"{HOST}{host}")
        return (entry.revision or 0) if entry else 0

    async def remove_host(self, host: str, revision: int) -> None:
        """Remove a host, unless it registered after a revision."""
        await self._connection.ask(
            self._connection.js.purge_stream,
            self._stream,
            seq=revision + 1,
            subject=f"$KV.{self.name}.{HOST}{host}",
        )

    async def list_hosts(self) -> list[str]:
        """List the registered ingest hosts."""
        prefix = f"$KV.{self.name}.{HOST}"
        info = await self._connection.ask(
            self._connection.js.stream_info, self._stream, subjects_filter=f"{prefix}*"
        )
        return [subject.removeprefix(prefix) for subject in info.state.subjects or {}]

    @property
    def _stream(self) -> str:
        return f"KV_{self.name}"

    async def _put(self, key: str, value: bytes) -> int:
        return await self._connection.ask(self._bucket.put, key, value)

    async def _get(self, key: str) -> bytes | None:
        entry = await self._find(key)
        return entry.value if entry else None

    async def _find(self, key: str) -> KeyValue.Entry | None:
        try:
            return await self._connection.ask(self._bucket.get, key)
        except nats.js.errors.KeyNotFoundError:
            return None


async def open_state(connection: NatsConnection, settings: ServerSettings) -> JournalState:
    """Open the bucket, and create it if it is not there. Raises JournalError."""
    bucket = await open_state_bucket(connection, settings)
    return JournalState(connection, bucket, f"{settings.name}-state")


async def open_state_bucket(connection: NatsConnection, settings: ServerSettings) -> KeyValue:
    """Open NAME-state, which others keep values in too. Raises JournalError."""
    js = connection.js
    name = f"{settings.name}-state"
    try:
        return await connection.ask(js.key_value, name)
    except nats.js.errors.NotFoundError:
        config = KeyValueConfig(bucket=name, replicas=settings.replicas, direct=False)
        return await connection.ask(js.create_key_value, config)


def _partition_key(partition: int) -> str:
    return f"{RANGES}{partition:02x}"
