"""The copies of a journal's stream on its servers, for `doctor`."""

import nats.js.errors

from heliograph_collector.store.journal.jetstream.connection import NatsConnection, ServerSettings


async def describe_replicas(settings: ServerSettings) -> str:
    """Return a sentence on copies that are missing or behind, "" if all is well.

    Raises JournalError, if the servers cannot be used.
    """
    connection = NatsConnection(settings)
    await connection.open()
    try:
        info = await connection.ask(connection.js.stream_info, settings.name)
    except nats.js.errors.NotFoundError:
        return f"there is no stream {settings.name} yet: `serve` creates it at its first start."
    finally:
        await connection.close()
    copies = info.cluster.replicas or [] if info.cluster else []
    late = [copy.name or "?" for copy in copies if copy.offline or not copy.current]
    if late:
        return f"copies are missing or behind at {', '.join(sorted(late))}: start these servers."
    if (info.config.num_replicas or 1) < 3:
        return (
            f"{info.config.num_replicas or 1} of its servers has it: only three survive the loss "
            "of one (replicas of store.journal)."
        )
    return ""
