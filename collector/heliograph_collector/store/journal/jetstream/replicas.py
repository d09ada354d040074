"""Describe the copies of a journal and its leader, for `doctor`."""

import nats.js.errors
from nats.js.api import StreamInfo

from heliograph_collector.store.journal.jetstream.connection import NatsConnection, ServerSettings
from heliograph_collector.store.journal.jetstream.lease import read_lease

# Beside the journal's own stream; a bucket is a stream too. Some are only there with several hosts.
_STREAMS = ("KV_{}-state", "KV_{}-lease", "KV_{}-fleet", "{}-log", "{}-audit")


async def describe_replicas(settings: ServerSettings) -> str:
    """Return a sentence on copies that are missing or behind, "" if all is well.

    Raises JournalError, if the servers cannot be used.
    """
    connection = NatsConnection(settings)
    await connection.open()
    try:
        journal = await _find(connection, settings.name)
        names = [pattern.format(settings.name) for pattern in _STREAMS]
        others = [await _find(connection, name) for name in names]
    finally:
        await connection.close()
    if journal is None:
        return f"there is no stream {settings.name} yet: `serve` creates it at its first start."
    late = {name for info in (journal, *others) for name in _list_late(info)}
    if late:
        return f"copies are missing or behind at {', '.join(sorted(late))}: start these servers."
    if (journal.config.num_replicas or 1) < 3:
        return (
            f"{journal.config.num_replicas or 1} of its servers has it: only three survive the "
            "loss of one (replicas of store.journal)."
        )
    return ""


async def describe_holder(settings: ServerSettings) -> str:
    """Return the machine and the number of the leaseholder, "" if there is none.

    Raises JournalError, if the servers cannot be used.
    """
    connection = NatsConnection(settings)
    await connection.open()
    try:
        key = await read_lease(connection, settings.name)
    finally:
        await connection.close()
    if key is None or key.holder is None:
        return ""
    host = key.holder.host.decode("ascii", "replace") or "a machine"
    return f"{host} (lease renewed as number {key.revision})"


async def _find(connection: NatsConnection, name: str) -> StreamInfo | None:
    try:
        return await connection.ask(connection.js.stream_info, name)
    except nats.js.errors.NotFoundError:
        return None


def _list_late(info: StreamInfo | None) -> list[str]:
    """List the servers whose copy is missing or behind."""
    copies = info.cluster.replicas or [] if info and info.cluster else []
    return [copy.name or "?" for copy in copies if copy.offline or not copy.current]
