"""Changes of the console's users by commands, in files or on the servers of a cluster."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from heliograph_collector.config.settings import Config
from heliograph_collector.fleet.audit_log import AuditLog
from heliograph_collector.fleet.operator_file import OperatorFile
from heliograph_collector.fleet.operators import Operators

if TYPE_CHECKING:
    from heliograph_collector.config.journal_settings import JournalSettings

_T = TypeVar("_T")


class AuditLines(Protocol):
    """Where a command writes what it did. Implemented by AuditLog and SharedAudit."""

    def append_line(self, line: bytes) -> None:
        """Append a line of `audit_log.format_line`. Raises OSError."""
        ...


def run_with_operators(config: Config, action: Callable[[Operators, AuditLines], _T]) -> _T:
    """Run a command's action on the users. Raises KeysError, JournalError, OperatorsError."""
    if config.journal is None:
        return action(Operators(OperatorFile(config.data)), AuditLog(config.data))
    from heliograph_collector.store.journal.journal import JournalError

    try:
        return asyncio.run(_run_shared(config.data, config.journal, action))
    except OSError as error:
        if isinstance(error.__cause__, JournalError):
            raise error.__cause__ from None
        raise


async def _run_shared(
    data: Path, servers: "JournalSettings", action: Callable[[Operators, AuditLines], _T]
) -> _T:
    from heliograph_collector.app.shared_audit import SharedAudit
    from heliograph_collector.app.shared_operators import SharedOperators
    from heliograph_collector.fleet.keyring import read_secret
    from heliograph_collector.store.journal.opening import open_console

    secret = read_secret(data)
    async with open_console(servers) as side:
        document = SharedOperators(side.operators, secret)
        await document.start()
        audit = SharedAudit(side.audit)
        await audit.start()
        return await asyncio.to_thread(lambda: action(Operators(document), audit))
