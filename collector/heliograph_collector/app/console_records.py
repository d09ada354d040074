"""Store the console's users and audit trail, in files or on a cluster's servers."""

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from heliograph.address import list_hosts
from heliograph.clock import SystemClock
from heliograph_collector.app.explained_errors import explain_errors
from heliograph_collector.app.shared_audit import SharedAudit
from heliograph_collector.app.shared_operators import SharedOperators
from heliograph_collector.config.errors import CannotServeError
from heliograph_collector.config.journal_settings import JournalSettings
from heliograph_collector.config.settings import Config
from heliograph_collector.fleet import KeysError, open_keyring
from heliograph_collector.fleet.audit_log import AuditLog
from heliograph_collector.fleet.operator_file import OperatorFile
from heliograph_collector.fleet.operators import OperatorDocument, OperatorsError
from heliograph_collector.store.journal.journal import FencedError, JournalError
from heliograph_collector.store.journal.opening import open_console

if TYPE_CHECKING:
    from heliograph_collector.alerting.handover import HandoverValue

POLL_S = 1.0  # assumed; how late a console learns of a user whom a command removed
log = logging.getLogger("heliograph.console")


@dataclass(frozen=True, slots=True)
class ConsoleRecords:
    """The users and the audit trail as a console has them, and what goes with them."""

    operators: OperatorDocument
    trail: AuditLog
    alerts: "HandoverValue | None" = None  # what notifications keep, if they are shared


def open_files(data: Path) -> ConsoleRecords:
    """Open the records of a collector that shares none."""
    return ConsoleRecords(OperatorFile(data), AuditLog(data))


class ServerValue(Protocol):
    """Value on the servers. Both methods raise JournalError, `write` FencedError too.

    Implemented by jetstream.shared_value.SharedValue.
    """

    async def read(self) -> bytes | None: ...
    async def write(self, content: bytes) -> None: ...


class SharedAlerts:
    """A value on the servers as a `HandoverValue`."""

    def __init__(self, value: ServerValue) -> None:
        self._value = value

    async def read(self) -> bytes | None:
        from heliograph_collector.alerting.handover import HandoverError

        try:
            return await self._value.read()
        except JournalError as error:
            raise HandoverError(str(error)) from error

    async def write(self, content: bytes) -> None:
        from heliograph_collector.alerting.handover import HandoverError, ReplacedError

        try:
            await self._value.write(content)
        except FencedError as error:
            raise ReplacedError(str(error)) from error
        except JournalError as error:
            raise HandoverError(str(error)) from error


class SharedRecords:
    """The records on the servers, and the files of this collector that follow them."""

    def __init__(
        self, operators: SharedOperators, audit: SharedAudit, data: Path, alerts: "HandoverValue"
    ) -> None:
        self._operators = operators
        self._audit = audit
        self._trail = AuditLog(data, audit)
        self.records = ConsoleRecords(operators, self._trail, alerts)

    async def run(self) -> None:
        """Take up what commands change, each POLL_S, until cancelled."""
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self._operators.update()
                await self._audit.follow()
                await asyncio.to_thread(self._trail.adopt_new)
            except (JournalError, OperatorsError, OSError) as error:
                log.warning("Users and audit trail stay as they were: %s", error)


async def take_over_records(
    config: Config, servers: JournalSettings, term: int, stack: AsyncExitStack
) -> SharedRecords:
    """Take the records over from who led before; `stack` closes them.

    Args:
        term: That of the journal's lease, which this collector holds.

    Raises CannotServeError.
    """
    data = config.data
    with explain_errors(KeysError, JournalError, data=data):
        secret = open_keyring(data, list_hosts(config.grpc, config.endpoint)).secret
        side = await stack.enter_async_context(open_console(servers))
        operators = SharedOperators(side.operators, secret, mirror=data)
        audit = SharedAudit(side.audit, term)
        try:
            await operators.take_over(data)
        except OperatorsError as error:
            raise CannotServeError(f"{error}.") from error
        await audit.take_over(data, SystemClock().wall_us())
    return SharedRecords(operators, audit, data, SharedAlerts(side.alerts))
