"""The audit trail of commands that change what the console changes too."""

import asyncio
from typing import TYPE_CHECKING

from heliograph.clock import SystemClock
from heliograph_collector.cli import CommandError
from heliograph_collector.fleet.audit_log import AuditLog, format_line

if TYPE_CHECKING:
    from heliograph_collector.config.journal_settings import JournalSettings
    from heliograph_collector.config.settings import Config

ACTOR = "command line"


def record_audit(config: "Config", action: str, subject: str = "") -> None:
    """Write to the audit trail, in a file or on the servers of a cluster.

    Call it before acting, so that an action that cannot be logged is not done.

    Raises CommandError.
    """
    line = format_line(SystemClock().wall_us(), ACTOR, action, subject)
    try:
        if config.journal is None:
            AuditLog(config.data).append_line(line)
        else:
            asyncio.run(_append_shared(config.journal, line))
    except OSError as error:
        raise CommandError(
            f"the audit trail cannot be written ({error}), so nothing was done."
        ) from error


async def _append_shared(servers: "JournalSettings", line: bytes) -> None:
    """Append a line on the servers. Raises OSError."""
    from heliograph_collector.app.shared_audit import SharedAudit
    from heliograph_collector.store.journal.journal import JournalError
    from heliograph_collector.store.journal.opening import open_console

    try:
        async with open_console(servers) as side:
            audit = SharedAudit(side.audit)
            await audit.start()
            await asyncio.to_thread(audit.append_line, line)
    except JournalError as error:
        raise OSError(str(error)) from error
